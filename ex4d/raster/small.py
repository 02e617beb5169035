"""Triangles that cover a few samples at most, as nearly all of a mesh's do.

The grid's loop has the same steps written out: inlined from here, they took it 40 % longer. Delete
``__pycache__/*.nbi`` beside this file after editing it (see :mod:`ex4d.raster.kernels`).
"""

from __future__ import annotations

from typing import Any

from numba import njit

from ex4d.raster.grid import TINY, orientation
from ex4d.raster.kernels import HALF, SUBPIXELS, first_sample, last_sample, owns_edge, shade
from ex4d.types import Float32, Int32, UInt8


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def fill_small(
    a: int,
    b: int,
    c: int,
    hide: bool,
    one_sided: bool,
    first: int,  # rows to draw: first..last-1
    last: int,
    sx: Int32,  # the fields of Projected and Target one by one: unpacking them here would count references
    sy: Int32,
    inv_z: Float32,
    colors: Any,
    limits: tuple[float, float, float],
    nearest: Float32,
    colour: UInt8,
    mask: UInt8,
) -> bool:
    """Draw a triangle whose corners are all in front. False, with nothing drawn, if it is too large for this."""
    ax, ay, bx, by, cx, cy = sx[a], sy[a], sx[b], sy[b], sx[c], sy[c]
    x0 = max(first_sample(min(ax, bx, cx)), 0)
    x1 = min(last_sample(max(ax, bx, cx)), nearest.shape[1] - 1)
    y0 = max(first_sample(min(ay, by, cy)), first)
    y1 = min(last_sample(max(ay, by, cy)), last - 1)
    if x0 > x1 or y0 > y1:
        return True
    if x1 - x0 >= TINY or y1 - y0 >= TINY:
        return False
    area = orientation(ax, ay, bx, by, cx, cy)
    if area == 0:
        return True
    hide = hide or (one_sided and area < 0)
    if area < 0:
        b, c, bx, by, cx, cy, area = c, b, cx, cy, bx, by, -area
    limit = limits[1]
    hidden = hide or (colors[a, 3] <= limit and colors[b, 3] <= limit and colors[c, 3] <= limit)
    inv_area = 1.0 / area
    for row in range(y0, y1 + 1):
        for column in range(x0, x1 + 1):
            px, py = column * SUBPIXELS + HALF, row * SUBPIXELS + HALF
            e0 = orientation(bx, by, cx, cy, px, py)
            e1 = orientation(cx, cy, ax, ay, px, py)
            e2 = orientation(ax, ay, bx, by, px, py)
            covered = (
                (e0 + owns_edge(cx - bx, cy - by))
                | (e1 + owns_edge(ax - cx, ay - cy))
                | (e2 + owns_edge(bx - ax, by - ay))
            ) >= 0  # no sign bit is set
            if covered:
                shade(
                    e0, e1, e2, inv_area, a, b, c, hidden, inv_z, colors, limits, row, column, nearest, colour, mask
                )  # fmt: skip
    return True
