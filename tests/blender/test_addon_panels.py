"""The panels in every state: what is shown, what is greyed and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from drawn_panels import Layout, draw_all, panels
from panel_parts import add_takes, tooltip

OF_A_SHOT = {"Camera", "Easing and Centre", "Repair Depth", "Behind Objects", "Lens and Scale", "Retime"}


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
    from blender_addon.jobs import engine_settings

    props = blender.context.scene.ex4d
    props.video_path, props.depth_source, props.estimator = "//a.mp4", "ESTIMATE", "crafter"
    clip = draw_all(blender.context)["From Files"]
    assert "RESEARCH ONLY: academic" in clip.words
    props.estimator = "free"
    assert "RESEARCH ONLY" not in draw_all(blender.context)["From Files"].words
    engine_settings.group(blender.context.scene, "depth free").model = "large"
    assert "RESEARCH ONLY: Apache-2.0" in draw_all(blender.context)["From Files"].words
    props.estimator = "crafter"
    clip = draw_all(blender.context)["From Files"]
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
