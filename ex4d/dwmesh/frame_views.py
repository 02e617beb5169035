"""What joining several frames of a clip needs to know of each: its depth, its rays, and what counts as an edge."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ex4d.types import Clip
from ex4d_ground.arrays import Float32, Float64

EdgeLimits = tuple[float, Float64]
"""Jump of the inverse depth, and steepness [2], that make an edge."""


class FrameViews(NamedTuple):
    """A clip's frames as a mesh sees them; each function takes a frame's number."""

    depth: Callable[[int], Float32]
    """[H, W]"""
    rays: Callable[[int], tuple[Float32, Float32]]
    """[W], [H]: x and y of each pixel at depth 1."""
    limits: Callable[[int], EdgeLimits]

    def lenses(self, clip: Clip, frames: Sequence[int]) -> Float64:  # [K, 4]
        """fx, fy and the principal point in pixel indices, of each of ``frames``."""
        rows = []
        for t in frames:
            k, (x, y) = clip.lens(t), self.rays(t)
            rows.append([k.fx, k.fy, -x[0] * k.fx, -y[0] * k.fy])
        return np.array(rows, np.float64)
