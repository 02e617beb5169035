"""New moves made of the filming camera's own."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ex4d.eval.filmed_moves import MOVES, PARTS
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import SettingError, TrajectoryError
from ex4d_ground.filmed_paths import following, locked_off, stabilised
from ex4d_ground.poses import pose, rotation_y, so3_log
from ex4d_ground.source_camera import SourceCamera

LENS = Intrinsics(500.0, 500.0, 256.0, 192.0, 512, 384)
TIMES = np.arange(60.0)


@pytest.fixture(scope="module")
def handheld() -> SourceCamera:
    return SourceCamera.of(MOVES["handheld"](60, np.random.default_rng(5)).world_from_camera[::PARTS], LENS)


def shake(poses: np.ndarray) -> tuple[float, float]:
    """Mean change of velocity and of turning from frame to frame."""
    turns = np.stack([so3_log(a[:3, :3].T @ b[:3, :3]) for a, b in pairwise(poses)])
    return float(np.abs(np.diff(poses[:, :3, 3], 2, axis=0)).mean()), float(np.abs(np.diff(turns, axis=0)).mean())


def test_following_is_the_filming_camera(handheld):
    np.testing.assert_array_equal(following(handheld, TIMES).world_from_camera, handheld.world_from_camera)


def test_locked_off_stays_at_its_frame(handheld):
    move = locked_off(handheld, 17, TIMES)
    np.testing.assert_array_equal(move.world_from_camera, np.tile(handheld.world_from_camera[17], (60, 1, 1)))
    with pytest.raises(TrajectoryError, match="outside the source camera"):
        locked_off(handheld, 60, TIMES)


def test_no_strength_changes_no_bit(handheld):
    np.testing.assert_array_equal(stabilised(handheld, 0, TIMES).world_from_camera, handheld.world_from_camera)


def test_the_stronger_the_calmer_in_place_and_turn(handheld):
    before = shake(handheld.world_from_camera)
    for frames in (6, 12, 24, 48):
        after = shake(stabilised(handheld, frames, TIMES).world_from_camera)
        assert all(a < 0.6 * b for a, b in zip(after, before, strict=True))
        before = after


def test_a_steady_pan_and_dolly_stay_what_they_are_up_to_their_ends():
    share = np.linspace(0, 1, 60)
    steady = SourceCamera.of(pose(rotation_y(0.9 * share), share[:, None] * (1.0, 0.2, -0.4)), LENS)
    move = stabilised(steady, 24, TIMES)
    np.testing.assert_allclose(move.world_from_camera, steady.world_from_camera, atol=1e-9)


def test_zooms_and_retimes_are_kept(handheld):
    rows = np.tile((500.0, 500.0, 256.0, 192.0), (60, 1))
    rows[:, :2] *= np.linspace(1, 2, 60)[:, None]
    zooming = SourceCamera.of(handheld.world_from_camera, rows, size=(512, 384))
    times = np.linspace(59, 0, 60)
    move = stabilised(zooming, 12, times)
    np.testing.assert_array_equal(move.source_time, times)
    np.testing.assert_allclose(move.intrinsics[:, 0], 500 * (1 + times / 59))
    plain = stabilised(zooming, 12, TIMES)
    np.testing.assert_allclose(move.world_from_camera[::-1], plain.world_from_camera, atol=1e-12)


@pytest.mark.parametrize("frames", [-1, float("nan"), 1e9])
def test_a_strength_that_is_none_is_refused(handheld, frames):
    with pytest.raises(SettingError, match="smoothed over 0 to 100000 frames"):
        stabilised(handheld, frames, TIMES)
