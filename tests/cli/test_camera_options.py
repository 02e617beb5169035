"""Camera files and lenses as other programs leave them, from the command line to the take that records them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ex4d_ground.camera_files import load_camera, save_camera
from ex4d_ground.cameras import Intrinsics, from_matrices
from ex4d_ground.takes import read_take_info

from .conftest import Shot

W, H, FRAMES = 56, 40, 6


def slide(count: int = FRAMES, *, start: float = 0.0, time: np.ndarray | None = None):
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 3] = start + np.linspace(0, 0.2, count)
    return from_matrices(poses, intrinsics=Intrinsics.from_fov(W, H, 50.0), source_time=time)


def saved(ex4d, shot: Shot, tmp_path, *options):
    done = ex4d("recon", *shot.source, "--save_camera", "--output_dir", tmp_path / "out", *options)
    assert done.code == 0, done.err
    (camera,) = (tmp_path / "out").glob("camera_*.npz")
    return load_camera(camera, size=(W, H)), done


def test_num_frames_cuts_a_camera_file_too(ex4d, shot, tmp_path) -> None:
    save_camera(tmp_path / "move.npz", slide(49))
    move, _ = saved(ex4d, shot, tmp_path, "--cam", tmp_path / "move.npz", "--num_frames", 4)
    np.testing.assert_allclose(move.world_from_camera[:, 0, 3], slide(49).world_from_camera[:4, 0, 3], atol=1e-6)


def test_a_frozen_move_is_not_cut_where_it_shows_frames_that_are_there(ex4d, shot, tmp_path) -> None:
    save_camera(tmp_path / "frozen.npz", slide(9, time=np.full(9, 2.0)))
    assert len(saved(ex4d, shot, tmp_path, "--cam", tmp_path / "frozen.npz", "--num_frames", 4)[0]) == 9


def test_a_camera_longer_than_the_clip_is_refused_with_both_lengths_counted_from_one(ex4d, shot, tmp_path) -> None:
    save_camera(tmp_path / "move.npz", slide(9))
    done = ex4d("recon", *shot.source, "--cam", tmp_path / "move.npz", "--output_dir", tmp_path / "out")
    assert done.code == 2 and "Frame 7 of the move shows frame 7 of the clip, which has 6 frames" in done.last


@pytest.mark.comes_in("Cameras", "a path in a world of its own, far from the source camera", "read, and named")
@pytest.mark.parametrize("start", [50.0, 0.0])
def test_a_path_in_a_world_of_its_own_is_named(ex4d, shot, tmp_path, start) -> None:
    save_camera(tmp_path / "move.npz", slide(start=start))
    _, done = saved(ex4d, shot, tmp_path, "--cam", tmp_path / "move.npz")
    assert ("starts 50 units" in done.err) == ("in a world of its own" in done.err) == (start > 0)


def test_poses_without_a_lens_have_the_clips(ex4d, shot, tmp_path) -> None:
    lines = [f"{i} {0.1 * i} 0 0 0 0 0 1" for i in range(FRAMES)]
    (tmp_path / "path.txt").write_text("\n".join(lines))
    move, done = saved(ex4d, shot, tmp_path, "--cam", tmp_path / "path.txt", "--focal", 70)
    np.testing.assert_allclose(move.intrinsics, [[70, 70, W / 2, H / 2]] * FRAMES)
    np.testing.assert_allclose(move.world_from_camera[:, 0, 3], 0.1 * np.arange(FRAMES), atol=1e-6)
    assert "no lens" not in done.err


def test_a_distorted_lens_is_used_without_its_distortion_and_that_is_said(ex4d, shot, tmp_path) -> None:
    save_camera(tmp_path / "transforms.json", slide())
    document = json.loads((tmp_path / "transforms.json").read_text())
    (tmp_path / "transforms.json").write_text(json.dumps(document | {"k1": -0.1, "camera_model": "OPENCV"}))
    _, done = saved(ex4d, shot, tmp_path, "--cam", tmp_path / "transforms.json")
    assert "bends lines (k1 = -0.1)" in done.err and "Traceback" not in done.err


LENSES = {
    "transforms.json": lambda p: save_camera(p, from_matrices(
        np.eye(4)[None], intrinsics=Intrinsics(120, 122, 57, 41, 2 * W, 2 * H))),
    "K.txt": lambda p: p.write_text("60 0 28.5\n0 61 20.5\n0 0 1\n"),
    "four.txt": lambda p: p.write_text("60, 61, 28.5, 20.5"),
    "K.npy": lambda p: np.save(p, np.array([[60, 0, 28.5], [0, 61, 20.5], [0, 0, 1]])),
    "intrinsic_color.txt": lambda p: p.write_text("60 0 28.5 0\n0 61 20.5 0\n0 0 1 0\n0 0 0 1\n"),
}  # fmt: skip


@pytest.mark.comes_in("Cameras", "a lens from a camera file or a matrix K (.txt, .npy)", "used, scaled to the video")
@pytest.mark.parametrize("name", LENSES)
def test_a_lens_is_taken_from_a_camera_file_or_a_matrix(ex4d, shot, tmp_path, name) -> None:
    LENSES[name](tmp_path / name)
    source = (*shot.source, "--cam", "static", "--lens_from", tmp_path / name, "--output_dir", tmp_path / "takes")
    done = ex4d("preview", *source)
    assert done.code == 0, done.err
    info = read_take_info(tmp_path / "takes" / "take_001")
    assert info.camera is not None
    np.testing.assert_allclose(info.camera.intrinsics[0], [60, 61, 28.5, 20.5])
    assert info.metadata["clip"]["focal_source"] == f"given: {name}"


def test_the_numbers_of_a_lens_are_given_one_by_one(ex4d, shot, tmp_path) -> None:
    given = ("--focal", 60, "--fy", 61, "--cx", 28.5, "--cy", 20.5)
    move, _ = saved(ex4d, shot, tmp_path, "--cam", "static", *given)
    np.testing.assert_allclose(move.intrinsics[0], [60, 61, 28.5, 20.5])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("K.txt", "1000 0 960\n0 1000 540\n0 0 1", "a picture of about 1920x1080 has, but the video is 56x40"),
        ("K.txt", "1 2 3", "holds 3 numbers; a lens is a matrix of 3x3"),
        ("K.txt", "-60 0 28\n0 60 20\n0 0 1", "Focal lengths must be positive"),
        ("K.txt", "sixty", "cannot be read as the matrix of a lens"),
    ],
)
def test_a_matrix_that_is_no_lens_of_this_video_is_refused(ex4d, shot, tmp_path, name, text, said) -> None:
    (tmp_path / name).write_text(text)
    source = (*shot.source, "--cam", "static", "--lens_from", tmp_path / name)
    done = ex4d("preview", *source, "--output_dir", tmp_path / "out")
    assert done.code == 2 and said in done.last and not (tmp_path / "out").exists()


def test_an_assumed_lens_is_recorded_as_assumed(ex4d, shot, tmp_path) -> None:
    assert ex4d("preview", *shot.source, "--cam", "static", "--output_dir", tmp_path).code == 0
    assert read_take_info(tmp_path / "take_001").metadata["clip"]["focal_source"] == "assumed: 54.22 deg"
