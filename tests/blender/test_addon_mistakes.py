"""What people do wrong in Blender: each gets one sentence in Blender's own words, and loses nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NOT_FOR_PEOPLE = re.compile(
    r"--\w|\bpip\b|Traceback|msgspec|numpy|ndarray|float64|dtype|\[N\b|\bNone\b|errno|Errno|<\w|\\n|0-based|sha256|_OT_"
)
"""Options of a command line, and words of libraries."""

ROWS: dict[str, tuple[Callable[[Any, Path], Any], str]] = {}


def row(sentence: str) -> Callable[[Callable[[Any, Path], Any]], Callable[[Any, Path], Any]]:
    """A mistake, and a part of what is said about it. It prepares the scene and returns the press of the button."""

    def add(mistake: Callable[[Any, Path], Any]) -> Callable[[Any, Path], Any]:
        ROWS[mistake.__name__] = (mistake, sentence)
        return mistake

    return add


def shot_of(blender: Any) -> Any:
    return blender.context.scene.ex4d.shot


def camera_of(blender: Any) -> Any:
    return shot_of(blender).ex4d.camera


@row("has no camera; add a camera move or choose a shot camera")
def generate_without_a_camera(blender, _tmp):
    shot_of(blender).ex4d.camera = None
    return lambda: blender.ops.ex4d.generate()


@row("is not in this scene any more; choose another shot camera")
def the_camera_was_deleted(blender, _tmp):
    blender.context.scene.collection.children[0].objects.unlink(camera_of(blender))
    return lambda: blender.ops.ex4d.generate()


@row("is ortho; set its type to Perspective for a move")
def an_orthographic_camera(blender, _tmp):
    camera_of(blender).data.type = "ORTHO"
    return lambda: blender.ops.ex4d.generate()


@row("is pano; set its type to Perspective for a move")
def a_panorama(blender, _tmp):
    camera_of(blender).data.type = "PANO"
    return lambda: blender.ops.ex4d.render_guides()


@row("is mirrored by a negative scale; make its scale positive")
def a_mirrored_camera(blender, _tmp):
    camera_of(blender).scale.x = -1
    return lambda: blender.ops.ex4d.generate()


@row("has a scale of zero; set its scale to 1")
def a_camera_of_no_size(blender, _tmp):
    camera_of(blender).scale = (0, 0, 0)
    return lambda: blender.ops.ex4d.generate()


@row("is sheared by an uneven scale of a parent")
def a_camera_below_an_uneven_scale(blender, _tmp):
    shot_of(blender).scale = (1, 3, 1)
    rig = blender.data.objects.new("Rig", None)
    blender.context.scene.collection.objects.link(rig)
    rig.rotation_euler, rig.scale = (0.5, 0.4, 0.3), (1, 4, 1)
    camera_of(blender).parent = rig
    return lambda: blender.ops.ex4d.generate()


@row("holds NaN or infinity in its transform; check its keyframes and drivers")
def a_driver_gone_wrong(blender, _tmp):
    camera_of(blender).delta_location.x = float("nan")
    return lambda: blender.ops.ex4d.render_guides()


@row("has no faces at frame 1; give it some, or take its role away")
def a_guide_object_without_faces(blender, _tmp):
    obj = blender.data.objects.new("Line", blender.data.meshes.new("Line"))
    blender.context.scene.collection.objects.link(obj)
    obj.ex4d.role = "HOLDOUT"
    return lambda: blender.ops.ex4d.generate()


@row("remove the modifier that changes them, or its role")
def a_guide_object_that_grows(blender, _tmp):
    mesh = blender.data.meshes.new("Box")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    obj = blender.data.objects.new("Box", mesh)
    blender.context.scene.collection.objects.link(obj)
    obj.ex4d.role = "GUIDE"
    array = obj.modifiers.new("Array", "ARRAY")
    for frame in (1, 5):
        array.count = frame
        array.keyframe_insert("count", frame=frame)
    return lambda: blender.ops.ex4d.generate()


@row("has lost its mesh; undo its deletion or import the clip again")
def the_mesh_was_deleted(blender, _tmp):
    blender.data.objects.remove(shot_of(blender).ex4d.mesh)
    return lambda: blender.ops.ex4d.generate()


@row("has lost its modifier")
def the_cache_was_removed(blender, _tmp):
    shot_of(blender).ex4d.mesh.modifiers.clear()
    return lambda: blender.ops.ex4d.generate()


@row("vertices instead of")
def vertices_were_deleted(blender, _tmp):
    import bmesh

    data = shot_of(blender).ex4d.mesh.data
    edit = bmesh.new()
    edit.from_mesh(data)
    bmesh.ops.delete(edit, geom=list(edit.verts)[:5])
    edit.to_mesh(data)
    edit.free()
    return lambda: blender.ops.ex4d.generate()


@row("no engine 'wan3'; it has: preview")
def an_engine_nobody_has(blender, _tmp):
    return lambda: blender.ops.ex4d.generate(engine="wan3")


@row("The engine settings are not JSON")
def settings_that_are_no_json(blender, _tmp):
    return lambda: blender.ops.ex4d.generate(settings="steps=25")


@row("must be a JSON object")
def settings_that_are_a_list(blender, _tmp):
    return lambda: blender.ops.ex4d.generate(settings="[25]")


@row("Cannot write")
def a_folder_that_cannot_be_written(blender, _tmp):
    return lambda: blender.ops.ex4d.generate(folder="/proc/takes")


@row("backwards")
def a_move_nobody_has(blender, _tmp):
    return lambda: blender.ops.ex4d.add_camera_move(preset="backwards")


@row("put it on what the move turns around")
def the_cursor_behind_the_camera(blender, _tmp):
    blender.context.scene.cursor.location = (0, -50, 0)
    return lambda: blender.ops.ex4d.add_camera_move(preset="30", centre="CURSOR")


@row("There is no camera file")
def a_camera_file_that_is_not_there(blender, tmp):
    return lambda: blender.ops.ex4d.import_camera(filepath=str(tmp / "gone.npz"))


@row("the shot has 5 frames; use a move of the same length")
def a_camera_of_another_length(blender, tmp):
    from ex4d_ground.camera_files import save_camera
    from ex4d_ground.cameras import Trajectory

    move = Trajectory(np.tile(np.eye(4), (3, 1, 1)), np.tile([90.0, 90, 64, 48], (3, 1)), np.arange(3.0), 128, 96)
    save_camera(tmp / "three.npz", move)
    return lambda: blender.ops.ex4d.import_camera(filepath=str(tmp / "three.npz"))


@row("holiday.npz")
def a_camera_file_that_is_something_else(blender, tmp):
    (tmp / "holiday.npz").write_bytes(b"GIF89a" + bytes(200))
    return lambda: blender.ops.ex4d.import_camera(filepath=str(tmp / "holiday.npz"))


@row("Cannot write")
def a_camera_into_nowhere(blender, _tmp):
    return lambda: blender.ops.ex4d.export_camera(layout_name="OURS", filepath="/proc/camera")


@row("No file is chosen; choose where the move goes")
def a_camera_without_a_name(blender, _tmp):
    return lambda: blender.ops.ex4d.export_camera(layout_name="OURS")


def take(blender: Any, *, deleted: bool = False) -> Path:
    """A take; ``deleted`` removes its frames behind Blender's back."""
    blender.ops.ex4d.generate(engine="preview")
    folder = Path(blender.path.abspath(blender.context.scene.ex4d.takes[0].folder))
    for path in folder.glob("frame_*.png") if deleted else ():
        path.unlink()
    return folder


GONE = "any more; generate it again"


@row(GONE)
def showing_a_take_that_was_deleted(blender, _tmp):
    take(blender, deleted=True)
    return lambda: blender.ops.ex4d.show_take(index=0)


@row(GONE)
def a_deleted_take_as_background(blender, _tmp):
    take(blender, deleted=True)
    return lambda: blender.ops.ex4d.take_to_background(index=0)


@row(GONE)
def a_deleted_take_in_the_sequencer(blender, _tmp):
    take(blender, deleted=True)
    return lambda: blender.ops.ex4d.take_to_sequencer(index=0)


@row(GONE)
def exporting_a_deleted_take(blender, tmp):
    take(blender, deleted=True)
    return lambda: blender.ops.ex4d.export_take(index=0, kind="PNG", directory=str(tmp / "out"))


@row("No folder is chosen; choose where the take's files go")
def exporting_to_no_folder(blender, _tmp):
    take(blender)
    return lambda: blender.ops.ex4d.export_take(index=0, kind="PNG")


@row("Cannot write")
def exporting_to_nowhere(blender, _tmp):
    take(blender)
    return lambda: blender.ops.ex4d.export_take(index=0, kind="PNG", directory="/proc/out")


@row("There is no take 8 to compare with; choose one in the list")
def comparing_with_nothing(blender, _tmp):
    take(blender)
    return lambda: blender.ops.ex4d.compare_takes(index=0, other=7)


@row("holds no camera move that can be read; restore the settings without the camera")
def restoring_a_camera_that_was_never_noted(blender, _tmp):
    (take(blender) / "take.json").write_text('{"engine": "preview", "seed": 1}')
    return lambda: blender.ops.ex4d.restore_take(index=0, camera="SAME")


@row("cannot be read; generate it again")
def restoring_a_damaged_take(blender, _tmp):
    (take(blender) / "take.json").write_text("{")
    return lambda: blender.ops.ex4d.restore_take(index=0, camera="NEW")


@row("There is no depth at")
def depth_that_is_not_there(blender, tmp):
    return lambda: import_clip(blender, tmp, depth_path=str(tmp / "gone.npz"))


@row("There is no video at")
def a_video_that_is_not_there(blender, tmp):
    return lambda: import_clip(blender, tmp, video_path=str(tmp / "gone.mp4"))


@row("of no known kind; use")
def a_text_file_as_depth(blender, tmp):
    (tmp / "notes.txt").write_text("near and far")
    return lambda: import_clip(blender, tmp, depth_path=str(tmp / "notes.txt"))


@row("not both")
def two_lenses(blender, tmp):
    return lambda: import_clip(blender, tmp, fov_deg=50.0)


@row("3 frames")
def depth_for_other_frames(blender, tmp):
    np.savez(tmp / "short.npz", depth=np.ones((3, 96, 128), np.float32))
    return lambda: import_clip(blender, tmp, depth_path=str(tmp / "short.npz"))


@row("There is no strip 'Plate' in the sequencer any more; choose another")
def a_strip_that_was_deleted(blender, _tmp):
    return lambda: blender.ops.ex4d.use_footage(kind="STRIP", name="Plate", owner="Scene")


@row("'a b' is not an address")
def an_address_that_is_none(blender, _tmp):
    return lambda: blender.ops.ex4d.connect(address="a b")


@row("is not one of the shot's (1 to 5)")
def editing_a_frame_outside_the_shot(blender, _tmp):
    blender.context.scene.frame_set(40)
    return lambda: blender.ops.ex4d.edit_frame()


def import_clip(blender: Any, tmp: Path, **changes: Any) -> Any:
    sources = {"video_path": str(tmp / "in" / "clip"), "depth_path": str(tmp / "in" / "depth.npz"), "focal_px": 120.0}
    return blender.ops.ex4d.import_clip(**{**sources, **changes})


def snapshot(blender: Any, tmp: Path) -> dict[str, Any]:
    """All that could be lost: files, objects, keys, takes, the frame and what the scene looks through."""
    from blender_addon.scene import keyframes

    scene = blender.context.scene
    found = [path for path in tmp.rglob("*") if path.is_file() and "data" not in path.relative_to(tmp).parts]
    return {
        "files": {path: path.read_bytes() for path in found},
        "objects": sorted(obj.name for obj in blender.data.objects),
        "keys": {obj.name: sum(len(c.keyframe_points) for c in keyframes.fcurves(obj)) for obj in blender.data.objects},
        "takes": [(t.name, t.plane.name if t.plane else "", t.plane.hide_render) for t in scene.ex4d.takes],
        "scene": (scene.frame_current, scene.camera.name if scene.camera else "", len(blender.data.scenes)),
        "shot": shot_of(blender).name,
    }


@pytest.mark.parametrize("name", ROWS)
def test_a_mistake_gets_one_sentence_and_loses_nothing(ready, tmp_path, name, caplog):
    mistake, part = ROWS[name]
    press = mistake(ready, tmp_path)
    before = snapshot(ready, tmp_path)
    with pytest.raises(RuntimeError) as caught:
        press()
    said = str(caught.value).removeprefix("Error: ").strip()
    assert "poll() failed" not in said, "tests press the button"
    assert part in said, said
    assert said.endswith(".") and "\n" not in said and said.count(". ") == 0, said
    assert not NOT_FOR_PEOPLE.search(said), said
    assert not [r for r in caplog.records if r.exc_info], "no exception was logged"
    assert snapshot(ready, tmp_path) == before
