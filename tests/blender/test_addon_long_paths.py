"""Folders that Blender cannot use, or nobody can make: said in a sentence before anything is made."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from full_disk import no_file_beyond
from test_addon_take_operators import two_takes  # noqa: F401  a fixture

TOO_LONG = "choose a folder with a shorter path"


def long_folder(parent: Path, length: int) -> Path:
    """A folder whose path has so many bytes, each name in it a plain one."""
    path = str(parent)
    while len(path) < length - 100:
        path += "/" + "d" * 50
    return Path(f"{path}/{'e' * (length - len(path) - 1)}")


def refusal(press: Callable[[], Any]) -> str:
    """What is said when the operator refuses."""
    with pytest.raises(RuntimeError) as refused:
        press()
    said = str(refused.value)
    assert "Traceback" not in said and len(said) < 600, said
    return said


@pytest.mark.parametrize("kind", ["ALEMBIC", "USD"])
def test_geometry_goes_to_the_longest_path_that_blender_has_and_to_none_longer(
    blender, shot, moving_camera, tmp_path, kind
):
    from blender_addon.geometry.plan import handled_by_blender, planned

    below = max(map(len, handled_by_blender(planned(blender.context, shot, kind, "3", tmp_path / "out"))))
    export = blender.ops.ex4d.export_geometry
    beyond = long_folder(tmp_path / "beyond", 1023 - below)
    assert TOO_LONG in refusal(lambda: export(kind=kind, grid="3", directory=str(beyond)))
    assert not (tmp_path / "beyond").exists()
    longest = long_folder(tmp_path / "longest", 1022 - below)
    assert export(kind=kind, grid="3", directory=str(longest)) == {"FINISHED"}
    (made,) = longest.iterdir()
    assert sorted(path.suffix for path in made.glob("clip*")) == ([".abc"] if kind == "ALEMBIC" else [".usda", ".usdc"])


@pytest.mark.parametrize("nowhere", ["/proc/nothing/out", "file/out", "file", "n" * 300])
def test_a_folder_that_cannot_be_made_is_said_to_be_that(blender, two_takes, tmp_path, nowhere):  # noqa: F811
    (tmp_path / "file").write_text("no folder")
    before, operators, folder = sorted(tmp_path.iterdir()), blender.ops.ex4d, str(tmp_path / nowhere)
    for press in (
        lambda: operators.export_geometry(kind="USD", grid="3", directory=folder),
        lambda: operators.export_take(index=0, kind="PNG", directory=folder),
        lambda: operators.export_take(index=0, kind="mp4", directory=folder),
        lambda: operators.write_farm_job(directory=folder),
        lambda: operators.export_camera(layout_name="OURS", filepath=f"{folder}/camera"),
        lambda: operators.export_camera(layout_name="ALEMBIC", filepath=f"{folder}/camera"),
        lambda: operators.export_camera(layout_name="COLMAP", filepath=f"{folder}/camera"),
    ):
        said = refusal(press)
        assert "Cannot write" in said and ("path" in said or "permission denied" in said), said
    assert sorted(tmp_path.iterdir()) == before


def test_a_take_and_a_clip_go_to_no_folder_whose_files_blender_could_not_open(connected, sources, tmp_path):
    operators, far = connected.ops.ex4d, str(long_folder(tmp_path / "far", 980))
    assert TOO_LONG in refusal(lambda: operators.import_clip(**sources, folder=far))
    operators.import_clip(**sources)
    operators.add_camera_move(preset="30")
    assert TOO_LONG in refusal(lambda: operators.generate(engine="preview", folder=far))
    assert not (tmp_path / "far").exists() and not connected.context.scene.ex4d.takes


def test_a_copy_of_a_take_that_the_disk_cannot_hold_is_taken_back(blender, two_takes, tmp_path):  # noqa: F811
    with no_file_beyond(200):
        said = refusal(lambda: blender.ops.ex4d.export_take(index=0, kind="PNG", directory=str(tmp_path / "out")))
    assert "Cannot write" in said and "the file would grow beyond the allowed size" in said and "[(" not in said
    assert ".ex4d-export" not in said and str(tmp_path / "out") in said
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("layout", ["FBX", "ALEMBIC"])
def test_a_camera_that_the_disk_cannot_hold_leaves_what_was_there(blender, shot, moving_camera, tmp_path, layout):
    path = tmp_path / "out" / f"camera.{'fbx' if layout == 'FBX' else 'abc'}"
    path.parent.mkdir()
    path.write_bytes(b"older")
    with no_file_beyond(200):
        said = refusal(lambda: blender.ops.ex4d.export_camera(layout_name=layout, filepath=str(path)))
    assert path.name in said and ".partial" not in said
    assert [(each.name, each.read_bytes()) for each in path.parent.iterdir()] == [(path.name, b"older")]


@pytest.mark.parametrize("kind", ["ALEMBIC", "USD"])
def test_a_second_blender_that_a_full_disk_ends_is_told_so(blender, shot, moving_camera, tmp_path, monkeypatch, kind):
    """Its exporters abort where they cannot write, without a word of why."""
    from blender_addon.geometry import export, plan
    from blender_addon.work.errors import StorageError

    made = plan.with_cameras(blender.context, shot, plan.planned(blender.context, shot, kind, "1", tmp_path / "out"))
    start: Any = subprocess.Popen

    def limited(*arguments: Any, **more: Any) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = start(*arguments, **more)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4000, 4000))
        return process

    monkeypatch.setattr("blender_addon.geometry.second_blender.subprocess.Popen", limited)
    with pytest.raises(StorageError) as refused, no_file_beyond(3 << 20):  # more than is written here
        for _ in export.written(made):
            pass
    assert f"Cannot write {made.target}: the file would grow beyond the allowed size" in str(refused.value)
    assert not (tmp_path / "out").exists()
