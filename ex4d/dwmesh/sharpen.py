"""Smeared depth edges made sharp again, for the surface that cameras see.

Estimated, resized or compressed depth has a ramp where an object ends: pixels that float between it and what is
behind. A solid mesh would close each of them as a thing of its own. Ramps are told from sharp edges by their share
among all steps, once per clip, so that depth that is sharp already is not touched.
"""

from __future__ import annotations

import cv2
import numpy as np

from ex4d.types import Float32

STEP = 0.15
"""Share of the inverse depth by which the neighbours left and right of a pixel differ at a step."""
BETWEEN = 0.15
"""A pixel at least this share of the step away from both its neighbours, and between them, is part of a ramp."""
RAMPS = 0.2
"""Share of ramps among the steps above which a clip's edges are smeared: sharp depth has 0.05, one pixel between the
sides 0.33, blurred depth 0.7 and more."""
RANGE = 0.06
"""Pixels whose 3 x 3 neighbourhood spans more than this share of the inverse depth join one of its sides."""
PASSES = 2


def is_smeared(depth: Float32) -> bool:  # [T, H, W]
    """Whether most depth steps of the clip's first, middle and last frame are ramps."""
    steps = ramps = 0
    for t in sorted({0, len(depth) // 2, len(depth) - 1}):
        inverse = np.float32(1) / depth[t]
        left, middle, right = inverse[:, :-2], inverse[:, 1:-1], inverse[:, 2:]
        low, high = np.minimum(left, right), np.maximum(left, right)
        size = high - low
        step = size > STEP * high
        ramp = step & (middle - low > BETWEEN * size) & (high - middle > BETWEEN * size)
        steps += int(step.sum())
        ramps += int(ramp.sum())
    return ramps > RAMPS * max(steps, 1)


def sharpened(depth: Float32) -> Float32:  # [H, W]
    """Each pixel of a ramp goes to the nearer of its neighbourhood's two sides, in inverse depth."""
    inverse = np.float32(1) / depth
    window = np.ones((3, 3), np.uint8)
    for _ in range(PASSES):
        high, low = cv2.dilate(inverse, window), cv2.erode(inverse, window)
        side = np.where(inverse - low > high - inverse, high, low)
        inverse = np.where(high - low > RANGE * high, side, inverse)
    return np.float32(1) / inverse
