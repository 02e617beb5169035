"""Samples that small triangles cover: their depth and colour, many samples at a time.

Records are appended triangle by triangle and drawn in that order, so the result is that of drawing one after the other.
As in :mod:`ex4d.raster.cover`, fields lie in one array at constant distances, so that the arithmetic compiles to vector
instructions.
"""

from collections.abc import Callable

import numpy as np

from ex4d.compiled.kernel import borrowing, inlined, kernel
from ex4d.raster import cover
from ex4d.raster.cover import CHUNK, CHUNK_SIZE, TINY
from ex4d.raster.kernels import HALF, SHIFT, SUBPIXELS, Number, Projected, Target, corners_of, owns_edge, samples_of
from ex4d_ground.arrays import Float32, Int32

BATCH = 512
FULL = BATCH - 2 * TINY * TINY
"""With more records than this, another quad may not fit: time to draw them."""
STRIDE = BATCH + 48  # no multiple of 4096 bytes, see cover.py
# Fields of a record: the triangle's corners (vertices), the sample, and whether it is hidden; then what is looked up.
A, B, C, COLUMN, ROW, HIDE = 0, STRIDE, 2 * STRIDE, 3 * STRIDE, 4 * STRIDE, 5 * STRIDE
A_X, A_Y, B_X, B_Y, C_X, C_Y = (n * STRIDE for n in range(6, 12))
A_RGBA, B_RGBA, C_RGBA, RESULT = (n * STRIDE for n in range(12, 16))
RECORDS_SIZE = 16 * STRIDE
A_W, B_W, C_W, DEPTH = 0, STRIDE, 2 * STRIDE, 3 * STRIDE
"""Fields of the second array: inverse depth of the corners, and of the sample; negative for one beyond ``far``."""
DEPTHS_SIZE = 4 * STRIDE

LOWEST_BIT = np.array([0, 0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 2, 0, 1, 0], np.int32)
"""Place of the lowest bit that is set, of numbers up to 15."""
OPAQUE = 254.5
"""What is mixed of alphas of 255 is above this threshold, however it is rounded."""
Triangle = tuple[Number, Number, Number, Number]
"""Its corners (vertices), and whether it is hidden."""
_I = np.int32  # see cover.py


@kernel
def scratch() -> tuple[Int32, Int32, Int32, Float32]:
    """Room for a chunk and what of it is drawn (see cover.py), for records, and for their depths."""
    chunk, some = np.empty(CHUNK_SIZE, np.int32), np.empty(CHUNK + 1, np.int32)
    return chunk, some, np.empty(RECORDS_SIZE, np.int32), np.empty(DEPTHS_SIZE, np.float32)


@inlined
def put(records: Int32, n: Number, triangle: Triangle, column: Number, row: Number) -> None:
    """Write record ``n``: the triangle covers a sample."""
    records[A + n], records[B + n], records[C + n], records[HIDE + n] = triangle
    records[COLUMN + n], records[ROW + n] = column, row


@inlined
def put_block(records: Int32, n: Number, triangle: Triangle, block: Number, column: Number, row: Number) -> Number:
    """Append the samples of ``block``, the bits of cover.py for those from (column, row) on; returns the new count."""
    while block:
        bit = LOWEST_BIT[block]
        put(records, n, triangle, column + (bit & 1), row + (bit >> 1))
        n += 1
        block &= block - 1
    return n


@borrowing
def put_tested(
    records: Int32, n: Number, triangle: Triangle, points: tuple[Int32, Int32], columns: int, first: int, last: int
) -> Number:
    """Append the samples of rows ``first..last-1`` that the triangle covers, testing each within its bounding box.

    ``points`` are sx and sy of all vertices. Returns the new count.
    """
    (sx, sy), (a, b, c, _) = points, triangle
    ax, ay, bx, by, cx, cy, area = corners_of(a, b, c, sx, sy)
    x0, x1 = samples_of(ax, bx, cx, 0, columns - 1)
    y0, y1 = samples_of(ay, by, cy, first, last - 1)
    if area < 0:
        bx, by, cx, cy = cx, cy, bx, by
    dx0, dy0, dx1, dy1, dx2, dy2 = cx - bx, cy - by, ax - cx, ay - cy, bx - ax, by - ay
    px, py = x0 * SUBPIXELS + HALF, y0 * SUBPIXELS + HALF
    f0 = dx0 * (py - by) - dy0 * (px - bx) + owns_edge(dx0, dy0)
    f1 = dx1 * (py - cy) - dy1 * (px - cx) + owns_edge(dx1, dy1)
    f2 = dx2 * (py - ay) - dy2 * (px - ax) + owns_edge(dx2, dy2)
    for row in range(y0, y1 + 1):
        e0, e1, e2 = f0, f1, f2
        for column in range(x0, x1 + 1):
            put(records, n, triangle, column, row)
            n += (e0 | e1 | e2) >= 0  # no sign bit is set: kept, else written over by the next
            e0, e1, e2 = e0 - dy0 * SUBPIXELS, e1 - dy1 * SUBPIXELS, e2 - dy2 * SUBPIXELS
        f0, f1, f2 = f0 + dx0 * SUBPIXELS, f1 + dx1 * SUBPIXELS, f2 + dx2 * SUBPIXELS
    return n


@borrowing
def _look_up(records: Int32, depths: Float32, count: int, sx: Int32, sy: Int32, inv_z: Float32, rgba: Int32) -> None:
    """Fill in what is known of the corners."""
    for n in range(count):
        a, b, c = records[A + n], records[B + n], records[C + n]
        records[A_X + n], records[A_Y + n] = sx[a], sy[a]
        records[B_X + n], records[B_Y + n] = sx[b], sy[b]
        records[C_X + n], records[C_Y + n] = sx[c], sy[c]
        records[A_RGBA + n], records[B_RGBA + n], records[C_RGBA + n] = rgba[a], rgba[b], rgba[c]
        depths[A_W + n], depths[B_W + n], depths[C_W + n] = inv_z[a], inv_z[b], inv_z[c]


@inlined
def _mix(q0: Number, q1: Number, q2: Number, a: Number, b: Number, c: Number, shift: int) -> Number:
    """Weighted sum of one of the four bytes of three colours."""
    return q0 * _I((a >> shift) & 255) + q1 * _I((b >> shift) & 255) + q2 * _I((c >> shift) & 255)


@inlined
def _all_shown(records: Int32, count: int) -> bool:
    """Whether no sample is of a hidden triangle, and all corners are opaque; without a branch, as vectors have it."""
    hidden, both = _I(0), _I(-1)
    for n in range(count):
        hidden |= records[HIDE + n]
        both &= records[A_RGBA + n] & records[B_RGBA + n] & records[C_RGBA + n]
    return hidden == 0 and (both >> 24) & 255 == 255


def _weigher(opaque: bool) -> Callable[..., None]:
    """A compiled loop for the depth and colour of samples, all of which are as :func:`_all_shown` says if ``opaque``.

    The arithmetic is that of :func:`ex4d.raster.kernels.shade`.
    """

    @borrowing
    def weigh(
        records: Int32, depths: Float32, count: int, one_sided: bool, far_inv: float, threshold: float, rounding: float
    ) -> None:
        """Fill in RESULT and DEPTH."""
        zero = _I(0)
        for n in range(count):
            px, py = _I(_I(records[COLUMN + n] << SHIFT) + HALF), _I(_I(records[ROW + n] << SHIFT) + HALF)
            ax, ay = _I(records[A_X + n] - px), _I(records[A_Y + n] - py)
            bx, by = _I(records[B_X + n] - px), _I(records[B_Y + n] - py)
            cx, cy = _I(records[C_X + n] - px), _I(records[C_Y + n] - py)
            a, b, c = records[A_RGBA + n], records[B_RGBA + n], records[C_RGBA + n]
            wb, wc = depths[B_W + n], depths[C_W + n]
            area = _I((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
            turned = area < zero
            bx, cx = cx if turned else bx, bx if turned else cx
            by, cy = cy if turned else by, by if turned else cy
            b, c = c if turned else b, b if turned else c
            wb, wc = wc if turned else wb, wb if turned else wc
            inv_area = 1.0 / _I(abs(area))
            q0 = _I((cy - by) * bx - (cx - bx) * by) * inv_area * depths[A_W + n]
            q1 = _I((ay - cy) * cx - (ax - cx) * cy) * inv_area * wb
            q2 = _I((by - ay) * ax - (bx - ax) * ay) * inv_area * wc
            total = q0 + q1 + q2
            depths[DEPTH + n] = np.float32(total) if total >= far_inv else np.float32(-1.0)
            z = 1.0 / total
            hidden = turned & one_sided
            if opaque:
                seen = (total > 0.0) & (not hidden)
            else:
                a_alpha, b_alpha, c_alpha = _I((a >> 24) & 255), _I((b >> 24) & 255), _I((c >> 24) & 255)
                hidden |= records[HIDE + n] != zero
                hidden |= (a_alpha <= threshold) & (b_alpha <= threshold) & (c_alpha <= threshold)
                seen = (_mix(q0, q1, q2, a, b, c, 24) * z > threshold) & (not hidden)
            red = _I(_mix(q0, q1, q2, a, b, c, 0) * z + rounding)
            green = _I(_mix(q0, q1, q2, a, b, c, 8) * z + rounding)
            blue = _I(_mix(q0, q1, q2, a, b, c, 16) * z + rounding)
            records[RESULT + n] = _I(red | (green << 8) | (blue << 16) | (1 << 24)) if seen else zero

    return weigh


_weigh_opaque, _weigh_any = _weigher(True), _weigher(False)


@inlined
def _weigh(
    records: Int32, depths: Float32, count: int, one_sided: bool, far_inv: float, threshold: float, rounding: float
) -> None:
    """Depth and colour of each sample."""
    if threshold < OPAQUE and _all_shown(records, count):
        _weigh_opaque(records, depths, count, one_sided, far_inv, threshold, rounding)
    else:
        _weigh_any(records, depths, count, one_sided, far_inv, threshold, rounding)


@borrowing
def _keep(records: Int32, depths: Float32, count: int, nearest: Float32, picture: Int32) -> None:
    """Depth test, in order."""
    for n in range(count):
        row, column, depth = records[ROW + n], records[COLUMN + n], depths[DEPTH + n]
        if depth > nearest[row, column]:
            nearest[row, column] = depth
            picture[row, column] = records[RESULT + n]


@borrowing
def _lay_out(chunk: Int32, count: int, records: Int32) -> None:
    """Records of the first sample of each of a chunk's quads: its place, and the corners' of the triangle it is in."""
    zero, one, two, three, four = _I(0), _I(1), _I(2), _I(3), _I(4)
    for i in range(count):
        code = chunk[cover.CODE + i]
        second = code > cover.BLOCK
        bits = _I((code | (code >> cover.BLOCK_BITS)) & cover.BLOCK)
        bit = zero if bits & one else (one if bits & two else (two if bits & four else three))
        column = chunk[cover.FIRST_COLUMN + cover.STRIDE + i] if second else chunk[cover.FIRST_COLUMN + i]
        row = chunk[cover.FIRST_ROW + cover.STRIDE + i] if second else chunk[cover.FIRST_ROW + i]
        records[COLUMN + i], records[ROW + i] = _I(column + (bit & one)), _I(row + (bit >> one))
        flag = chunk[cover.FLAG + i]
        records[HIDE + i] = _I((flag >> one) & one) if second else _I(flag & one)
        records[A_X + i], records[A_Y + i] = chunk[cover.LOWER_X + i], chunk[cover.LOWER_Y + i]
        x1, y1 = chunk[cover.UPPER_X + i + 1], chunk[cover.UPPER_Y + i + 1]
        records[B_X + i] = x1 if second else chunk[cover.UPPER_X + i]
        records[B_Y + i] = y1 if second else chunk[cover.UPPER_Y + i]
        records[C_X + i] = chunk[cover.LOWER_X + i + 1] if second else x1
        records[C_Y + i] = chunk[cover.LOWER_Y + i + 1] if second else y1


@borrowing
def _lay_out_colours(chunk: Int32, count: int, upper: Int32, lower: Int32, records: Int32) -> None:
    """The same corners' colours, of the row of vertices above the quads and of that below."""
    for i in range(count):
        second = chunk[cover.CODE + i] > cover.BLOCK
        records[A_RGBA + i] = lower[i]
        records[B_RGBA + i] = upper[i + 1] if second else upper[i]
        records[C_RGBA + i] = lower[i + 1] if second else upper[i + 1]


@borrowing
def _lay_out_depths(chunk: Int32, count: int, upper: Float32, lower: Float32, depths: Float32) -> None:
    """And their inverse depths."""
    for i in range(count):
        second = chunk[cover.CODE + i] > cover.BLOCK
        depths[A_W + i] = lower[i]
        depths[B_W + i] = upper[i + 1] if second else upper[i]
        depths[C_W + i] = lower[i + 1] if second else upper[i + 1]


@borrowing
def draw_dense(
    chunk: Int32,
    some: Int32,
    found: int,
    count: int,
    corner: int,
    width: int,
    records: Int32,
    depths: Float32,
    rgba: Int32,
    points: Projected,
    target: Target,
) -> int:
    """Draw those of a chunk's quads that have one sample; the others are left in ``some``. Returns how many.

    ``corner`` is the first quad's upper left vertex. All quads are worked on, drawn or not: where most of them have one
    sample, this is less than to look up the corners of each.
    """
    upper, lower = slice(corner, corner + count + 1), slice(corner + width, corner + width + count + 1)
    _lay_out(chunk, count, records)
    _lay_out_colours(chunk, count, rgba[upper], rgba[lower], records)
    _lay_out_depths(chunk, count, points.inv_z[upper], points.inv_z[lower], depths)
    far_inv, threshold, rounding = target.limits
    _weigh(records, depths, count, target.one_sided, far_inv, threshold, rounding)
    nearest, picture = target.nearest, target.picture
    left = 0
    for s in range(found):
        i = some[s]
        code = chunk[cover.CODE + i]
        if code & (code - 1) == 0 and code < cover.TEST:
            row, column, depth = records[ROW + i], records[COLUMN + i], depths[DEPTH + i]
            if depth > nearest[row, column]:
                nearest[row, column] = depth
                picture[row, column] = records[RESULT + i]
        else:
            some[left] = i
            left += 1
    return left


@borrowing
def draw_samples(records: Int32, depths: Float32, count: int, rgba: Int32, points: Projected, target: Target) -> int:
    """Draw the first ``count`` records; ``rgba`` [V] is a colour as one number. Returns 0: none left."""
    _look_up(records, depths, count, points.sx, points.sy, points.inv_z, rgba)
    far_inv, threshold, rounding = target.limits
    _weigh(records, depths, count, target.one_sided, far_inv, threshold, rounding)
    _keep(records, depths, count, target.nearest, target.picture)
    return 0
