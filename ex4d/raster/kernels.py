"""Compiled loops of the CPU rasterizer: projection, coverage, depth test, colour.

Coverage is decided in 64-bit integers. Snapped coordinates stay within +-2**29 subpixels (the guard band), so an edge
function is below 2**62 and never overflows; what reaches further is clipped first (see ``clip.py``).

Orientation: with y down, E(p) = (b-a) x (p-a) is positive inside a triangle of positive area. A sample with E == 0
belongs to the triangle when the edge is a top edge (dy == 0, dx > 0) or a left edge (dy < 0). The triangle across the
edge walks it the other way, so exactly one of the two owns the sample. It follows that a triangle never owns a sample
at its largest x or y, so bounding boxes exclude that side.
"""

from typing import Any, NamedTuple

import numpy as np

from ex4d.compiled.kernel import borrowing, inlined, kernel
from ex4d.raster.subpixels import SUBPIXELS
from ex4d_ground.arrays import Float32, Float64, Int32, UInt8

SHIFT = SUBPIXELS.bit_length() - 1
HALF = SUBPIXELS // 2  # a pixel's centre
GUARD = float(2**29)  # subpixels
IN_FRONT, NEEDS_CLIP, BEHIND = 0, 1, 2
BLOCK = 512  # vertices projected in one go
PART = 64  # columns of a wide triangle that are looked at together
ROUNDED = 1 + 1e-6  # depths in single precision may exceed those of the corners by less than this factor
DARKER = 1e-3  # added before rounding down, so that 254.99999 from exact 255s stays 255


Number = Any  # what compiled code sees as a scalar; numpy's and Python's types mix freely there


class Projected(NamedTuple):
    """Vertices on the image. For cut polygons the same fields hold 64-bit values.

    Loops unpack it once: unpacking counts references, which costs more than drawing a triangle.
    """

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
    picture: Int32  # [H, W] red, green, blue and the mask (0 or 1) from the lowest byte on; 0 where nothing is
    limits: tuple[float, float, float]
    """Smallest 1 / z drawn, alpha a pixel must exceed, and what is added to colours before dropping the fraction."""
    one_sided: bool
    """Triangles seen from behind are drawn hidden."""


@kernel
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
    _project(vertices, view, lens, first, last, sx, sy, inv_z, state, np.empty(4 * BLOCK))


@borrowing
def _project(
    vertices: Float32,
    view: Float64,
    lens: Float64,
    first: int,
    last: int,
    sx: Int32,
    sy: Int32,
    inv_z: Float32,
    state: UInt8,
    block: Float64,  # [4 * BLOCK] room for what lies between
) -> None:
    """The same, in an array that is there."""
    near = lens[4]
    # In blocks, and written field by field: compilers use vector instructions where a loop writes to one array only.
    for start in range(first, last, BLOCK):
        count = min(BLOCK, last - start)
        _to_image(vertices[start : start + count].reshape(-1), view, lens, block)
        px, py, zc = block[:count], block[BLOCK : BLOCK + count], block[2 * BLOCK : 2 * BLOCK + count]
        inverse = block[3 * BLOCK : 3 * BLOCK + count]
        out_x, out_y, out_w = sx[start : start + count], sy[start : start + count], inv_z[start : start + count]
        out_state = state[start : start + count]
        if not _any_outside(px, py, zc, near):
            for n in range(count):
                out_x[n] = np.int32(px[n])
            for n in range(count):
                out_y[n] = np.int32(py[n])
            for n in range(count):
                out_w[n] = np.float32(inverse[n])
            for n in range(count):
                out_state[n] = IN_FRONT
            continue
        for n in range(count):
            inside = zc[n] >= near and abs(px[n]) <= GUARD and abs(py[n]) <= GUARD
            out_x[n] = np.int32(px[n] if inside else 0.0)
        for n in range(count):
            inside = zc[n] >= near and abs(px[n]) <= GUARD and abs(py[n]) <= GUARD
            out_y[n] = np.int32(py[n] if inside else 0.0)
        for n in range(count):
            inside = zc[n] >= near and abs(px[n]) <= GUARD and abs(py[n]) <= GUARD
            out_w[n] = np.float32(inverse[n] if inside else 0.0)
        for n in range(count):
            inside = zc[n] >= near and abs(px[n]) <= GUARD and abs(py[n]) <= GUARD
            out_state[n] = IN_FRONT if inside else (NEEDS_CLIP if zc[n] >= near else BEHIND)


@inlined
def _any_outside(px: Float64, py: Float64, zc: Float64, near: float) -> bool:
    """Whether any vertex is nearer than ``near`` or outside the guard band; without a branch, as vectors have it."""
    found = np.uint8(0)
    for n in range(len(px)):
        found |= np.uint8(not (zc[n] >= near and abs(px[n]) <= GUARD and abs(py[n]) <= GUARD))
    return found != 0


@borrowing
def _to_image(vertices: Float32, view: Float64, lens: Float64, block: Float64) -> None:
    """Image x and y in whole subpixels, camera z and its inverse, as the four fields of ``block`` [4 * BLOCK].

    ``vertices`` are flat, x, y, z after x, y, z: a stride that is not a constant would keep vectors away.
    """
    r00, r01, r02, tx = view[0, 0], view[0, 1], view[0, 2], view[0, 3]
    r10, r11, r12, ty = view[1, 0], view[1, 1], view[1, 2], view[1, 3]
    r20, r21, r22, tz = view[2, 0], view[2, 1], view[2, 2], view[2, 3]
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    for n in range(len(vertices) // 3):
        x, y, z = np.float64(vertices[3 * n]), np.float64(vertices[3 * n + 1]), np.float64(vertices[3 * n + 2])
        zc = r20 * x + r21 * y + r22 * z + tz
        inverse = 1.0 / zc
        block[n] = np.floor((fx * (r00 * x + r01 * y + r02 * z + tx) * inverse + cx) * SUBPIXELS + 0.5)
        block[BLOCK + n] = np.floor((fy * (r10 * x + r11 * y + r12 * z + ty) * inverse + cy) * SUBPIXELS + 0.5)
        block[2 * BLOCK + n] = zc
        block[3 * BLOCK + n] = inverse


@borrowing
def row_bounds(sx: Int32, sy: Int32, state: UInt8, width: int, first: int, last: int, bounds: Int32) -> None:
    """Per grid row: smallest and largest snapped x and y, and whether all are in front, or all behind.

    ``bounds`` [H, 6] is written for rows ``first..last-1``.
    """
    for j in range(first, last):
        start = j * width
        row = sx[start : start + width]
        low, high = row[0], row[0]
        for i in range(width):
            low, high = min(low, row[i]), max(high, row[i])
        bounds[j, 0], bounds[j, 1] = low, high
        row = sy[start : start + width]
        low, high = row[0], row[0]
        for i in range(width):
            low, high = min(low, row[i]), max(high, row[i])
        bounds[j, 2], bounds[j, 3] = low, high
        states = state[start : start + width]
        seen_or, seen_and = states[0], states[0]
        for i in range(width):
            seen_or |= states[i]
            seen_and &= states[i]
        bounds[j, 4], bounds[j, 5] = seen_or, seen_and


@borrowing
def unpack_rows(picture: Int32, first: int, last: int, colour: UInt8, mask: UInt8) -> None:
    """Colour [H, W, 3] and mask [H, W] of rows ``first..last-1``."""
    for j in range(first, last):
        row, rgb, seen = picture[j], colour[j].reshape(-1), mask[j]
        for i in range(len(row)):
            rgb[3 * i] = np.uint8(row[i])
            rgb[3 * i + 1] = np.uint8(row[i] >> 8)
            rgb[3 * i + 2] = np.uint8(row[i] >> 16)
        for i in range(len(row)):
            seen[i] = np.uint8(row[i] >> 24)


@inlined
def shade(
    weights: tuple[Number, ...], z: Number, corners: tuple[Number, ...], colors: Any, threshold: float, rounding: float
) -> Number:
    """What ``Target.picture`` shows of a sample that is seen; ``weights`` are the corners', each over its z."""
    (q0, q1, q2), (a, b, c) = weights, corners
    if (q0 * colors[a, 3] + q1 * colors[b, 3] + q2 * colors[c, 3]) * z <= threshold:
        return 0
    red = np.int32((q0 * colors[a, 0] + q1 * colors[b, 0] + q2 * colors[c, 0]) * z + rounding)
    green = np.int32((q0 * colors[a, 1] + q1 * colors[b, 1] + q2 * colors[c, 1]) * z + rounding)
    blue = np.int32((q0 * colors[a, 2] + q1 * colors[b, 2] + q2 * colors[c, 2]) * z + rounding)
    return red | (green << 8) | (blue << 16) | (1 << 24)


@inlined
def owns_edge(dx: Number, dy: Number) -> int:
    """0 for a top or left edge, else -1: added to an edge function that then has to be >= 0."""
    return 0 if dy < 0 or (dy == 0 and dx > 0) else -1


@inlined
def first_sample(low: Number) -> int:
    """The first pixel whose centre is at or beyond ``low`` subpixels."""
    return (low + (HALF - 1)) >> SHIFT


@inlined
def last_sample(high: Number) -> int:
    """The last pixel whose centre is before ``high`` subpixels."""
    return (high - (HALF + 1)) >> SHIFT


@inlined
def samples_of(a: Number, b: Number, c: Number, first: Number, last: Number) -> tuple[Number, Number]:
    """The first and the last of the pixels ``first..last`` with a centre between three places along one axis.

    There is none where the first is beyond the last.
    """
    return max(first_sample(min(a, b, c)), first), min(last_sample(max(a, b, c)), last)


@inlined
def corners_of(
    a: int, b: int, c: int, sx: Number, sy: Number
) -> tuple[Number, Number, Number, Number, Number, Number, Number]:
    """Where three vertices lie, x and y of each in subpixels, and twice the area that is on their left."""
    ax, ay, bx, by = np.int64(sx[a]), np.int64(sy[a]), np.int64(sx[b]), np.int64(sy[b])
    cx, cy = np.int64(sx[c]), np.int64(sy[c])
    return ax, ay, bx, by, cx, cy, (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


@inlined
def span(n: Number, step: Number, inverse: Number, width: int, lo: Number, hi: Number) -> tuple[Number, Number]:
    """Narrow ``lo..hi`` (within 0..width-1) to the columns x with n + step * x >= 0; ``inverse`` is 1 / abs(step).

    Integer division is slow: the quotient is taken in floating point, within the picture, and set right by its rest.
    """
    if step == 0:
        return lo, (hi if n >= 0 else lo - 1)
    size = abs(step)
    quotient = np.int64(np.floor(min(max(n * inverse, -width - 1.0), width + 1.0)))
    rest = n - quotient * size
    quotient += np.int64(rest >= size) - np.int64(rest < 0)
    return (max(lo, -quotient), hi) if step > 0 else (lo, min(hi, quotient))


@inlined
def _any_below(depths: Float32, limit: np.float32) -> bool:  # depths [N]
    """Whether any is below the limit; without a branch, which compiles to vector instructions."""
    found = np.uint8(0)
    for i in range(len(depths)):
        found |= np.uint8(depths[i] < limit)
    return found != 0


@borrowing
def fill_triangle(a: int, b: int, c: int, hide: bool, points: Projected, target: Target) -> None:
    """Draw one triangle of any size, finding each row's span of samples by division. ``hide``: no colour.

    Parts of a row where all that is there is nearer than the triangle's nearest corner are passed over: so are most of
    a solid mesh's caps, which lie behind the whole picture.
    """
    sx, sy, inv_z, colors = points.sx, points.sy, points.inv_z, points.colors
    nearest, picture = target.nearest, target.picture
    far_inv, threshold, rounding = target.limits
    ax, ay, bx, by, cx, cy, area = corners_of(a, b, c, sx, sy)
    if area == 0:
        return
    if area < 0:
        b, c, bx, by, cx, cy, area = c, b, cx, cy, bx, by, -area
        hide = hide or target.one_sided
    width = nearest.shape[1]
    x0, x1 = samples_of(ax, bx, cx, 0, width - 1)
    y0, y1 = samples_of(ay, by, cy, target.first, target.last - 1)
    if x0 > x1 or y0 > y1:
        return
    hidden = hide or (colors[a, 3] <= threshold and colors[b, 3] <= threshold and colors[c, 3] <= threshold)
    inv_area, w0, w1, w2 = 1.0 / area, inv_z[a], inv_z[b], inv_z[c]
    limit = np.float32(max(w0, max(w1, w2)) * ROUNDED)
    dx0, dy0, dx1, dy1, dx2, dy2 = cx - bx, cy - by, ax - cx, ay - cy, bx - ax, by - ay
    own0, own1, own2 = owns_edge(dx0, dy0), owns_edge(dx1, dy1), owns_edge(dx2, dy2)
    step0, step1, step2 = -dy0 * SUBPIXELS, -dy1 * SUBPIXELS, -dy2 * SUBPIXELS
    inverse0, inverse1, inverse2 = 1.0 / abs(step0), 1.0 / abs(step1), 1.0 / abs(step2)
    for row in range(y0, y1 + 1):
        py = row * SUBPIXELS + HALF
        n0 = dx0 * (py - by) - dy0 * (HALF - bx)  # edge functions at column 0
        n1 = dx1 * (py - cy) - dy1 * (HALF - cx)
        n2 = dx2 * (py - ay) - dy2 * (HALF - ax)
        lo, hi = span(n0 + own0, step0, inverse0, width, x0, x1)
        lo, hi = span(n1 + own1, step1, inverse1, width, lo, hi)
        lo, hi = span(n2 + own2, step2, inverse2, width, lo, hi)
        depths, shown = nearest[row], picture[row]
        for start in range(lo, hi + 1, PART):
            stop = min(start + PART, hi + 1)
            if not _any_below(depths[start:stop], limit):
                continue
            e0, e1, e2 = n0 + step0 * start, n1 + step1 * start, n2 + step2 * start
            for column in range(start, stop):
                q0, q1, q2 = e0 * inv_area * w0, e1 * inv_area * w1, e2 * inv_area * w2
                e0, e1, e2 = e0 + step0, e1 + step1, e2 + step2
                total = q0 + q1 + q2
                depth = np.float32(total)
                if depth > depths[column] and total >= far_inv:
                    depths[column] = depth
                    value = 0
                    if not hidden:
                        value = shade((q0, q1, q2), 1.0 / total, (a, b, c), colors, threshold, rounding)
                    shown[column] = value
