"""A shot linked into another .blend: it plays there, says what cannot be done, and can be worked on as an override."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_addon_operators import fails


@pytest.fixture
def elsewhere(ready, tmp_path):
    """Another .blend in another folder; returns a function that links the shot's collection into it."""

    def link(*, override: bool):
        (tmp_path / "other").mkdir()
        ready.ops.wm.read_homefile(use_empty=True, use_factory_startup=False, load_ui=False)
        ready.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other" / "other.blend"))
        with ready.data.libraries.load(str(tmp_path / "scene.blend"), link=True, relative=True) as (_, wanted):
            wanted.collections = ["clip"]
        found = wanted.collections[0]
        scene = ready.context.scene
        scene.render.resolution_x, scene.render.resolution_y = 128, 96
        scene.collection.children.link(found)
        if override:
            found = found.override_hierarchy_create(scene, ready.context.view_layer, do_fully_editable=True)
        scene.ex4d.shot = next(obj for obj in found.all_objects if obj.ex4d.is_shot)
        return scene.ex4d.shot

    return link


def assert_plays(blender, small_clip) -> None:
    from blender_addon.scene import mesh

    for frame in (1, 4, 5):
        blender.context.scene.frame_set(frame)
        body = blender.context.scene.ex4d.shot.ex4d.mesh
        shown = mesh.evaluated_positions(body, blender.context.evaluated_depsgraph_get())
        np.testing.assert_allclose(shown, small_clip.vertices(frame - 1), rtol=1e-5, atol=1e-5)


def reopen(blender) -> None:
    blender.ops.wm.save_mainfile()
    blender.ops.wm.open_mainfile(filepath=blender.data.filepath)


def test_a_linked_shot_plays_and_says_what_cannot_be_changed(ready, elsewhere, small_clip, tmp_path, quiet):
    blender = ready
    assert elsewhere(override=False).library is not None
    assert_plays(blender, small_clip)
    operators = blender.ops.ex4d
    sentence = "'clip' is linked from scene.blend, so it cannot be changed here; make a library override"
    assert sentence in fails(operators.add_camera_move, preset="30")
    for refused in (operators.edit_frame, operators.paint_occlusion):
        assert "'clip Mesh' is linked from scene.blend; make it local, or open that file" in fails(refused)
    assert "comes from another file" in fails(operators.update_visible)
    # Its own camera move can be looked through: what is made of it lies beside this file, not that one.
    assert operators.render_guides() == {"FINISHED"}
    assert operators.generate(engine="preview") == {"FINISHED"}
    assert (tmp_path / "other" / "other_ex4d" / "clip" / "take_001" / "take.json").exists()
    assert not (tmp_path / "scene_ex4d" / "clip" / "take_001").exists()
    reopen(blender)
    assert_plays(blender, small_clip)
    assert [take.folder for take in blender.context.scene.ex4d.takes] == ["//other_ex4d/clip/take_001"]


def test_an_override_has_its_own_camera_and_takes_and_keeps_them(ready, elsewhere, small_clip, tmp_path, quiet):
    blender = ready
    shot = elsewhere(override=True)
    assert shot.library is None and shot.override_library is not None
    assert_plays(blender, small_clip)
    operators = blender.ops.ex4d
    shot.ex4d.camera = None
    assert operators.add_camera_move(preset="zoom_in") == {"FINISHED"}
    assert "make it local, or open that file" in fails(operators.edit_frame)
    assert operators.generate(engine="preview") == {"FINISHED"}
    reopen(blender)
    assert_plays(blender, small_clip)
    props = blender.context.scene.ex4d.shot.ex4d
    assert props.camera is not None and props.camera.library is None
    assert len(props.coverage_json) > 10
    assert [take.name for take in blender.context.scene.ex4d.takes] == ["take_001"]
    assert operators.generate(engine="preview") == {"FINISHED"}
    names = {path.name for path in Path(tmp_path / "other" / "other_ex4d" / "clip").iterdir()}
    assert {"take_001", "take_002"} <= names
