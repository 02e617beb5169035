"""Depth of another size than the picture, brought to the picture's size with its edges kept.

Between samples of one surface inverse depth is interpolated, which is exact for planes; across a depth edge nothing is:
there each pixel keeps to the surface of its nearest sample. No depth appears that no surface has.
"""

import numpy as np

from ex4d_ground.arrays import Float32
from ex4d_ground.errors import DepthError

_EDGE = 1.08
"""Neighbouring samples that differ by this factor lie on two surfaces."""
_ASPECT = 0.01
"""How far the aspect may be off beside what rounding to whole samples explains."""


def require_same_view(size: tuple[int, int], wanted: tuple[int, int], label: str) -> None:
    """Raise DepthError unless depth of ``size`` (height, width) can show the picture of size ``wanted``."""
    (h, w), (height, width) = size, wanted
    off = abs((w / h) / (width / height) - 1)
    if off > max(_ASPECT, 1 / min(h, w)):
        raise DepthError(
            f"{label} is {w}x{h} pixels but the video is {width}x{height}, which is another shape of picture; "
            "give depth of what the video shows."
        )


def resized(frame: Float32, size: tuple[int, int]) -> Float32:  # [h, w] -> size, NaN where the nearest sample is none
    """``frame`` at ``size`` (height, width)."""
    (rows, row_share), (columns, column_share) = (_samples(n, m) for n, m in zip(frame.shape, size, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(frame > 0, 1 / frame, np.float32(np.nan))
    corners = [
        (inverse[np.ix_(r, c)], np.outer(y, x).astype(np.float32))
        for r, y in ((rows[0], 1 - row_share), (rows[1], row_share))
        for c, x in ((columns[0], 1 - column_share), (columns[1], column_share))
    ]
    nearest = inverse[np.ix_(np.where(row_share < 0.5, *rows), np.where(column_share < 0.5, *columns))]
    total, value = np.zeros(size, np.float32), np.zeros(size, np.float32)
    low, high = nearest / np.float32(_EDGE), nearest * np.float32(_EDGE)
    for corner, weight in corners:
        with np.errstate(invalid="ignore"):
            same = (corner >= low) & (corner <= high)
        total += np.where(same, weight, 0)
        value += np.where(same, weight * corner, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, total / value, np.float32(np.nan)).astype(np.float32)


def _samples(count: int, wanted: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The two samples around each wanted pixel's centre, and how far it is towards the second."""
    at = np.clip((np.arange(wanted) + 0.5) * count / wanted - 0.5, 0, count - 1)
    first = np.minimum(np.floor(at).astype(np.int64), count - 1)
    second = np.minimum(first + 1, count - 1)
    return (first, second), at - first
