"""The panels in every state; tooltips of everything."""

from __future__ import annotations

import json
from typing import Any

import bpy
import numpy as np
import pytest
from drawn_panels import Layout, draw_all

from ex4d_ground.costs import Cost
from ex4d_ground.files import frame_name
from ex4d_ground.remedies import fewer_frames, fill_invalid, offload
from ex4d_ground.takes import PARTIAL_FILE, TAKE_FILE


def test_before_connecting_every_step_says_what_comes_first(blender):
    found = draw_all(blender.context)
    assert "ex4d.connect" in found["Backend"].operators()
    assert found["Clip"].operators() == [] and "Connect to a backend first" in found["Clip"].words
    for name in ("Mesh", "Camera"):
        assert "Import a clip first" in found[name].words
    assert "Connect to a backend first" in found["Coverage"].words
    assert "Takes appear here" in found["Takes"].words


def test_an_unsaved_file_offers_to_be_saved(blender, online):
    blender.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    clip = draw_all(blender.context)["Clip"]
    assert "Save the .blend first" in clip.words and "wm.save_as_mainfile" in clip.operators()
    assert "ex4d.import_clip" in clip.operators(usable=False)


def test_the_clip_panel_asks_for_what_is_missing_in_turn(blender, online):
    props = blender.context.scene.ex4d
    assert "Choose a video" in draw_all(blender.context)["Clip"].words
    props.video_path = "//a.mp4"
    assert "Choose its depth" in draw_all(blender.context)["Clip"].words
    props.depth_path = "//a.npz"
    clip = draw_all(blender.context)["Clip"]
    assert "ex4d.import_clip" in clip.operators() and not clip.operators(usable=False)
    props.depth_path, props.depth_source = "", "ESTIMATE"
    clip = draw_all(blender.context)["Clip"]
    assert "ex4d.import_clip" in clip.operators() and "Apache-2.0" in clip.words


def test_research_only_is_said_before_anything_is_chosen(blender, online):
    props = blender.context.scene.ex4d
    props.video_path, props.depth_source, props.estimator = "//a.mp4", "ESTIMATE", "crafter"
    clip = draw_all(blender.context)["Clip"]
    assert "RESEARCH ONLY: academic" in clip.words
    assert "ex4d.import_clip" in clip.operators(usable=False) and "not installed" in clip.words
    assert "ex4d.copy_command" in clip.operators()
    layout = Layout()
    holder = type("Menu", (), {"layout": layout})()
    bpy.types.EX4D_MT_estimators.draw(holder, blender.context)
    assert [text for kind, text, _ in layout.drawn if kind == "operator"] == ["ex4d.choose_estimator"] * 2


def test_with_a_shot_the_next_step_is_open_and_the_rest_says_why_not(blender, online, shot):
    found = draw_all(blender.context)
    assert "Focal length 120 px, as given" in found["Clip"].words
    assert "ex4d.add_camera_move" in found["Camera"].operators()
    assert "ex4d.export_camera" in found["Camera"].operators(usable=False)
    for name, operator in (("Coverage", "ex4d.render_guides"), ("Generate", "ex4d.generate")):
        assert operator in found[name].operators(usable=False)
        assert "Add a camera move, or choose a shot camera" in found[name].words


def test_a_lost_cache_is_told(blender, online, shot):
    from blender_addon.scene import shot as shots

    (shots.folder_of(shot) / "mesh.pc2").unlink()
    assert "is missing; import the clip again" in draw_all(blender.context)["Mesh"].words


def test_edit_mode_offers_the_way_out(blender, online, shot, moving_camera):
    blender.context.view_layer.objects.active = shot.ex4d.mesh
    blender.ops.object.mode_set(mode="EDIT")
    try:
        generate = draw_all(blender.context)["Generate"]
        assert "ex4d.generate" in generate.operators(usable=False)
        assert "object.mode_set" in generate.operators()
    finally:
        blender.ops.object.mode_set(mode="OBJECT")


def test_an_engine_that_cannot_run_says_what_is_missing(blender, online, shot, moving_camera):
    blender.context.scene.ex4d.engine = "other"
    generate = draw_all(blender.context)["Generate"]
    assert "ex4d.generate" in generate.operators(usable=False)
    assert "Weights are missing" in generate.words and "ex4d.copy_command" in generate.operators()


def test_the_cost_is_shown_before_anything_starts(blender, online, shot, moving_camera, monkeypatch):
    from blender_addon.jobs import cost_watch

    scene = blender.context.scene
    scene.ex4d.engine = "wan"
    assert "Reckoning what it costs" in draw_all(blender.context)["Generate"].words
    asked = cost_watch._watch.wanted
    assert asked is not None and (asked.engine, asked.num_frames, asked.width, asked.height) == ("wan", 5, 150, 90)
    assert asked.settings == {"memory": "auto"}
    reply = Cost("wan", 5, 150, 90, forwards=50, plan="fp8", peak_bytes=17 << 30, gpu_bytes=24 << 30, seconds=95.0)
    monkeypatch.setattr(cost_watch._watch, "asked", asked)
    monkeypatch.setattr(cost_watch._watch, "answer", reply)
    words = draw_all(blender.context)["Generate"].words
    for part in ("5 frames in 1 window, 50 runs of the model", "fp8: about 17.0 of 24 GiB", "Roughly 2 min"):
        assert part in words
    tight = Cost("wan", 5, 150, 90, problem="The resident plan needs 30 GiB.", remedy=offload())
    monkeypatch.setattr(cost_watch._watch, "answer", tight)
    generate = draw_all(blender.context)["Generate"]
    assert "needs 30 GiB" in generate.words and "ex4d.set_engine_setting" in generate.operators()
    blender.ops.ex4d.set_engine_setting(setting="memory", value="offload")
    assert "Reckoning" in draw_all(blender.context)["Generate"].words, "another setting is another question"


def test_an_older_backend_is_not_asked_what_it_cannot_answer(blender, online, shot, moving_camera, monkeypatch):
    from types import SimpleNamespace

    welcome = SimpleNamespace(major=1, minor=0)
    monkeypatch.setattr(online, "link", SimpleNamespace(client=SimpleNamespace(welcome=welcome)))
    words = draw_all(blender.context)["Generate"].words
    assert "5 frames" in words and "Reckoning" not in words
    monkeypatch.setattr(online, "link", None)


def test_a_running_task_shows_progress_time_left_and_what_can_be_kept(blender, online, shot, moving_camera, tmp_path):
    import time

    from blender_addon.work import tasks

    task = tasks.Task("Generate", (None for _ in range(0)), panel="Generate")
    task.progress = tasks.TaskProgress("generate", 10, 40)
    task.stage_at = time.monotonic() - 20

    class Arrival:
        count = 3

    task.arrival = Arrival()
    online.tasks.append(task)
    try:
        found = draw_all(blender.context)
        generate = found["Generate"]
        assert "generate 10/40" in generate.words and "About 60 s left" in generate.words
        task.progress = tasks.TaskProgress("generate", 10, 40, whole=0.6)
        task.whole_from = time.monotonic() - 40, 0.2
        assert "About 40 s left" in draw_all(blender.context)["Generate"].words, "of the whole job, where that is known"
        assert generate.operators().count("ex4d.cancel") == 2
        assert "ex4d.generate" in generate.operators(usable=False) and "or cancel it" in generate.words
        assert "ex4d.import_clip" in found["Clip"].operators(usable=False)
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


def test_a_failed_job_is_a_sentence_a_button_and_details(blender, online, shot):
    sentence = "The depth has 8 frames but the video has 9."
    online.tell(sentence, is_error=True, panel="Clip", job_id="0" * 32, remedy=fewer_frames(8))
    try:
        found = draw_all(blender.context)
        clip = found["Clip"]
        assert "8 frames but the video has 9" in clip.words
        assert {"ex4d.dismiss", "ex4d.show_details"} <= set(clip.operators())
        assert {"text": "Import the First 8", "num_frames": 8}.items() <= clip.button("ex4d.import_clip").items()
        assert "8 frames but" not in found["Backend"].words, "it is shown where it belongs"
        online.tell("Connected.")
        assert "Connected." in draw_all(blender.context)["Backend"].words
    finally:
        online.tell("")


def test_coverage_and_takes_in_all_their_states(blender, online, shot, moving_camera):
    from blender_addon.guides import coverage
    from blender_addon.takes import listing as takes
    from blender_addon.work import files

    scene = blender.context.scene
    coverage.store(shot, np.array([0.9, 0.4, 0.2, 0.9, 0.3]))
    found = draw_all(blender.context)
    assert "ex4d.go_to_frame" in found["Coverage"].operators()
    folder = files.shot_folder(blender.data.filepath, "clip")
    for number, whole in ((1, True), (2, False)):
        take = folder / f"take_00{number}"
        for index in range(5 if whole else 2):
            files.write_whole(take / frame_name(index), b"")
        name = TAKE_FILE if whole else PARTIAL_FILE
        files.write_whole(take / name, json.dumps({"engine": "preview", "num_frames": 5}).encode())
    assert "ex4d.find_takes" in found["Takes"].operators()
    for number in (1, 2):
        entry = scene.ex4d.takes.add()
        entry.name = f"take_00{number}"
        entry.folder = files.blender_path(folder / entry.name, blender.data.filepath)
        entry.shot_id, entry.engine = shot.ex4d.shot_id, "preview"
        takes._fill_in(entry, shot, takes.read_info(folder / entry.name))
    scene.ex4d.active_take = -1
    assert "Click a take" in draw_all(blender.context)["Takes"].words
    scene.ex4d.active_take = 0
    assert "5 frames by preview, no model" in draw_all(blender.context)["Takes"].words
    scene.ex4d.active_take = 1
    drawn = draw_all(blender.context)["Takes"]
    assert "2 of 5 frames" in drawn.words and "ex4d.another_seed" in drawn.operators()
    scene.ex4d.compare_shot, scene.ex4d.compare_left, scene.ex4d.compare_right = "x", "take_001", "Source"
    drawn = draw_all(blender.context)["Takes"]
    assert ("prop", "wipe", True) in drawn.layout.drawn and "ex4d.end_comparison" in drawn.operators()


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
    end = time.monotonic() + 20
    while cost_watch.of(scene, shot) is None:
        assert time.monotonic() < end
        session.get().tick()
        cost_watch.tick()
    found = cost_watch.of(scene, shot)
    assert found is not None and (found.engine, found.frames) == ("preview", 5)
    assert cost_watch.lines(found)[0] == "5 frames"


def test_preferences_draw_and_lead_to_every_setting(blender):
    from blender_addon.work import preferences

    found = Layout()

    class Page:
        def __getattr__(self, name: str) -> Any:
            return getattr(preferences.get(blender.context), name)

        layout = found

    preferences.EX4D_AP_preferences.draw(Page(), blender.context)  # type: ignore[arg-type]
    shown = {text for kind, text, _ in found.drawn if kind == "prop"}
    assert {"address", "auto_start", "key_file", "backend_command", "data_folder", "timeout_s", "grace_s"} <= shown
    own = {p.identifier for p in preferences.EX4D_AP_preferences.bl_rna.properties if not p.is_readonly}
    assert own - shown <= {"bl_idname"}, "every setting can be reached"


def registered() -> list[type]:
    from blender_addon import registration

    return list(registration.classes())


def test_everything_has_a_tooltip_and_none_ends_in_a_full_stop(blender, online):
    found = []
    for kind in registered():
        rna = kind.bl_rna
        if issubclass(kind, bpy.types.Operator):
            rna = getattr(blender.ops.ex4d, kind.bl_idname.split(".")[1]).get_rna_type()
            found.append((kind.__name__, rna.description))
        base = {p.identifier for b in kind.__mro__[1:] if hasattr(b, "bl_rna") for p in b.bl_rna.properties}
        if issubclass(kind, bpy.types.Panel | bpy.types.Menu | bpy.types.UIList):
            continue
        for prop in rna.properties:
            if prop.identifier in base or prop.identifier in ("rna_type", "name", "bl_idname"):
                continue
            found.append((f"{kind.__name__}.{prop.identifier}", prop.description))
            if prop.type == "ENUM":
                found += [(f"{kind.__name__}.{prop.identifier} {i.identifier}", i.description) for i in prop.enum_items]
    assert len(found) > 100
    wrong = [(name, text) for name, text in found if not text or text.endswith(".") or text != text.strip()]
    assert not wrong, "\n".join(f"{name}: {text!r}" for name, text in wrong)
