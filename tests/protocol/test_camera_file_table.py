"""Camera files of every kind, in the library; the same table is read by the command line and by Blender."""

from __future__ import annotations

import numpy as np
import pytest
from camera_cases import CASES, FRAMES, HEIGHT, WIDTH, CameraCase, poses

from ex4d_ground.camera_files import load_camera, save_camera
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import TrajectoryError


@pytest.mark.comes_in("Cameras", "our .npz, EX-4D's camera_*.npz", "read whole")
@pytest.mark.comes_in("Cameras", "nerfstudio's transforms.json", "read in the order of its pictures' names")
@pytest.mark.comes_in("Cameras", "COLMAP's models, text or binary", "read in the order of its images' names")
@pytest.mark.comes_in("Cameras", "a lens with distortion, a fisheye", "read without its distortion, and said")
@pytest.mark.comes_in("Cameras", "a panorama, an orthographic camera, another kind than perspective", "refused, named")
@pytest.mark.comes_in(
    "Cameras", "poses of TUM, EuRoC, KITTI, 7-Scenes", "read; the lens is the clip's, or assumed and said"
)
@pytest.mark.comes_in("Cameras", "scale, shear, mirroring, NaN, a pipe, endless nesting", "refused with the reason")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_camera_file_is_read_right_or_refused_with_its_reason(case: CameraCase, tmp_path):
    path = case.make(tmp_path)
    if case.lens is None:
        with pytest.raises(TrajectoryError, match=case.refused) as caught:
            load_camera(path, size=(WIDTH, HEIGHT))
        assert path.name in str(caught.value)
        return
    notes: list[str] = []
    move = load_camera(path, size=(WIDTH, HEIGHT), on_note=notes.append)
    assert (case.said in notes[0]) if case.said else not notes
    assert (len(move), move.width, move.height) == (FRAMES, WIDTH, HEIGHT)
    np.testing.assert_allclose(move.world_from_camera, poses(), atol=1e-6)
    np.testing.assert_allclose(move.intrinsics[0], case.lens, rtol=1e-6)
    np.testing.assert_allclose(move.intrinsics[-1], case.last_lens or case.lens, rtol=1e-6)


def test_the_files_inside_a_colmap_folder_name_the_folder(tmp_path):
    folder = next(case for case in CASES if case.name.startswith("COLMAP")).make(tmp_path)
    for name in ("cameras.txt", "images.txt"):
        assert len(load_camera(folder / name)) == FRAMES


@pytest.mark.parametrize("layout", ["ex4d-blender", "ex4d", "nerfstudio", "colmap"])
def test_any_rotation_survives_every_layout(layout, tmp_path):
    generator = np.random.default_rng(3)
    turned = np.tile(np.eye(4), (12, 1, 1))
    for pose in turned:  # any rotation, half turns included
        q, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        pose[:3, :3], pose[:3, 3] = q * np.sign(np.linalg.det(q)), generator.normal(size=3)
    turned[3, :3, :3] = np.diag([-1.0, 1.0, -1.0])
    lenses = np.tile([120.0, 110.0, 64.0, 48.0], (12, 1))
    if layout != "ex4d":
        lenses[6:, 0] = 90.0
    move = Trajectory(turned, lenses, np.arange(12.0), 128, 96, "move")
    path = tmp_path / {"nerfstudio": "move.json", "colmap": "move"}.get(layout, "move.npz")
    save_camera(path, move, layout=layout)
    again = load_camera(path)
    np.testing.assert_allclose(again.world_from_camera, turned, atol=1e-6 if layout == "ex4d" else 1e-9)
    np.testing.assert_allclose(again.intrinsics, lenses, rtol=1e-6)
    assert (again.width, again.height) == (128, 96)


GAPS = [case for case in CASES if "lost a" in case.name and case.lens is not None]


@pytest.mark.comes_in("Cameras", "a frame without a camera", "said; refused in the camera that filmed the clip")
@pytest.mark.parametrize("case", GAPS, ids=lambda case: case.name)
def test_a_file_that_says_how_a_clip_was_filmed_may_lack_no_camera_of_it(case: CameraCase, tmp_path):
    path = case.make(tmp_path)
    assert len(load_camera(path, size=(WIDTH, HEIGHT), whole=2)) == FRAMES  # the gap lies behind the clip
    with pytest.raises(TrajectoryError, match=r"lacks the camera of frame 10 .* have every frame solved"):
        load_camera(path, size=(WIDTH, HEIGHT), whole=3)


def test_the_cameras_of_two_folders_filmed_no_clip(tmp_path):
    path = next(case for case in CASES if case.name == "COLMAP of a rig").make(tmp_path)
    with pytest.raises(TrajectoryError, match=r"2 folders of pictures \(cam0, cam1\); leave those of the clip alone"):
        load_camera(path, whole=FRAMES)


def test_quaternions_that_seem_to_begin_with_w_are_named(tmp_path):
    (tmp_path / "traj.txt").write_text("0 0 0 0 1 0 0 0\n1 0.1 0 0 1 0 0 0\n")
    notes: list[str] = []
    load_camera(tmp_path / "traj.txt", size=(WIDTH, HEIGHT), on_note=notes.append)
    assert "seem to have w first" in notes[0] and "# time tx ty tz qw qx qy qz" in notes[0]
    (tmp_path / "traj.txt").write_text("# time tx ty tz qw qx qy qz\n0 0 0 0 1 0 0 0\n1 0.1 0 0 1 0 0 0\n")
    move = load_camera(tmp_path / "traj.txt", size=(WIDTH, HEIGHT))
    np.testing.assert_allclose(move.world_from_camera[:, :3, :3], np.tile(np.eye(3), (2, 1, 1)))
