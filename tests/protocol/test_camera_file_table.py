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
@pytest.mark.comes_in("Cameras", "poses of TUM, KITTI, 7-Scenes", "read; the lens is the clip's, or assumed and said")
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
