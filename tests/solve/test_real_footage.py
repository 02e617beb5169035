"""Real footage, with the noise that real tracks have: a tripod shot in which people walk stands still, exactly.

The clips are no part of this project: the tests are skipped where ``EX4D_CLIPS_DIR`` (by default ``shared/clips``
beside the checkout) does not hold them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ex4d.clip import read_video
from ex4d.solve import solve_camera
from ex4d.types import Clip
from ex4d_ground.arrays import UInt8
from ex4d_ground.cameras import Intrinsics

CLIPS = Path(os.environ.get("EX4D_CLIPS_DIR", Path(__file__).resolve().parents[3] / "shared" / "clips"))
TRIPOD = CLIPS / "tripod_person" / "one-by-one_first12s.mp4"
FRAMES, EVERY = 25, 4
pytestmark = pytest.mark.skipif(not TRIPOD.is_file(), reason="the clip of a camera on a tripod is not here")


@pytest.fixture(scope="module")
def frames() -> UInt8:
    """[25, 432, 768, 3], ten seconds of it."""
    pictures, _ = read_video(TRIPOD)
    return np.asarray(pictures[: FRAMES * EVERY : EVERY])


def clip_of(frames: UInt8) -> Clip:
    """The frames before a floor that goes away from the camera: of depth only its kind counts here."""
    count, height, width = frames.shape[:3]
    row = np.linspace(6.0, 3.0, height, dtype=np.float32)
    depth = np.broadcast_to(row[:, None], (count, height, width)).copy()
    return Clip(frames, depth, Intrinsics.from_fov(width, height))


def test_a_camera_on_a_tripod_is_exactly_the_identity_though_its_tracks_are_noisy(frames: UInt8) -> None:
    solved = solve_camera(clip_of(frames))
    first = {
        int(p): xy for p, xy, t in zip(solved.seen.point, solved.seen.xy, solved.seen.frame, strict=True) if t == 0
    }
    away = [
        np.linalg.norm(xy - first[p]) for p, xy in zip(solved.seen.point, solved.seen.xy, strict=True) if p in first
    ]
    assert np.median(away) > 0.001 and np.percentile(away, 99) > 0.5  # grain, and people who walk
    assert solved.verdict.still and not solved.verdict.failure
    np.testing.assert_array_equal(solved.camera.world_from_camera, np.tile(np.eye(4), (FRAMES, 1, 1)))
    assert np.ptp(solved.camera.intrinsics, axis=0).max() == 0


def test_the_same_pictures_through_a_window_that_slides_do_not_stand_still(frames: UInt8) -> None:
    """Half a pixel a frame: what no eye would call a move."""
    height, width = frames.shape[1:3]
    slid = np.stack([np.asarray(f)[8 : height - 8, t // 2 : width - 16 + t // 2] for t, f in enumerate(frames)])
    solved = solve_camera(clip_of(np.ascontiguousarray(slid)))
    assert not solved.verdict.still
