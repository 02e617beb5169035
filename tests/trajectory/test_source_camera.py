"""The camera that filmed: its world is its own first frame, and a move is seen from it frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from ex4d.trajectory import MoveSetup, orbit, source_times
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import SettingError, ShapeError, TrajectoryError
from ex4d_ground.poses import inverse, so3_exp, so3_log
from ex4d_ground.source_camera import SourceCamera

LENS = Intrinsics(310.0, 305.0, 150.0, 95.0, 320, 200)


def arc(frames: int = 9) -> Trajectory:
    return orbit(40.0, 10.0, setup=MoveSetup(frames, LENS, (0.1, 0.0, 3.0)))


def test_poses_of_any_world_start_at_the_identity_and_keep_their_motion():
    move = arc()
    elsewhere = np.eye(4)
    elsewhere[:3, :3], elsewhere[:3, 3] = so3_exp(np.array([0.3, -1.0, 0.2])), (5.0, -2.0, 7.0)
    camera = SourceCamera.of(elsewhere @ move.world_from_camera, LENS, origin="tracked")
    assert (camera.world_from_camera[0] == np.eye(4)).all()
    own = inverse(move.world_from_camera[0]) @ move.world_from_camera
    np.testing.assert_allclose(camera.world_from_camera, own, atol=1e-12)
    assert camera.origin == "tracked" and not camera.is_still


def test_a_still_camera_is_exactly_the_identity_and_leaves_a_move_bit_for_bit():
    still = SourceCamera.still(9, LENS)
    assert still.is_still and (still.world_from_camera == np.eye(4)).all()
    move = arc()
    assert (still.seen_by_source(move).world_from_camera == move.world_from_camera).all()


def test_a_zoom_is_not_still():
    rows = np.tile([310.0, 305.0, 150.0, 95.0], (4, 1))
    rows[:, :2] *= np.linspace(1, 1.5, 4)[:, None]
    camera = SourceCamera.of(np.tile(np.eye(4), (4, 1, 1)), rows, size=(320, 200))
    assert not camera.is_still
    assert camera.frame_intrinsics(3).fx == pytest.approx(465.0)


def test_between_frames_the_camera_turns_evenly_and_on_frames_keeps_every_bit():
    camera = SourceCamera.of_trajectory(arc())
    poses, lenses = camera.at([0.0, 3.0, 3.25, 8.0])
    assert (poses[[0, 1, 3]] == camera.world_from_camera[[0, 3, 8]]).all()
    whole = so3_log(camera.world_from_camera[3, :3, :3].T @ camera.world_from_camera[4, :3, :3])
    part = so3_log(camera.world_from_camera[3, :3, :3].T @ poses[2, :3, :3])
    np.testing.assert_allclose(part, whole / 4, atol=1e-12)
    between = 0.75 * camera.world_from_camera[3, :3, 3] + 0.25 * camera.world_from_camera[4, :3, 3]
    np.testing.assert_allclose(poses[2, :3, 3], between, atol=1e-12)
    np.testing.assert_allclose(lenses, np.tile([310.0, 305.0, 150.0, 95.0], (4, 1)))


def test_following_the_source_is_no_move_in_its_own_axes():
    camera = SourceCamera.of_trajectory(arc())
    seen = camera.seen_by_source(camera.as_trajectory())
    np.testing.assert_allclose(seen.world_from_camera, np.tile(np.eye(4), (9, 1, 1)), atol=1e-12)


def test_a_retimed_lock_off_takes_the_pose_of_the_frame_it_shows():
    camera = SourceCamera.of_trajectory(arc())
    times = source_times("reverse", num_frames=5, num_source_frames=9)
    rows = np.tile([310.0, 305.0, 150.0, 95.0], (5, 1))
    lock = Trajectory(np.tile(np.eye(4), (5, 1, 1)), rows, times, 320, 200)
    seen = camera.seen_by_source(lock).world_from_camera
    np.testing.assert_allclose(seen, camera.camera_from_world[times.astype(int)], atol=1e-12)


def test_size_and_unit_change_only_what_they_name():
    camera = SourceCamera.of_trajectory(arc())
    half = camera.resized(160, 100)
    np.testing.assert_allclose(half.intrinsics * 2, camera.intrinsics)
    far = camera.scaled(10.0)
    np.testing.assert_allclose(far.world_from_camera[:, :3, 3], 10 * camera.world_from_camera[:, :3, 3])
    assert len(camera.first(4)) == 4


def test_a_camera_file_and_back_is_the_same_camera():
    camera = SourceCamera.of_trajectory(arc())
    again = SourceCamera.of_trajectory(camera.as_trajectory())
    assert (again.world_from_camera == camera.world_from_camera).all()
    assert (again.intrinsics == camera.intrinsics).all()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda c: SourceCamera(c.world_from_camera[1:], c.intrinsics[1:], 320, 200), TrajectoryError, "first frame"),
        (lambda c: SourceCamera(c.world_from_camera, c.intrinsics[:4], 320, 200), ShapeError, "needs poses"),
        (lambda c: SourceCamera.of(c.world_from_camera * 2, LENS), TrajectoryError, "frame 1 is not rigid"),
        (lambda c: SourceCamera.of(c.world_from_camera, LENS, origin="guessed"), SettingError, "'guessed'"),
        (lambda c: SourceCamera.of(c.world_from_camera, [0.0, 1, 2, 3], size=(320, 200)), TrajectoryError, "positive"),
        (lambda c: c.at([2.0, 8.5]), TrajectoryError, "frame 9.5"),
        (lambda c: c.at([np.nan]), TrajectoryError, "outside"),
        (lambda c: c.first(10), ShapeError, "9 poses, 10"),
        (lambda c: c.scaled(0.0), SettingError, "positive number, got 0"),
        (lambda c: c.first(3).seen_by_source(arc()), TrajectoryError, "Frame 4 .* source frame 4"),
    ],
)
def test_what_cannot_be_a_source_camera_is_refused_in_a_sentence(make, error, words):
    with pytest.raises(error, match=words):
        make(SourceCamera.of_trajectory(arc()))


def test_a_retimed_move_is_no_source_camera():
    move = orbit(20.0, setup=MoveSetup(5, LENS, (0.0, 0.0, 3.0), source_time=np.zeros(5)))
    with pytest.raises(TrajectoryError, match="retimed"):
        SourceCamera.of_trajectory(move)
