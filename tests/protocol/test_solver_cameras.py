"""Cameras of ViPE, MegaSaM and Depth Anything 3 that turn: each by its own convention, in files as they write them."""

from __future__ import annotations

import camera_cases
import numpy as np
import pytest
from camera_cases import CASES, FRAMES, HEIGHT, WIDTH

from ex4d_ground.camera_files import load_camera
from ex4d_ground.errors import TrajectoryError
from ex4d_ground.poses import pose, rotation_x, rotation_y

SOLVERS = ("ViPE", "ViPE's results", "MegaSaM", "MegaSaM's reconstruction", "Depth Anything 3",
           "Depth Anything 3, streaming")  # fmt: skip


def turning() -> np.ndarray:
    t = np.linspace(0, 1, FRAMES)
    turn = rotation_y(0.5 * t) @ rotation_x(-0.2 * t) @ rotation_y(0.3 * t)
    return pose(turn, np.stack([0.4 * t, -0.1 * t, 0.7 * t * t], axis=-1))


@pytest.mark.comes_in("Cameras", "results of ViPE, MegaSaM, Depth Anything 3", "read by their own conventions")
@pytest.mark.parametrize("name", SOLVERS)
def test_turns_places_and_sizes_are_read_by_each_programs_convention(tmp_path, monkeypatch, name):
    monkeypatch.setattr(camera_cases, "poses", turning)
    path = next(case for case in CASES if case.name == name).make(tmp_path)
    move = load_camera(path)
    np.testing.assert_allclose(move.world_from_camera, turning(), atol=1e-6)
    assert (move.width, move.height) == (WIDTH, HEIGHT), "no size was given: the file's own"


def test_what_lies_beside_the_cameras_is_not_read(tmp_path):
    """A solver's file holds gigabytes of pictures; one that is cut there still gives its cameras."""
    k = np.array([[40.0, 0, 32], [0, 40, 24], [0, 0, 1]])
    path = tmp_path / "long_droid.npz"
    images = np.zeros((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    np.savez(path, images=images, depths=np.ones(images.shape[:3]), intrinsic=k, cam_c2w=turning())
    whole = path.read_bytes()
    at = whole.index(bytes(1000))  # in the pictures: any change there fails their checksum
    path.write_bytes(whole[:at] + b"\x07" + whole[at + 1 :])
    assert len(load_camera(path)) == FRAMES


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"cam_c2w": np.zeros((5, 3)), "intrinsic": np.eye(3)}, r"of shape \(5, 3\)"),
        ({"cam_c2w": turning(), "intrinsic": np.ones((2, 2))}, "give a lens for each"),
        ({"cam_c2w": turning() * np.nan, "intrinsic": 40 * np.eye(3)}, "NaN or infinity"),
        ({"data": np.ones((5, 4)), "inds": np.arange(5)}, "ViPE's are in the folder 'pose'"),
        ({"cam_c2w": np.array(["text"]), "intrinsic": np.eye(3)}, "which no cameras are"),
        ({"extrinsics": np.ones((5, 2, 2)), "intrinsics": np.ones((5, 3, 3))}, r"must be \[N, 3, 4\]"),
    ],
)
def test_damaged_results_are_refused_with_the_reason(tmp_path, arrays, said):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(TrajectoryError, match=said) as caught:
        load_camera(tmp_path / "bad.npz", size=(WIDTH, HEIGHT))
    assert "bad.npz" in str(caught.value)


def test_results_of_many_videos_are_not_guessed_at(tmp_path):
    make = next(case for case in CASES if case.name == "ViPE's results").make
    results = make(tmp_path)
    (results / "pose" / "other.npz").write_bytes((results / "pose" / "shot.npz").read_bytes())
    with pytest.raises(TrajectoryError, match=r"cameras of 2 videos \(other.npz, shot.npz\); choose one file"):
        load_camera(results)


def test_a_lens_off_centre_needs_the_pictures_size(tmp_path):
    k = np.array([[40.0, 0, 30.3], [0, 40, 25], [0, 0, 1]])
    np.savez(tmp_path / "a.npz", intrinsic=k, cam_c2w=turning())
    with pytest.raises(TrajectoryError, match="says no picture size"):
        load_camera(tmp_path / "a.npz")
    assert load_camera(tmp_path / "a.npz", size=(640, 480)).width == 640
