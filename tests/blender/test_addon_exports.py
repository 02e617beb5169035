"""What is written out gets the name that was asked for, and takes the place of nothing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from test_addon_take_operators import two_takes  # noqa: F401  a fixture

from ex4d_ground.exports import get_kind
from ex4d_ground.takes import TakeInfo


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("layout", "given", "made"),
    [
        ("OURS", "cam_v1.3", "cam_v1.3.npz"),
        ("OURS", "cam.NPZ", "cam.npz"),
        ("OURS", "cam", "cam.npz"),
        ("EX4D", "sh010.cam.v2", "sh010.cam.v2.npz"),
        ("NERFSTUDIO", "cam_v1.3", "cam_v1.3.json"),
        ("NERFSTUDIO", "camera.npz", "camera.json"),
        ("FBX", "cam_v1.3", "cam_v1.3.fbx"),
        ("FBX", "2026.11.28", "2026.11.28.fbx"),
        ("ALEMBIC", "shot.010", "shot.010.abc"),
        ("COLMAP", "cam_v1.3", "cam_v1.3"),
        ("COLMAP", "camera.npz", "camera"),
        ("OURS", ".hidden", ".hidden.npz"),
        ("OURS", "キャメラ.1", "キャメラ.1.npz"),
    ],
)
def test_a_camera_files_ending_is_appended_and_its_name_kept(
    blender, shot, moving_camera, tmp_path, layout, given, made
):
    folder = tmp_path / "out"
    folder.mkdir()
    if layout == "EX4D":
        moving_camera.data.animation_data_clear()
    if layout in ("EX4D", "NERFSTUDIO"):
        blender.context.scene.render.pixel_aspect_y = 1.0
    blender.ops.ex4d.export_camera(layout_name=layout, filepath=str(folder / given))
    assert names(folder) == [made]


def test_two_versions_of_a_camera_stand_side_by_side(blender, shot, moving_camera, tmp_path):
    for name in ("cam_v1.2", "cam_v1.3"):
        blender.ops.ex4d.export_camera(layout_name="OURS", filepath=str(tmp_path / "out" / name))
    assert names(tmp_path / "out") == ["cam_v1.2.npz", "cam_v1.3.npz"]


def test_a_colmap_folder_that_is_there_is_not_written_into(blender, shot, moving_camera, tmp_path):
    solved = tmp_path / "sparse"
    solved.mkdir()
    (solved / "images.txt").write_text("solved by hand")
    blender.ops.ex4d.export_camera(layout_name="COLMAP", filepath=str(solved))
    assert (solved / "images.txt").read_text() == "solved by hand"
    assert names(tmp_path / "sparse_2") == ["cameras.txt", "images.txt", "points3D.txt"]


def test_a_take_copied_twice_is_there_twice(blender, two_takes, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    for _ in range(3):
        blender.ops.ex4d.export_take(index=0, kind="PNG", directory=str(out))
    assert names(out) == ["take_001_PNG", "take_001_PNG_2", "take_001_PNG_3"]


def test_files_of_an_export_get_their_names_all_or_none(blender, tmp_path):
    from blender_addon.takes.export import TakeExport, _take_places
    from blender_addon.work.errors import AddonError

    staging, folder = tmp_path / "staging", tmp_path / "out"
    staging.mkdir()
    folder.mkdir()
    for name in ("frame_0001.exr", "frame_0002.exr"):
        (staging / name).write_bytes(b"new")
    (folder / "shot.1002.exr").write_bytes(b"older")  # came after the export was planned
    paths = (Path("shot.1001.exr"), Path("shot.1002.exr"))
    plan = TakeExport(tmp_path / "take", TakeInfo(engine="preview"), get_kind("exr"), folder, paths)
    with pytest.raises(AddonError, match=r"shot\.1002\.exr is there already"):
        _take_places(staging, plan)
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("shot.1002.exr", b"older")]


def test_a_copy_that_fails_leaves_no_folder_behind(blender, two_takes, tmp_path, monkeypatch):  # noqa: F811
    from blender_addon.work import files

    def full(source, target, **_):
        target.mkdir(parents=True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "copy_folder", full)
    with pytest.raises(RuntimeError, match="the disk is full"):
        blender.ops.ex4d.export_take(index=0, kind="PNG", directory=str(tmp_path / "of" / "mine"))
    assert not (tmp_path / "of").exists()


def test_what_lies_in_a_folder_of_the_takes_name_stays(blender, two_takes, tmp_path):  # noqa: F811
    mine = tmp_path / "out" / "take_001_PNG"
    mine.mkdir(parents=True)
    (mine / "frame_0001.png").write_bytes(b"graded by hand")
    blender.ops.ex4d.export_take(index=0, kind="PNG", directory=str(tmp_path / "out"))
    assert names(mine) == ["frame_0001.png"] and (mine / "frame_0001.png").read_bytes() == b"graded by hand"
    assert len(names(tmp_path / "out" / "take_001_PNG_2")) == 6


@pytest.mark.parametrize(("kind", "what"), [("PNG", "take"), ("mp4", "take"), ("USD", "geometry")])
def test_a_folder_that_cannot_be_is_refused_in_a_sentence(
    blender,
    two_takes,  # noqa: F811
    tmp_path,
    kind,
    what,
):
    export = getattr(blender.ops.ex4d, f"export_{what}")
    with pytest.raises(RuntimeError) as refused:
        export(kind=kind, directory=str(tmp_path / ("n" * 300)))
    assert "Cannot write" in str(refused.value) and "too long; choose a shorter one" in str(refused.value)
    assert "Traceback" not in str(refused.value)


@pytest.mark.usefixtures("quiet")
def test_a_folder_beside_a_blend_that_was_never_saved_is_nowhere_yet(blender, tmp_path, monkeypatch):
    from blender_addon.work.chosen import chosen_folder
    from blender_addon.work.errors import AddonError

    monkeypatch.chdir(tmp_path)
    assert chosen_folder("//out") == Path(blender.data.filepath).parent / "out"
    blender.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with pytest.raises(AddonError, match=r"'//out' lies beside the \.blend, which has not been saved yet"):
        chosen_folder("//out")
    assert chosen_folder("out") == tmp_path / "out"
