"""Compiled loops of the CPU rasterizer: projection, coverage, depth test, colour.

Coverage is decided in 64-bit integers. Snapped coordinates stay within +-2**29 subpixels (the guard band), so an edge
function is below 2**62 and never overflows; what reaches further is clipped first (see ``clip.py``).

Helpers are compiled into their callers, and numba's disk cache only notices changes to a caller's own file: after
editing this one, delete ``__pycache__/*.nbi`` beside it.

Orientation: with y down, E(p) = (b-a) x (p-a) is positive inside a triangle of positive area. A sample with E == 0
belongs to the triangle when the edge is a top edge (dy == 0, dx > 0) or a left edge (dy < 0). The triangle across the
edge walks it the other way, so exactly one of the two owns the sample. It follows that a triangle never owns a sample
at its largest x or y, so bounding boxes exclude that side.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from ex4d.raster.base import SUBPIXELS
from ex4d.types import Float32, Float64, Int32, UInt8

SHIFT = SUBPIXELS.bit_length() - 1
HALF = SUBPIXELS // 2  # a pixel's centre
GUARD = float(2**29)  # subpixels
IN_FRONT, NEEDS_CLIP, BEHIND = 0, 1, 2
DARKER = 1e-3  # added before rounding down, so that 254.99999 from exact 255s stays 255


Number = Any  # what compiled code sees as a scalar; numpy's and Python's types mix freely there


class Projected(NamedTuple):
    """Vertices on the image. For cut polygons the same fields hold 64-bit values."""

    sx: Any  # [V] int32, image x in subpixels
    sy: Any  # [V] int32
    inv_z: Any  # [V] float32, 1 / z
    colors: Any  # [V, 4] RGBA


class View(NamedTuple):
    """The surface in space and the camera, for triangles that have to be cut."""

    vertices: Float32  # [V, 3]
    state: UInt8  # [V] IN_FRONT, NEEDS_CLIP (outside the guard band) or BEHIND (nearer than near)
    pose: Float64  # [3, 4] camera_from_world
    lens: Float64  # [5] fx, fy, cx, cy, near


class Target(NamedTuple):
    """Where to draw: image rows ``first..last-1``."""

    first: int
    last: int
    nearest: Float32  # [H, W] largest 1 / z so far
    colour: UInt8  # [H, W, 3]
    mask: UInt8  # [H, W] 0 or 1
    limits: tuple[float, float, float]
    """Smallest 1 / z drawn, alpha a pixel must exceed, and what is added to colours before dropping the fraction."""
    one_sided: bool
    """Triangles seen from behind are drawn hidden."""


@njit(nogil=True, cache=True, error_model="numpy")
def project(
    vertices: Float32,  # [V, 3]
    view: Float64,  # [3, 4] camera_from_world
    lens: Float64,  # [5] fx, fy, cx, cy, near
    first: int,
    last: int,
    sx: Int32,  # [V] out: snapped image x in subpixels
    sy: Int32,  # [V] out
    inv_z: Float32,  # [V] out: 1 / z
    state: UInt8,  # [V] out: IN_FRONT, NEEDS_CLIP (outside the guard band) or BEHIND (nearer than near)
) -> None:
    """Project vertices ``first..last-1`` and snap them to the subpixel grid."""
    r00, r01, r02, tx = view[0, 0], view[0, 1], view[0, 2], view[0, 3]
    r10, r11, r12, ty = view[1, 0], view[1, 1], view[1, 2], view[1, 3]
    r20, r21, r22, tz = view[2, 0], view[2, 1], view[2, 2], view[2, 3]
    fx, fy, cx, cy, near = lens[0], lens[1], lens[2], lens[3], lens[4]
    for v in range(first, last):
        x, y, z = np.float64(vertices[v, 0]), np.float64(vertices[v, 1]), np.float64(vertices[v, 2])
        zc = r20 * x + r21 * y + r22 * z + tz
        inverse = 1.0 / zc
        px = np.floor((fx * (r00 * x + r01 * y + r02 * z + tx) * inverse + cx) * SUBPIXELS + 0.5)
        py = np.floor((fy * (r10 * x + r11 * y + r12 * z + ty) * inverse + cy) * SUBPIXELS + 0.5)
        front = zc >= near
        inside = front and abs(px) <= GUARD and abs(py) <= GUARD
        sx[v] = np.int32(px if inside else 0.0)
        sy[v] = np.int32(py if inside else 0.0)
        inv_z[v] = np.float32(inverse if inside else 0.0)
        state[v] = IN_FRONT if inside else (NEEDS_CLIP if front else BEHIND)


@njit(nogil=True, cache=True, error_model="numpy")
def row_bounds(sx: Int32, sy: Int32, state: UInt8, width: int, first: int, last: int, bounds: Int32) -> None:
    """Per grid row: smallest and largest snapped x and y, and whether all are in front, or all behind.

    ``bounds`` [H, 6] is written for rows ``first..last-1``.
    """
    for j in range(first, last):
        start = j * width
        x0 = x1 = sx[start]
        y0 = y1 = sy[start]
        seen_or, seen_and = state[start], state[start]
        for v in range(start, start + width):
            x0, x1 = min(x0, sx[v]), max(x1, sx[v])
            y0, y1 = min(y0, sy[v]), max(y1, sy[v])
            seen_or |= state[v]
            seen_and &= state[v]
        bounds[j, 0], bounds[j, 1], bounds[j, 2], bounds[j, 3] = x0, x1, y0, y1
        bounds[j, 4], bounds[j, 5] = seen_or, seen_and


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def shade(
    e0: Number,  # edge functions at the sample, opposite a, b, c: the weights of a, b, c
    e1: Number,
    e2: Number,
    inv_area: Number,
    a: int,
    b: int,
    c: int,
    hidden: bool,
    inv_z: Any,  # the fields of Projected and Target one by one: unpacking them here would count references
    colors: Any,
    limits: tuple[float, float, float],
    row: int,
    column: int,
    nearest: Float32,
    colour: UInt8,
    mask: UInt8,
) -> None:
    """Depth test, then colour, for one covered sample. ``hidden``: no corner's alpha passes the threshold."""
    far_inv, threshold, rounding = limits
    q0 = e0 * inv_area * inv_z[a]
    q1 = e1 * inv_area * inv_z[b]
    q2 = e2 * inv_area * inv_z[c]
    total = q0 + q1 + q2
    depth = np.float32(total)
    if depth > nearest[row, column] and total >= far_inv:
        nearest[row, column] = depth
        seen = False
        z = 1.0 / total
        if not hidden:
            seen = (q0 * colors[a, 3] + q1 * colors[b, 3] + q2 * colors[c, 3]) * z > threshold
        mask[row, column] = seen
        if seen:
            for n in range(3):
                value = (q0 * colors[a, n] + q1 * colors[b, n] + q2 * colors[c, n]) * z
                colour[row, column, n] = np.uint8(value + rounding)
        else:
            colour[row, column, 0] = 0
            colour[row, column, 1] = 0
            colour[row, column, 2] = 0


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def owns_edge(dx: Number, dy: Number) -> int:
    """0 for a top or left edge, else -1: added to an edge function that then has to be >= 0."""
    return 0 if dy < 0 or (dy == 0 and dx > 0) else -1


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def first_sample(low: Number) -> int:
    """The first pixel whose centre is at or beyond ``low`` subpixels."""
    return (low + (HALF - 1)) >> SHIFT


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def last_sample(high: Number) -> int:
    """The last pixel whose centre is before ``high`` subpixels."""
    return (high - (HALF + 1)) >> SHIFT


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def span(n: Number, step: Number, lo: Number, hi: Number) -> tuple[Number, Number]:
    """Narrow ``lo..hi`` to the columns x with n + step * x >= 0."""
    if step > 0:
        lo = max(lo, -(n // step))
    elif step < 0:
        hi = min(hi, n // -step)
    elif n < 0:
        hi = lo - 1
    return lo, hi


@njit(nogil=True, cache=True, error_model="numpy")
def fill_triangle(a: int, b: int, c: int, hide: bool, points: Projected, target: Target) -> None:
    """Draw one triangle of any size, finding each row's span of samples by integer division. ``hide``: no colour."""
    sx, sy, inv_z, colors = points.sx, points.sy, points.inv_z, points.colors
    nearest, colour, mask = target.nearest, target.colour, target.mask
    ax, ay, bx, by = np.int64(sx[a]), np.int64(sy[a]), np.int64(sx[b]), np.int64(sy[b])
    cx, cy = np.int64(sx[c]), np.int64(sy[c])
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if area == 0:
        return
    if area < 0:
        b, c, bx, by, cx, cy, area = c, b, cx, cy, bx, by, -area
        hide = hide or target.one_sided
    x0 = max(first_sample(min(ax, bx, cx)), 0)
    x1 = min(last_sample(max(ax, bx, cx)), nearest.shape[1] - 1)
    y0 = max(first_sample(min(ay, by, cy)), target.first)
    y1 = min(last_sample(max(ay, by, cy)), target.last - 1)
    if x0 > x1 or y0 > y1:
        return
    limit = target.limits[1]
    hidden = hide or (colors[a, 3] <= limit and colors[b, 3] <= limit and colors[c, 3] <= limit)
    inv_area = 1.0 / area
    dx0, dy0, dx1, dy1, dx2, dy2 = cx - bx, cy - by, ax - cx, ay - cy, bx - ax, by - ay
    own0, own1, own2 = owns_edge(dx0, dy0), owns_edge(dx1, dy1), owns_edge(dx2, dy2)
    step0, step1, step2 = -dy0 * SUBPIXELS, -dy1 * SUBPIXELS, -dy2 * SUBPIXELS
    for row in range(y0, y1 + 1):
        py = row * SUBPIXELS + HALF
        n0 = dx0 * (py - by) - dy0 * (HALF - bx)  # edge functions at column 0
        n1 = dx1 * (py - cy) - dy1 * (HALF - cx)
        n2 = dx2 * (py - ay) - dy2 * (HALF - ax)
        lo, hi = span(n0 + own0, step0, x0, x1)
        lo, hi = span(n1 + own1, step1, lo, hi)
        lo, hi = span(n2 + own2, step2, lo, hi)
        for column in range(lo, hi + 1):
            e0, e1, e2 = n0 + step0 * column, n1 + step1 * column, n2 + step2 * column
            shade(
                e0, e1, e2, inv_area, a, b, c, hidden, inv_z, colors, target.limits, row, column, nearest, colour, mask
            )  # fmt: skip
