"""No save is asked for first: without a .blend files lie in a folder, and the first save takes them beside it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import bpy
import pytest


@pytest.fixture
def unsaved(
    blender: Any, address: str, sources: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A scene that was never saved, with a shot and a take in it."""
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    blender.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    operators = blender.ops.ex4d
    operators.connect(address=address)
    assert blender.data.filepath == "" and operators.import_clip(**sources) == {"FINISHED"}
    operators.add_camera_move(preset="30")
    operators.generate(engine="preview", seed=1)
    return blender


def paths() -> dict[str, Path]:
    """Where everything that plays has its files."""
    scene = bpy.context.scene
    shot = scene.ex4d.shot
    found = {image.name: image.filepath for image in bpy.data.images if image.source == "SEQUENCE"}
    found["cache"] = next(m.filepath for m in shot.ex4d.mesh.modifiers if m.type == "MESH_CACHE")
    found |= {"shot": shot.ex4d.folder, "take": scene.ex4d.takes[0].folder}
    return {name: Path(bpy.path.abspath(path)) for name, path in found.items()}


def below(folder: Path) -> bool:
    return all(path.exists() and folder in (path, *path.parents) for path in paths().values())


def test_everything_plays_before_the_first_save_and_follows_it(unsaved, tmp_path):
    assert below(tmp_path / "data" / "unsaved")
    home = tmp_path / "home"
    home.mkdir()
    unsaved.ops.wm.save_as_mainfile(filepath=str(home / "my.blend"))
    assert below(home / "my_ex4d" / "clip"), paths()
    shutil.rmtree(tmp_path / "data" / "unsaved")
    shutil.move(home, tmp_path / "elsewhere")
    unsaved.ops.wm.open_mainfile(filepath=str(tmp_path / "elsewhere" / "my.blend"))
    assert below(tmp_path / "elsewhere" / "my_ex4d"), paths()
    unsaved.ops.ex4d.generate(engine="preview", seed=2)
    assert (tmp_path / "elsewhere" / "my_ex4d" / "clip" / "take_002" / "take.json").exists()


def test_a_saved_copy_has_files_of_its_own_and_the_open_scene_keeps_its(unsaved, tmp_path):
    unsaved.ops.wm.save_as_mainfile(filepath=str(tmp_path / "copy.blend"), copy=True)
    assert below(tmp_path / "data" / "unsaved")
    assert (tmp_path / "copy_ex4d" / "clip" / "mesh.pc2").exists()


def test_nothing_that_lies_there_is_replaced(unsaved, tmp_path):
    there = tmp_path / "my_ex4d" / "clip" / "mesh.pc2"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"of another time")
    unsaved.ops.wm.save_as_mainfile(filepath=str(tmp_path / "my.blend"))
    assert there.read_bytes() == b"of another time" and below(tmp_path / "my_ex4d" / "clip_001")


@pytest.mark.parametrize("why", ["no folder", "a folder of that name"])
def test_a_save_that_fails_leaves_the_scene_where_it_was(unsaved, tmp_path, why):
    path = tmp_path / "no" / "my.blend" if why == "no folder" else tmp_path / "my.blend"
    if why != "no folder":
        if unsaved.app.version < (4, 3, 0):
            pytest.skip("4.2 saves there: it keeps the folder as my.blend1")
        path.mkdir()
    with pytest.raises(RuntimeError):
        unsaved.ops.wm.save_as_mainfile(filepath=str(path))
    assert unsaved.data.filepath == "" and below(tmp_path / "data" / "unsaved")
    assert not (path.parent / "my_ex4d" / "clip").exists()


def test_while_something_runs_the_files_stay_until_the_next_save(unsaved, tmp_path):
    from under_way import begin, spin

    task = begin(unsaved, seed=5)
    unsaved.ops.wm.save_as_mainfile(filepath=str(tmp_path / "my.blend"))
    assert below(tmp_path / "data" / "unsaved")
    spin(lambda: task.finished)
    takes = unsaved.context.scene.ex4d.takes
    assert [take.name for take in takes] == ["take_001", "take_002"], "it came into the scene, saved meanwhile"
    unsaved.ops.wm.save_mainfile()
    assert below(tmp_path / "my_ex4d" / "clip")
    assert (tmp_path / "my_ex4d" / "clip" / "take_002" / "take.json").exists()


def test_what_was_never_saved_is_told_and_kept_and_what_was_saved_goes(unsaved, tmp_path):
    from blender_addon.work import unsaved as folders

    assert folders.tell_left_over() == "", "it is in use"
    unsaved.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    (left,) = (tmp_path / "data" / "unsaved").iterdir()
    assert folders.tell_left_over() == f"Files of a scene that was never saved are kept in {left}."
    folders.moved_to([left / "clip"], str(tmp_path / "my.blend"))
    assert folders.tell_left_over() == "" and not left.exists()
