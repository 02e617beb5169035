"""A moving camera's place has the colours that it mostly has: the shadow of what moves is not part of its floor."""

from __future__ import annotations

import numpy as np
import pytest
from engines.test_world_fill import FLOOR, LENS, SIZE, seen

from ex4d import Clip
from ex4d.clip import with_source_camera
from ex4d.fill.plate import Plate, clean_plate
from ex4d_ground.source_camera import SourceCamera

FRAMES, MIDDLE = 9, 4
SHADE = 0.45


def filmed(*, shaded_all_the_time: bool = False) -> tuple[Clip, np.ndarray]:
    """A room filmed by hand, over whose floor a shadow wanders, and where [N, H, W] that is seen."""
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 0, 3] = 0.2 * np.sin(np.arange(FRAMES))
    frames, depths, shadows = [], [], []
    for t, pose in enumerate(poses):
        colour, depth = seen(pose, box=False)
        y, x = np.mgrid[:SIZE, :SIZE] + 0.5
        point = (
            pose[:3, 3] + np.stack([(x - LENS.cx) / LENS.fx, (y - LENS.cy) / LENS.fy, x * 0 + 1], -1) * depth[..., None]
        )
        at = 0.0 if shaded_all_the_time else 0.7 * (t - MIDDLE)
        shadow = (abs(point[..., 0] - at) < 0.5) & (abs(point[..., 2] - 5) < 0.8) & (point[..., 1] > FLOOR - 0.01)
        frames.append(np.where(shadow[..., None], SHADE * colour, colour).astype(np.uint8))
        depths.append(depth)
        shadows.append(shadow)
    camera = SourceCamera.of(poses, np.tile([LENS.fx, LENS.fy, LENS.cx, LENS.cy], (FRAMES, 1)), size=(SIZE, SIZE))
    return with_source_camera(Clip(np.stack(frames), np.stack(depths), LENS), camera), np.stack(shadows)


def plate_of(clip: Clip) -> Plate:
    plate = clean_plate(clip)
    assert plate is not None
    np.testing.assert_array_equal(plate.world_from_camera, clip.world_from_camera[MIDDLE])
    return plate


def test_a_shadow_that_wanders_is_not_in_the_floor() -> None:
    clip, shadows = filmed()
    plate, shadow = plate_of(clip), shadows[MIDDLE]
    bright, _ = seen(clip.world_from_camera[MIDDLE], box=False)
    error = np.abs(plate.colour.astype(float) - bright)[shadow].mean()
    assert error < 0.25 * np.abs(np.asarray(clip.frames[MIDDLE]).astype(float) - bright)[shadow].mean()
    far = ~np.pad(shadow, 8)[:-16, 16:] & ~np.pad(shadow, 8)[16:, :-16] & ~shadow
    assert (plate.colour == clip.frames[MIDDLE])[far].all(axis=-1).mean() > 0.98, "and all else is as sharp as it was"


def test_one_that_stays_belongs_to_the_place() -> None:
    clip, shadows = filmed(shaded_all_the_time=True)
    plate, shadow = plate_of(clip), shadows[MIDDLE]
    own = np.asarray(clip.frames[MIDDLE]).astype(float)
    assert np.abs(plate.colour - own)[shadow].mean() < 2
    assert plate.colour[shadow].mean() == pytest.approx(own[shadow].mean(), abs=2)
