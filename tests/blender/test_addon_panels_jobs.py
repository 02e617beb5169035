"""Panels around a job: settings, seed and cost before it, progress while it runs, errors after it."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
import pytest
from drawn_panels import draw_all
from msgspec.structs import replace

from ex4d_ground.costs import Cost
from ex4d_ground.remedies import fewer_frames, fill_invalid, offload


def test_an_engine_that_cannot_run_says_what_is_missing(blender, online, shot, moving_camera):
    blender.context.scene.ex4d.engine = "other"
    takes = draw_all(blender.context)["Takes"]
    assert "ex4d.generate" in takes.operators(usable=False)
    assert "Weights are missing" in takes.words and "ex4d.copy_command" in takes.operators()


def test_three_settings_are_open_and_the_rest_is_advanced_in_the_fields_own_words(blender, online, shot, moving_camera):
    scene = blender.context.scene
    scene.ex4d.engine = "wan"
    found = draw_all(blender.context)
    assert found["Settings"].props[:3] == ["memory", "steps", "cfg_scale"] and "seed" in found["Settings"].props
    assert found["Advanced"].props == ["fuse_lora"]
    group = scene.ex4d_engine_wan
    names = {item.identifier: item.name for item in group.bl_rna.properties}
    assert (names["cfg_scale"], names["fuse_lora"]) == ("CFG Scale", "Fuse LoRA")
    scene.ex4d.engine = "preview"
    assert "Advanced" not in draw_all(blender.context), "an engine without more settings has no such panel"


def test_settings_are_saved_per_engine_as_blenders_own_presets(blender, online, shot, tmp_path, monkeypatch):
    scene = blender.context.scene
    monkeypatch.setenv("BLENDER_USER_SCRIPTS", str(tmp_path))
    monkeypatch.setattr(bpy.utils, "user_resource", lambda *_, path="", create=False: str(made(tmp_path / path)))
    scene.ex4d.engine = "wan"
    scene.ex4d_engine_wan.cfg_scale, scene.ex4d_engine_wan.steps = 3.5, 12
    assert blender.ops.ex4d.save_engine_preset(name="Quick") == {"FINISHED"}
    saved = tmp_path / "presets" / "ex4d" / "wan" / "Quick.py"
    assert "cfg_scale = 3.5" in saved.read_text()
    scene.ex4d_engine_wan.cfg_scale, scene.ex4d_engine_wan.steps = 5.0, 25
    blender.ops.script.execute_preset(filepath=str(saved), menu_idname="EX4D_PT_engine_presets")
    assert (scene.ex4d_engine_wan.cfg_scale, scene.ex4d_engine_wan.steps) == (3.5, 12)
    scene.ex4d.engine = "preview"
    assert bpy.types.EX4D_PT_engine_presets.preset_subdir.fget(None) == "ex4d/preview"
    bpy.types.EX4D_PT_engine_presets.bl_label = "Engine Presets"  # Blender shows the preset's name there from now on


def made(folder: Any) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_rolling_gives_another_seed(blender, online, shot, moving_camera):
    assert "ex4d.roll_seed" in draw_all(blender.context)["Settings"].operators()
    seeds = set()
    for _ in range(3):
        blender.ops.ex4d.roll_seed()
        seeds.add(blender.context.scene.ex4d.seed)
    assert len(seeds) == 3


def test_the_cost_is_shown_before_anything_starts(blender, online, shot, moving_camera, monkeypatch):
    from blender_addon.jobs import cost_watch

    monkeypatch.setattr(cost_watch._watch, "asked", None)  # nor has the same question been answered before
    scene = blender.context.scene
    scene.ex4d.engine = "wan"
    assert "Reckoning what it costs" in draw_all(blender.context)["Settings"].words
    asked = cost_watch._watch.wanted
    assert asked is not None and (asked.engine, asked.num_frames, asked.width, asked.height) == ("wan", 5, 150, 90)
    assert asked.settings == {"memory": "auto", "steps": 25, "cfg_scale": 5.0, "fuse_lora": True}
    reply = Cost("wan", 5, 150, 90, forwards=50, plan="fp8", peak_bytes=17 << 30, gpu_bytes=24 << 30, seconds=95.0)
    monkeypatch.setattr(cost_watch._watch, "asked", asked)
    monkeypatch.setattr(cost_watch._watch, "answer", reply)
    found = draw_all(blender.context)
    assert found["Takes"].button("ex4d.generate")["text"] == "Generate (about 2 min)"
    for part in ("5 frames in 1 window, 50 runs of the model", "fp8: about 17.0 of 24 GiB", "Roughly 2 min"):
        assert part in found["Settings"].words
    assert "GPUs make it together" not in found["Settings"].words
    monkeypatch.setattr(cost_watch._watch, "answer", replace(reply, gpus=2))
    assert "2 GPUs make it together; the memory is of each" in draw_all(blender.context)["Settings"].words
    tight = Cost("wan", 5, 150, 90, problem="The resident plan needs 30 GiB.", remedy=offload())
    monkeypatch.setattr(cost_watch._watch, "answer", tight)
    takes = draw_all(blender.context)["Takes"]
    assert "needs 30 GiB" in takes.words and "ex4d.set_engine_setting" in takes.operators()
    blender.ops.ex4d.set_engine_setting(setting="memory", value="offload")
    assert "Reckoning" in draw_all(blender.context)["Settings"].words, "another setting is another question"


def test_an_older_backend_is_not_asked_what_it_cannot_answer(blender, online, shot, moving_camera, monkeypatch):
    from types import SimpleNamespace

    welcome = SimpleNamespace(major=1, minor=0)
    monkeypatch.setattr(online, "link", SimpleNamespace(client=SimpleNamespace(welcome=welcome)))
    words = draw_all(blender.context)["Settings"].words
    assert "5 frames" in words and "Reckoning" not in words
    monkeypatch.setattr(online, "link", None)


def test_progress_stands_in_the_place_of_the_button_that_started_it(blender, online, shot, moving_camera, monkeypatch):
    import time

    from blender_addon.work import tasks

    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)  # drawing takes its time, which is not the task's
    task = tasks.Task("Generate", (None for _ in range(0)), panel="Takes")
    task.progress = tasks.TaskProgress("preview", 10, 40)
    task.stage_at = now - 20

    class Arrival:
        count = 3

    task.arrival = Arrival()
    online.tasks.append(task)
    try:
        takes = draw_all(blender.context)["Takes"]
        assert "Frame 10/40  1:00 left" in takes.words and "ex4d.generate" not in takes.operators()
        task.progress = tasks.TaskProgress("preview", 10, 40, whole=0.6)
        task.whole_from = now - 40, 0.2
        takes = draw_all(blender.context)["Takes"]
        assert "0:40 left" in takes.words, "of the whole job, where that is known"
        assert [given["keep"] for name, given in takes.layout.buttons if name == "ex4d.cancel"] == [True, False]
    finally:
        online.tasks.clear()


def test_time_left_is_not_reckoned_from_what_was_prepared(blender, monkeypatch):
    """Half a minute of compiling, a quarter of the job by its weights, said that the rest takes a minute and a half."""
    import time

    from blender_addon.work import tasks

    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    reported = [
        tasks.TaskProgress("preparing", whole=0.25, message="Preparing, once: about 30 s."),
        tasks.TaskProgress("guides", 0, 49, whole=0.25),
        tasks.TaskProgress("guides", 20, 49, whole=0.55),
    ]
    task = tasks.Task("Render guides", iter(reported))
    task.advance(0.0)
    now += 30
    assert task.seconds_left is None, "the message says how long"
    task.advance(0.0)
    now += 4
    assert task.seconds_left is None, "no guide is there yet"
    task.advance(0.0)
    assert task.seconds_left == pytest.approx(4 * 0.45 / 0.3)


def test_what_runs_is_called_what_it_is_though_something_has_arrived(blender):
    """A preview has made its first item while its loops are compiled: that is no receiving."""
    from types import SimpleNamespace

    from blender_addon.work.link import BackendLink

    state = SimpleNamespace(
        phase="running", stage="preparing", done=0, total=0, message="About 30 s.", share=0.1, items=0
    )
    link = BackendLink.__new__(BackendLink)
    link.client = SimpleNamespace(jobs={"a": SimpleNamespace(state=state, received={0})})
    found = link._receiving("a")
    assert (found.stage, found.message, found.whole) == ("preparing", "About 30 s.", 0.1)
    state.phase, state.items = "done", 4
    found = link._receiving("a")
    assert (found.stage, found.done, found.total) == ("receiving", 1, 4)


def test_importing_shows_its_progress_alone(blender, online):
    from blender_addon.work import tasks

    task = tasks.Task("Import clip", (None for _ in range(0)), panel="Clip")
    task.progress = tasks.TaskProgress("depth: estimate", 18, 49)
    online.tasks.append(task)
    try:
        clip = draw_all(blender.context)["Clip"]
        assert clip.words == "Estimating Depth 18/49" and clip.operators() == ["ex4d.cancel"]
    finally:
        online.tasks.clear()


def test_cancel_stops_its_own_task_and_no_other(blender):
    from blender_addon.work import session

    def waits():
        while True:
            yield None

    first, second = (session.get().start(title, waits()) for title in ("Import clip", "Generate"))
    for task in (first, second):
        task.advance(0.0)
    assert blender.ops.ex4d.cancel(title="Generate") == {"FINISHED"}
    assert second.finished and not first.finished
    assert blender.ops.ex4d.cancel() == {"FINISHED"}
    assert first.finished


def test_a_failed_job_is_a_sentence_a_button_and_details_once_and_where_it_belongs(blender, online, shot):
    sentence = "The depth has 8 frames but the video has 9."
    online.tell(sentence, is_error=True, panel="Clip", job_id="0" * 32, remedy=fewer_frames(8))
    try:
        found = draw_all(blender.context)
        clip = found["Clip"]
        assert {"ex4d.dismiss", "ex4d.show_details"} <= set(clip.operators())
        assert {"text": "Import the First 8", "num_frames": 8}.items() <= clip.button("ex4d.import_clip").items()
        assert [name for name, drawn in found.items() if "8 frames but" in drawn.words] == ["Clip"]
    finally:
        online.tell("")


@pytest.mark.parametrize("panel", ["Takes", "Camera", "Clip", "Elsewhere"])
def test_a_message_whose_panel_is_not_there_is_shown_with_the_clip(blender, online, panel):
    online.tell("It went wrong.", is_error=True, panel=panel)
    try:
        assert [n for n, d in draw_all(blender.context).items() if "It went wrong" in d.words] == ["Clip"]
    finally:
        online.tell("")


def test_an_error_goes_when_its_panel_does_something_well(blender, online, shot, moving_camera):
    online.tell("It went wrong.", is_error=True, panel="Takes")
    blender.ops.ex4d.go_to_frame(frame=2)
    assert "It went wrong" in draw_all(blender.context)["Takes"].words, "another panel's success says nothing of it"
    blender.ops.ex4d.roll_seed()
    assert "It went wrong" not in draw_all(blender.context)["Takes"].words


def test_details_of_a_failed_job_are_its_log(connected, sources, small_clip, tmp_path):
    from blender_addon.work import session

    depth = small_clip.depth.copy()
    depth[1, 10, 10:15] = np.nan
    np.savez(tmp_path / "bad.npz", depth=depth)
    with pytest.raises(RuntimeError):
        connected.ops.ex4d.import_clip(**{**sources, "depth_path": str(tmp_path / "bad.npz")})
    current = session.get()
    assert current.message_is_error and current.message_panel == "Clip" and len(current.message_job) == 32
    from blender_addon.panels import fixes

    assert current.message_remedy == fill_invalid()
    assert fixes.fix_for(current.message_remedy) is not None
    assert connected.ops.ex4d.show_details() == {"FINISHED"}
    text = connected.data.texts["EX-4D job.log"].as_string()
    assert text.startswith("The depth") or "bad.npz" in text
    assert "attempt 1 starts" in text


def test_the_cost_comes_from_the_backend(connected, shot, moving_camera):
    import time

    from blender_addon.jobs import cost_watch
    from blender_addon.work import session

    scene = connected.context.scene
    assert cost_watch.of(scene, shot) is None
    end = time.monotonic() + 240
    while cost_watch.of(scene, shot) is None:
        assert time.monotonic() < end
        session.get().tick()
        cost_watch.tick()
        time.sleep(0.003)  # the backend needs the processor too
    found = cost_watch.of(scene, shot)
    assert found is not None and (found.engine, found.frames) == ("preview", 5)
    assert cost_watch.lines(found)[0] == "5 frames"
    scene.ex4d.stereo = True
    both = cost_watch.of(scene, shot)
    scene.ex4d.stereo = False
    assert found.seconds and both is not None and both.seconds == 2 * found.seconds
