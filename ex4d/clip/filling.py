"""Filling holes of a depth picture from what surrounds them.

A wide hole is mostly a shadow: an infrared projector or a second lens beside the camera does not see the background
next to a near thing, so what is missing lies behind. The two stand side by side, hence a hole's pixel looks along its
row, and takes the farther end; along its column only where the hole is lower than it is wide and both ends agree. Thin
holes are edges that could not be measured and take the nearer of their ends. Ends of one surface are joined as a plane
joins them: its inverse depth is linear in the picture.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from ex4d_ground.arrays import Bool, Float32

_AGREE = 1.1
"""Depths that differ by less than this factor belong to one surface."""
_THIN = 3
"""A hole of so many pixels in a row is no shadow."""


def fill_holes(frame: Float32, valid: Bool) -> Float32:  # [H, W]
    """``frame`` with its holes filled; ``valid`` pixels stay as they are. At least one must be valid."""
    holes = ~valid
    if not holes.any():
        return frame.copy()
    inverse = np.where(valid, 1 / np.where(valid, frame, np.float32(1)), np.float32(np.nan))
    filled = frame.copy()
    ends, distance = _ends(inverse, valid, holes)
    filled[holes] = 1 / _joined(ends, distance)
    unseen = ~np.isfinite(filled)
    return _from_nearest(filled, ~unseen) if unseen.any() else filled


def _ends(inverse: Float32, valid: Bool, holes: Bool) -> tuple[Float32, Float32]:
    """What each hole's pixel sees to the left, right, up and down, [4, N]; NaN and 1 where there is nothing valid."""
    found = [
        _last_seen(inverse, valid, holes),
        _last_seen(inverse[:, ::-1], valid[:, ::-1], holes, lambda a: a[:, ::-1]),
        _last_seen(inverse.T, valid.T, holes, lambda a: a.T),
        _last_seen(inverse[::-1].T, valid[::-1].T, holes, lambda a: a.T[::-1]),
    ]
    return np.stack([value for value, _ in found]), np.stack([distance for _, distance in found])


def _last_seen(inverse, valid, holes, back=lambda a: a) -> tuple[Float32, Float32]:
    """The last valid value before each pixel of a row, and how far it is; ``back`` turns the picture as it was."""
    at = np.arange(valid.shape[1], dtype=np.int32)[None]
    last = np.maximum.accumulate(np.where(valid, at, np.int32(-1)), axis=1)
    seen = last >= 0
    value = np.where(seen, np.take_along_axis(inverse, np.maximum(last, 0), axis=1), np.float32(np.nan))
    distance = np.where(seen, at - last, 1).astype(np.float32)
    return back(value)[holes], back(distance)[holes]


def _joined(ends: Float32, distance: Float32) -> Float32:  # [4, N] -> [N], NaN where no end is seen
    """One inverse depth of each hole's ends, by the rule that the module states."""
    left, right, up, down = ends
    in_row = np.isfinite(left) | np.isfinite(right)
    width, height = distance[0] + distance[1] - 1, distance[2] + distance[3] - 1
    thin = in_row & (width <= _THIN)
    with np.errstate(invalid="ignore"):
        low = (height <= width) & (np.maximum(up, down) <= np.minimum(up, down) * _AGREE)  # NaN is never below
    usable = np.isfinite(ends)
    usable[2:, in_row & ~thin & ~low] = False
    usable[:2, low & ~thin] = False
    shown = np.where(usable, ends, np.inf).astype(np.float32)
    nearest = np.argmin(np.where(usable, distance, np.inf), axis=0)
    chosen = np.where(thin, np.take_along_axis(shown, nearest[None], axis=0)[0], shown.min(axis=0))
    with np.errstate(invalid="ignore"):
        usable &= (shown <= chosen * _AGREE) & (shown >= chosen / _AGREE)
    weight = np.where(usable, 1 / distance, 0)
    both = usable[::2] & usable[1::2]  # rows, columns: between two ends a plane is met exactly
    weight = np.where(np.repeat(both, 2, axis=0) | ~both.any(axis=0), weight, 0)
    across = np.where(both, (distance[::2] + distance[1::2]) * (weight[::2] + weight[1::2]), 1)
    weight /= np.repeat(across, 2, axis=0)
    total = weight.sum(axis=0)
    value = (weight * np.where(usable, ends, 0)).sum(axis=0)
    return np.divide(value, total, out=np.full(len(total), np.nan, np.float32), where=total > 0)


def _from_nearest(frame: Float32, valid: NDArray[np.bool_]) -> Float32:
    """Each pixel that is not valid takes the nearest valid one (OpenCV's 5x5 chamfer distance)."""
    _, labels = cv2.distanceTransformWithLabels(
        (~valid).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    labels = np.asarray(labels, np.int32)
    value_of_label = np.zeros(int(labels.max()) + 1, np.float32)
    value_of_label[labels[valid]] = frame[valid]
    return np.where(valid, frame, value_of_label[labels])
