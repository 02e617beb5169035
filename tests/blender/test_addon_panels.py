"""The panels in every state: what is shown, what is greyed and why; tooltips of everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from drawn_panels import Layout, draw_all, panels
from small_clip import png_bytes

from ex4d_ground.costs import Cost
from ex4d_ground.files import frame_name
from ex4d_ground.remedies import fewer_frames, fill_invalid, offload
from ex4d_ground.takes import PARTIAL_FILE, TAKE_FILE

OF_A_SHOT = {"Camera", "Easing and Centre", "Repair Depth", "Behind Objects", "Lens and Scale", "Retime"}


def tooltip(operator: str) -> str:
    """Why a greyed button cannot be pressed."""
    return getattr(bpy.types, "EX4D_OT_" + operator.removeprefix("ex4d.")).lacking(bpy.context).text("panel")


def test_an_empty_scene_has_the_clip_panel_alone(blender):
    found = draw_all(blender.context)
    assert set(found) == {"Backend", "Clip", "From Files"}
    assert found["From Files"].closed
    assert found["Clip"].operators() == ["ex4d.open_video", "ex4d.try_example"]
    assert "or drop a video here" in found["Clip"].words
    assert "ex4d.connect" in found["Backend"].operators() and "Not Connected" in found["Backend"].words
    assert ("popover", "EX4D_PT_status", True) in found["Clip"].header.drawn


def test_an_unsaved_file_asks_for_no_save(blender, online):
    blender.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    clip = draw_all(blender.context)["Clip"]
    assert "save" not in clip.words.lower() and "wm.save_as_mainfile" not in clip.operators()
    assert "ex4d.open_video" in clip.operators()


def test_the_files_are_asked_for_in_turn(blender, online):
    props = blender.context.scene.ex4d
    assert "Choose a video" in draw_all(blender.context)["From Files"].words
    props.video_path, props.depth_source = "//a.mp4", "FILE"
    assert "Choose its depth" in draw_all(blender.context)["From Files"].words
    props.depth_path = "//a.npz"
    clip = draw_all(blender.context)["From Files"]
    assert "ex4d.import_clip" in clip.operators() and not clip.operators(usable=False)
    props.depth_path, props.depth_source = "", "ESTIMATE"
    clip = draw_all(blender.context)["From Files"]
    assert "ex4d.import_clip" in clip.operators() and "Apache-2.0" in clip.words
    assert "depth_path" not in clip.props and "depth_scale" not in clip.props, "a field only where it is used"


def test_research_only_is_said_before_anything_is_chosen(blender, online):
    props = blender.context.scene.ex4d
    props.video_path, props.depth_source, props.estimator = "//a.mp4", "ESTIMATE", "crafter"
    clip = draw_all(blender.context)["From Files"]
    assert "RESEARCH ONLY: academic" in clip.words
    assert "ex4d.copy_command" in clip.operators()
    layout = Layout()
    holder = type("Menu", (), {"layout": layout})()
    bpy.types.EX4D_MT_estimators.draw(holder, blender.context)
    assert [text for kind, text, _ in layout.drawn if kind == "operator"] == ["ex4d.choose_estimator"] * 2


def test_with_a_shot_the_camera_comes_next_and_no_take_before_it(blender, online, shot):
    found = draw_all(blender.context)
    assert set(found) >= OF_A_SHOT and not {"Takes", "Coverage", "Settings", "Advanced"} & set(found)
    assert "5 frames  128 x 96  24 fps" in found["Clip"].words
    assert "Focal length 120 px, as given" in found["Lens and Scale"].words
    assert "ex4d.add_camera_move" in found["Camera"].operators()
    assert "ex4d.export_camera" in found["Easing and Centre"].operators(usable=False)
    assert "add a camera move" in tooltip("ex4d.export_camera")
    open_ones = {name for name, drawn in found.items() if not drawn.closed}
    assert open_ones == {"Backend", "Clip", "Camera"}, "everything else is closed at first"


def test_with_a_camera_the_takes_come(blender, online, shot, moving_camera):
    found = draw_all(blender.context)
    assert {"Takes", "Settings", "Coverage"} <= set(found)
    assert "ex4d.generate" in found["Takes"].operators() and "enabled" in found["Camera"].props
    assert "ex4d.render_guides" in found["Camera"].operators(), "until it is known what is seen"


def test_a_move_shows_its_amount_in_its_own_unit(blender, online, shot):
    props = blender.context.scene.ex4d
    for preset, wanted, given, amount in (
        ("orbit_left", "move_angle", np.pi / 6, 30.0),
        ("zoom_in", "move_share", 50.0, 0.5),
        ("lens_zoom", "move_factor", 2.0, 2.0),
    ):
        blender.ops.ex4d.choose_move(preset=preset)
        camera = draw_all(blender.context)["Camera"]
        assert [name for name in camera.props if name.startswith(("move_", "amount"))] == [wanted]
        setattr(props, wanted, given)
        assert props.amount == pytest.approx(amount) and getattr(props, wanted) == pytest.approx(given)
        setattr(props, wanted, 1e6)
        assert props.amount == pytest.approx({"orbit_left": 90, "zoom_in": 0.95, "lens_zoom": 10}[preset])
    blender.ops.ex4d.choose_move(preset="static")
    assert not [name for name in draw_all(blender.context)["Camera"].props if name.startswith(("move_", "amount"))]


def test_a_second_move_replaces_the_first_and_a_small_button_adds_another_camera(blender, online, shot, moving_camera):
    props = blender.context.scene.ex4d
    props.amount, props.easing, props.centre = 20.0, "ease_in", "MEDIAN"
    camera = draw_all(blender.context)["Camera"]
    assert [name for name, _ in camera.layout.buttons if "move" in name and "choose" not in name] == [
        "ex4d.replace_camera_move",
        "ex4d.add_camera_move",
    ]
    chosen = {"preset": "orbit_left", "amount": 20.0, "easing": "ease_in", "centre": "MEDIAN"}
    for operator in ("ex4d.replace_camera_move", "ex4d.add_camera_move"):
        assert chosen.items() <= camera.button(operator).items()


def test_f9_changes_a_move_in_the_moves_own_unit(blender, online):
    """Blender draws these below the 3D view after the move, and runs the operator again on a change."""
    operator = blender.ops.ex4d.add_camera_move.get_rna_type()
    assert {"move_angle", "easing", "centre"} <= set(operator.properties.keys())
    assert {"REGISTER", "UNDO"} <= bpy.types.EX4D_OT_add_camera_move.bl_options

    class Held:
        preset, amount, move_angle, easing, centre = "orbit_left", 30.0, 0.5, "", "NEAREST"
        bl_rna, layout = operator, Layout()

    bpy.types.EX4D_OT_add_camera_move.draw(Held(), blender.context)
    drawn = [name for kind, name, _ in Held.layout.drawn if kind == "prop"]
    assert drawn == ["preset", "move_angle", "easing", "centre"]


def test_footage_whose_colours_change_is_offered_its_own(blender, online, shot):
    scene = blender.context.scene
    scene.view_settings.view_transform = "AgX"
    lens = draw_all(blender.context)["Lens and Scale"]
    assert "AgX changes the footage's colours" in lens.words and "ex4d.standard_view" in lens.operators()
    blender.ops.ex4d.standard_view()
    assert "ex4d.standard_view" not in draw_all(blender.context)["Lens and Scale"].operators()


def test_a_lost_cache_is_told(blender, online, shot):
    from blender_addon.scene import shot as shots

    (shots.folder_of(shot) / "mesh.pc2").unlink()
    assert "is missing; import the clip again" in draw_all(blender.context)["Clip"].words


def test_a_lost_mesh_is_told_and_what_needs_it_goes(blender, online, shot):
    blender.data.objects.remove(shot.ex4d.mesh)
    found = draw_all(blender.context)
    assert "mesh was deleted; import it again" in found["Clip"].words
    assert not OF_A_SHOT & set(found)


def test_a_shot_that_is_in_another_scene_is_told(blender, online, shot):
    for collection in list(shot.users_collection):
        collection.objects.unlink(shot)
    found = draw_all(blender.context)
    assert "not in the scene any more" in found["Clip"].words and not OF_A_SHOT & set(found)


def test_edit_mode_offers_the_way_out(blender, online, shot, moving_camera):
    blender.context.view_layer.objects.active = shot.ex4d.mesh
    blender.ops.object.mode_set(mode="EDIT")
    try:
        takes = draw_all(blender.context)["Takes"]
        assert "ex4d.generate" in takes.operators(usable=False) and "Object Mode" in tooltip("ex4d.generate")
        assert "object.mode_set" in takes.operators()
        with pytest.raises(RuntimeError, match=r"Edit Mesh Mode; switch to Object Mode \(Tab\)"):
            blender.ops.ex4d.generate()
    finally:
        blender.ops.object.mode_set(mode="OBJECT")


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


def test_progress_stands_in_the_place_of_the_button_that_started_it(blender, online, shot, moving_camera):
    import time

    from blender_addon.work import tasks

    task = tasks.Task("Generate", (None for _ in range(0)), panel="Takes")
    task.progress = tasks.TaskProgress("preview", 10, 40)
    task.stage_at = time.monotonic() - 20

    class Arrival:
        count = 3

    task.arrival = Arrival()
    online.tasks.append(task)
    try:
        takes = draw_all(blender.context)["Takes"]
        assert "Frame 10/40  1:00 left" in takes.words and "ex4d.generate" not in takes.operators()
        task.progress = tasks.TaskProgress("preview", 10, 40, whole=0.6)
        task.whole_from = time.monotonic() - 40, 0.2
        takes = draw_all(blender.context)["Takes"]
        assert "0:40 left" in takes.words, "of the whole job, where that is known"
        assert [given["keep"] for name, given in takes.layout.buttons if name == "ex4d.cancel"] == [True, False]
    finally:
        online.tasks.clear()


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


def test_coverage_is_a_share_and_the_worst_frame_and_more_on_a_click(blender, online, shot, moving_camera):
    from blender_addon.guides import coverage

    coverage.store(shot, np.array([0.9, 0.4, 0.2, 0.9, 0.3]))
    found = draw_all(blender.context)
    camera = found["Camera"]
    assert "54%" in camera.words and camera.button("ex4d.go_to_frame") == {"text": "20%", "frame": 3}
    closer = found["Coverage"]
    assert closer.operators().count("ex4d.go_to_frame") == 2 and "ex4d.mark_problems" in closer.operators()
    for label in ("100%", "50%", "0%", "1", "5"):
        assert label in closer.words.split(), "the graph has axes"


def add_takes(blender: Any, shot: Any, *whole: bool) -> None:
    """Takes on disk and in the list; those that are not whole have two of their five frames."""
    from blender_addon.takes import listing as takes
    from blender_addon.work import files

    scene = blender.context.scene
    folder = files.shot_folder(blender.data.filepath, "clip")
    for number, is_whole in enumerate(whole, 1):
        take = folder / f"take_{number:03}"
        for index in range(5 if is_whole else 2):
            files.write_whole(take / frame_name(index), png_bytes(np.full((8, 8, 3), 90 * number, np.uint8)))
        name = TAKE_FILE if is_whole else PARTIAL_FILE
        files.write_whole(take / name, json.dumps({"engine": "preview", "num_frames": 5}).encode())
        entry = scene.ex4d.takes.add()
        entry.name = take.name
        entry.folder = files.blender_path(take, blender.data.filepath)
        entry.shot_id, entry.engine = shot.ex4d.shot_id, "preview"
        takes._fill_in(entry, shot, takes.read_info(take))


def test_takes_in_all_their_states(blender, online, shot, moving_camera):
    scene = blender.context.scene
    assert draw_all(blender.context)["List"].operators() == ["ex4d.find_takes"]
    add_takes(blender, shot, True, False)
    scene.ex4d.active_take = -1
    assert "Click a take" in draw_all(blender.context)["List"].words
    scene.ex4d.active_take = 0
    drawn = draw_all(blender.context)["List"]
    assert "preview, no model  5 frames" in drawn.words
    assert {"ex4d.remove_take", "ex4d.export_take"} <= set(drawn.operators())
    scene.ex4d.active_take = 1
    drawn = draw_all(blender.context)["List"]
    assert "2 of 5 frames" in drawn.words and "ex4d.another_seed" in drawn.operators()
    scene.ex4d.compare_shot, scene.ex4d.compare_left, scene.ex4d.compare_right = "x", "take_001", "Source"
    drawn = draw_all(blender.context)["List"]
    assert ("prop", "wipe", True) in drawn.layout.drawn and "ex4d.end_comparison" in drawn.operators()


def test_what_else_a_take_can_do_is_in_its_menu(blender, online, shot, moving_camera):
    add_takes(blender, shot, True)
    layout = Layout()
    bpy.types.EX4D_MT_take.draw(type("Menu", (), {"layout": layout})(), blender.context)
    assert [name for kind, name, _ in layout.drawn if kind == "operator"] == [
        "ex4d.restore_take",
        "ex4d.another_seed",
        "ex4d.take_to_background",
        "ex4d.take_to_sequencer",
        "ex4d.find_takes",
        "ex4d.receive_takes",
        "ex4d.hide_takes",
    ]
    assert "holds no take that is not here" in tooltip("ex4d.receive_takes")


def test_every_panel_that_code_names_is_one_there_is(blender):
    """A task or an operator whose panel does not exist would speak in the Clip panel for good."""
    import ast

    import blender_addon

    labels = {panel.bl_label for panel in panels() if not getattr(panel, "bl_parent_id", "")}
    named: dict[str, Any] = {}
    for path in Path(blender_addon.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            targets = node.targets if isinstance(node, ast.Assign) else ()
            names = [getattr(node, "arg", ""), *(getattr(target, "id", "") for target in targets)]
            value = getattr(node, "value", None)
            if "panel" in names and isinstance(value, ast.Constant):
                named[f"{path.name}:{value.lineno}"] = value.value
    assert len(named) > 10 and {where: name for where, name in named.items() if name not in labels} == {}


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
    real = preferences.get(blender.context)

    class Page:
        bl_rna = real.bl_rna

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

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
            if prop.identifier in base or prop.identifier in ("rna_type", "name", "bl_idname", *OF_BLENDERS_PRESETS):
                continue
            found.append((f"{kind.__name__}.{prop.identifier}", prop.description))
            if prop.type == "ENUM":
                found += [(f"{kind.__name__}.{prop.identifier} {i.identifier}", i.description) for i in prop.enum_items]
    assert len(found) > 100
    wrong = [(name, text) for name, text in found if not text or text.endswith(".") or text != text.strip()]
    assert not wrong, "\n".join(f"{name}: {text!r}" for name, text in wrong)


OF_BLENDERS_PRESETS = ("remove_name", "remove_active")
