"""The hot loop: a grid surface drawn quad by quad, with little work for quads that touch no sample."""

from __future__ import annotations

import numpy as np
from numba import njit

from ex4d.raster.base import QUAD_DROP
from ex4d.raster.clip import draw_clipped
from ex4d.raster.kernels import (
    BEHIND,
    HALF,
    IN_FRONT,
    SUBPIXELS,
    Number,
    Projected,
    Target,
    View,
    fill_triangle,
    first_sample,
    last_sample,
    owns_edge,
    shade,
)
from ex4d.types import Int32, UInt8

TINY = 4  # samples per side of a bounding box up to which testing each sample beats computing spans


@njit(nogil=True, cache=True, error_model="numpy")
def row_is_outside(above: Int32, below: Int32, target: Target) -> bool:
    """Whether no triangle between two grid rows (their ``bounds``) can touch a sample of the target."""
    if above[5] & below[5] == BEHIND:
        return True
    if above[4] | below[4] != IN_FRONT:
        return False
    x0, x1 = first_sample(min(above[0], below[0])), last_sample(max(above[1], below[1]))
    y0, y1 = first_sample(min(above[2], below[2])), last_sample(max(above[3], below[3]))
    return x0 > x1 or y0 > y1 or x0 >= target.nearest.shape[1] or x1 < 0 or y0 >= target.last or y1 < target.first


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def orientation(ax: Number, ay: Number, bx: Number, by: Number, px: Number, py: Number) -> Number:
    """Twice the signed area of (a, b, p), in 64-bit integers."""
    dx, dy = np.int64(bx) - ax, np.int64(by) - ay
    return dx * (np.int64(py) - ay) - dy * (np.int64(px) - ax)


@njit(nogil=True, cache=True, error_model="numpy")
def draw_large(
    chosen: Int32, v00: int, width: int, flags: UInt8, points: Projected, view: View, target: Target
) -> None:  # chosen [N], flags [W - 1] of the row's quads
    """Draw triangles of one row of quads that are large or have to be cut; number 2 * i + k is half k of quad i."""
    state = view.state
    for n in range(chosen.shape[0]):
        half = chosen[n] & 1
        corner = v00 + (chosen[n] >> 1)
        a, b, c = corner + width, corner + half, corner + 1 + half * width
        hide = (flags[chosen[n] >> 1] >> half) & 1 != 0
        if state[a] | state[b] | state[c] == IN_FRONT:
            fill_triangle(a, b, c, hide, points, target)
        elif state[a] & state[b] & state[c] != BEHIND:
            draw_clipped(a, b, c, hide, points, view, target)


@njit(nogil=True, cache=True, error_model="numpy")
def draw_grid(
    height: int,
    width: int,
    quad_flags: UInt8,  # [H - 1, W - 1], or empty where all are drawn
    bounds: Int32,  # [H, 6] from row_bounds
    points: Projected,
    view: View,
    target: Target,
) -> None:
    """Draw the triangles of a grid of ``height`` x ``width`` vertices."""
    # Unpacked once: unpacking counts references, which costs more than drawing a triangle.
    sx, sy, inv_z, colors, state = points.sx, points.sy, points.inv_z, points.colors, view.state
    nearest, colour, mask, limits = target.nearest, target.colour, target.mask, target.limits
    columns, first, last = nearest.shape[1], target.first, target.last
    one_sided = target.one_sided
    plain = np.zeros(width - 1, np.uint8)
    later = np.empty(2 * (width - 1), np.int32)  # keeps the code for large triangles out of the inner loop
    for j in range(height - 1):
        if row_is_outside(bounds[j], bounds[j + 1], target):
            continue
        cuts = bounds[j, 4] | bounds[j + 1, 4] != IN_FRONT
        waiting = 0
        flags = quad_flags[j] if quad_flags.size > 0 else plain
        for i in range(width - 1):
            flag = flags[i]
            if flag & QUAD_DROP:
                continue
            v00 = j * width + i
            for k in range(2):
                a = v00 + width
                b = v00 + k
                c = v00 + 1 + k * width
                if cuts and state[a] | state[b] | state[c] != IN_FRONT:
                    later[waiting] = 2 * i + k
                    waiting += 1
                    continue
                ax, ay, bx, by, cx, cy = sx[a], sy[a], sx[b], sy[b], sx[c], sy[c]
                x0 = max(first_sample(min(ax, bx, cx)), 0)
                x1 = min(last_sample(max(ax, bx, cx)), columns - 1)
                y0 = max(first_sample(min(ay, by, cy)), first)
                y1 = min(last_sample(max(ay, by, cy)), last - 1)
                if x0 > x1 or y0 > y1:
                    continue
                if x1 - x0 >= TINY or y1 - y0 >= TINY:
                    later[waiting] = 2 * i + k
                    waiting += 1
                    continue
                area = orientation(ax, ay, bx, by, cx, cy)
                if area == 0:
                    continue
                hide = (flag >> k) & 1 != 0 or (one_sided and area < 0)
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
                                e0, e1, e2, inv_area, a, b, c, hidden, inv_z, colors, limits,
                                row, column, nearest, colour, mask,
                            )  # fmt: skip
        draw_large(later[:waiting], j * width, width, flags, points, view, target)
