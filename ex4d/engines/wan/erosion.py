"""Shrinking what mask frames show, as the published loader does before the model sees them. No torch here."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import ShapeError

_KERNELS = (2, 8)
_EROSION_STREAM = 0xE40DE  # keeps the erosion's random numbers apart from others drawn from the same seed


def erosion_kernels(seed: int, count: int) -> NDArray[np.int64]:  # [count]
    """Each frame's erosion in pixels, uniform in 2..8, from the job's seed."""
    low, high = _KERNELS
    return np.random.default_rng([_EROSION_STREAM, seed]).integers(low, high + 1, size=count)


def erode(
    mask: UInt8,  # [N, H, W] 0..255
    kernels: NDArray[np.int64],  # [N]
) -> UInt8:
    """Shrink what each mask frame shows by a square of that frame's size."""
    if len(kernels) != len(mask):
        raise ShapeError(f"{len(kernels)} erosion sizes do not fit {len(mask)} mask frames.")
    squares = [np.ones((int(k), int(k)), np.uint8) for k in kernels]
    shrunk = [cv2.erode(frame, square) for frame, square in zip(mask, squares, strict=True)]
    return np.stack(shrunk).astype(np.uint8, copy=False)
