"""What a depth camera misses, made from true depth: shadows of a projector beside it, and pixels lost along edges."""

from typing import Literal

import numpy as np

from ex4d_ground.arrays import Float32

Side = Literal["left", "right", "above", "below"]


def shadowed(depth: Float32, reach: float, side: Side = "left") -> Float32:  # [H, W]
    """``depth`` as a camera sees it whose projector stands beside it: NaN where no light falls.

    ``reach`` is the focal length in pixels times the baseline in the depth's unit; ``side`` says on which side of near
    things their shadows lie.
    """
    if side in ("above", "below"):
        return shadowed(depth.T, reach, "left" if side == "above" else "right").T
    if side == "right":
        return shadowed(depth[:, ::-1], reach)[:, ::-1]
    height, width = depth.shape
    lit = np.full((height, 3 * width), np.inf, np.float32)  # what the projector meets, a picture more each side
    rows = np.repeat(np.arange(height)[:, None], width, 1)
    at = np.clip(np.rint(np.arange(width) - reach / depth).astype(int) + width, 1, 3 * width - 2)
    for beside in (-1, 0, 1):
        np.minimum.at(lit, (rows, at + beside), depth)
    return np.where(depth > 1.05 * lit[rows, at], np.float32(np.nan), depth)


def without_rims(depth: Float32, reach: int, share: float, rng: np.random.Generator) -> Float32:  # [H, W]
    """``depth`` with a share of the pixels lost (NaN) that lie up to ``reach`` pixels from an edge in their row."""
    known = np.nan_to_num(depth, nan=0)
    edges = np.abs(np.diff(known, axis=1, prepend=known[:, :1])) > 0.1 * known
    beside = np.zeros_like(edges)
    for step in range(-reach, reach + 1):
        beside |= np.roll(edges, step, axis=1)
    return np.where(beside & (rng.random(depth.shape) < share), np.float32(np.nan), depth)


def boxes(seed: int, height: int = 240, width: int = 320, count: int = 6) -> Float32:  # [H, W]
    """True depth of turned boxes, 0.8 to 3 away, before a floor that rises to a wall."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    depth = np.minimum(1 / (0.1 + 0.002 * y * rng.uniform(0.3, 1)), rng.uniform(4, 8))
    for _ in range(count):
        near, left, top = rng.uniform(0.8, 3), rng.uniform(0, width), rng.uniform(0, height)
        half_wide, half_high, turn = rng.uniform(7, 40), rng.uniform(10, 70), rng.uniform(-0.6, 0.6)
        u = (x - left) * np.cos(turn) + (y - top) * np.sin(turn)
        v = (y - top) * np.cos(turn) - (x - left) * np.sin(turn)
        face = 1 / (1 / near + rng.uniform(-0.001, 0.001) * u)
        depth = np.where((abs(u) < half_wide) & (abs(v) < half_high), np.minimum(depth, face), depth)
    return depth.astype(np.float32)
