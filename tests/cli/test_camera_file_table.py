"""Camera files of every kind on the command line; the same table is read by the library and by Blender."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from camera_cases import ASSUMED, CASES, CENTRED, FRAMES, HEIGHT, WIDTH, CameraCase, poses

from ex4d_ground.camera_files import load_camera


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Options that name a tiny clip of the table's size and length."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / "plate").mkdir()
    rng = np.random.default_rng(2)
    for i in range(FRAMES):
        picture = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        cv2.imwrite(str(folder / "plate" / f"frame_{i + 1:04d}.png"), picture)
    np.savez(folder / "depth.npz", depth=np.full((FRAMES, HEIGHT, WIDTH), 4.0, np.float32))
    return ("--input_video", folder / "plate", "--depth", folder / "depth.npz", "--focal", 40)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_command_line_reads_every_camera_file_as_the_library_does(ex4d, clip, tmp_path, case: CameraCase):
    path, out = case.make(tmp_path), tmp_path / "out"
    done = ex4d("recon", *clip, "--cam", path, "--save_camera", "--output_dir", out)
    if case.lens is None:
        assert done.code == 2 and case.refused in done.last and path.name in done.last
        assert not out.exists()
        return
    assert done.code == 0, done.err
    (saved,) = out.glob("camera_*.npz")
    move = load_camera(saved, size=(WIDTH, HEIGHT))
    np.testing.assert_allclose(move.world_from_camera, poses(), atol=1e-6)
    lens = CENTRED if case.lens is ASSUMED else case.lens  # the clip's own, where the file has none
    np.testing.assert_allclose(move.intrinsics[0], lens, rtol=1e-6)
    np.testing.assert_allclose(move.intrinsics[-1], case.last_lens or lens, rtol=1e-6)
    assert lens is not case.lens or case.said in done.err
