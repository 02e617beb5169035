"""Little clips for the tests of training."""

from __future__ import annotations

import numpy as np

from ex4d.types import Clip
from ex4d_ground.cameras import Intrinsics

SHAPE = (9, 32, 48)
"""Frames, height, width."""


def moving_clip(seed: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """A textured picture that slides to the right, uint8 [T, H, W, 3]."""
    count, height, width = shape
    chance = np.random.default_rng(seed)
    coarse = chance.uniform(0, 255, (height // 4, width // 4 + count, 3))
    wide = coarse.repeat(4, 0).repeat(4, 1)
    return np.stack([wide[:, 2 * t : 2 * t + width] for t in range(count)]).astype(np.uint8)


def masks_of(seed: int) -> list[np.ndarray]:
    """Two masks with a growing hole each, frame 0 complete."""
    chance = np.random.default_rng(100 + seed)
    masks = []
    for _ in range(2):
        mask = np.ones(SHAPE, np.bool_)
        left = int(chance.integers(0, 24))
        for t in range(1, SHAPE[0]):
            mask[t, 4:28, left : left + 2 * t] = False
        masks.append(mask)
    return masks


def depth_clip(shape: tuple[int, int, int] = (9, 64, 80)) -> Clip:
    """A textured wall with a block before it that moves to the right."""
    count, height, width = shape
    frames = moving_clip(7, shape).copy()
    depth = np.full(shape, 5.0, np.float32)
    block = moving_clip(8, (1, 32, 24))[0]
    for t in range(count):
        left = 16 + 2 * t
        depth[t, 16:48, left : left + 24] = 2.0
        frames[t, 16:48, left : left + 24] = block
    return Clip(frames, depth, Intrinsics.from_fov(width, height))
