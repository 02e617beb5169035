"""The hot loop: a grid surface drawn quad by quad, with little work for quads that touch no sample."""

import numpy as np

from ex4d.compiled.kernel import borrowing, inlined, kernel
from ex4d.raster import cover, kernels, samples
from ex4d.raster.clip import draw_any
from ex4d.raster.kernels import Number, Projected, Target, View
from ex4d.surface.flags import QUAD_DROP
from ex4d_ground.arrays import Float32, Int32, UInt8


@borrowing
def row_is_outside(above: Int32, below: Int32, target: Target) -> bool:
    """Whether no triangle between two grid rows (their ``bounds``) can touch a sample of the target."""
    if above[5] & below[5] == kernels.BEHIND:
        return True
    if above[4] | below[4] != kernels.IN_FRONT:
        return False
    x0, x1 = kernels.first_sample(min(above[0], below[0])), kernels.last_sample(max(above[1], below[1]))
    y0, y1 = kernels.first_sample(min(above[2], below[2])), kernels.last_sample(max(above[3], below[3]))
    return x0 > x1 or y0 > y1 or x0 >= target.nearest.shape[1] or x1 < 0 or y0 >= target.last or y1 < target.first


@borrowing
def draw_large(
    chosen: Int32, v00: int, width: int, flags: UInt8, points: Projected, view: View, target: Target
) -> None:  # chosen [N], flags [W - 1] of the row's quads
    """Draw triangles of one row of quads that are large or have to be cut; number 2 * i + k is half k of quad i."""
    for n in range(chosen.shape[0]):
        half = chosen[n] & 1
        corner = v00 + (chosen[n] >> 1)
        a, b, c = corner + width, corner + half, corner + 1 + half * width
        hide = (flags[chosen[n] >> 1] >> half) & 1 != 0
        draw_any(a, b, c, hide, points, view, target)


@borrowing
def _load(sx: Int32, sy: Int32, corner: int, width: int, flags: UInt8, chunk: Int32) -> None:
    """Copy the quads to the right of vertex ``corner``, as many as ``flags`` has, into the fields of ``chunk``."""
    count = len(flags)
    upper, lower = slice(corner, corner + count + 1), slice(corner + width, corner + width + count + 1)
    upper_x, upper_y, lower_x, lower_y = sx[upper], sy[upper], sx[lower], sy[lower]
    for i in range(count + 1):  # copies written as slices are slower
        chunk[cover.UPPER_X + i] = upper_x[i]
    for i in range(count + 1):
        chunk[cover.UPPER_Y + i] = upper_y[i]
    for i in range(count + 1):
        chunk[cover.LOWER_X + i] = lower_x[i]
    for i in range(count + 1):
        chunk[cover.LOWER_Y + i] = lower_y[i]
    for i in range(count):
        chunk[cover.FLAG + i] = flags[i]


@borrowing
def _put_off(state: UInt8, corner: int, width: int, flags: UInt8, chunk: Int32) -> None:
    """Leave triangles that are not wholly in front for later."""
    for i in range(len(flags)):
        if not flags[i] & QUAD_DROP:
            v = corner + i
            diagonal = state[v + 1] | state[v + width]
            code = chunk[cover.CODE + i]
            if diagonal | state[v] != kernels.IN_FRONT:
                code = (code & ~(cover.BLOCK | cover.TEST)) | cover.LATER
            if diagonal | state[v + width + 1] != kernels.IN_FRONT:
                code = (code & ~((cover.BLOCK << cover.BLOCK_BITS) | (cover.TEST << 1))) | (cover.LATER << 1)
            chunk[cover.CODE + i] = code


@inlined
def _put_one(records: Int32, n: int, v: int, width: int, flag: Number, code: Number, chunk: Int32, i: Number) -> None:
    """Write record ``n`` for quad ``i``, whose upper left vertex is ``v``: one of its triangles covers one sample."""
    k = np.int64(code > cover.BLOCK)
    bit = samples.LOWEST_BIT[(code | (code >> cover.BLOCK_BITS)) & cover.BLOCK]
    column = chunk[cover.FIRST_COLUMN + k * cover.STRIDE + i] + (bit & 1)
    row = chunk[cover.FIRST_ROW + k * cover.STRIDE + i] + (bit >> 1)
    samples.put(records, n, (v + width, v + k, v + 1 + k * width, (flag >> k) & 1), column, row)


@kernel
def draw_grid(
    width: int,
    quad_flags: UInt8,  # [H - 1, W - 1], or empty where all are drawn
    bounds: Int32,  # [H, 6] from row_bounds
    rgba: Int32,  # [V] the vertices' colours as one number each
    points: Projected,
    view: View,
    target: Target,
    top: int,
    bottom: int,
) -> None:
    """Draw the triangles of rows ``top..bottom-1`` of the quads of a grid of ``width`` vertices a row."""
    plain = np.zeros(width - 1, np.uint8)
    later = np.empty(2 * (width - 1), np.int32)  # keeps the code for large triangles out of the inner loop
    _draw_grid(width, quad_flags, bounds, rgba, points, view, target, top, bottom, plain, later, samples.scratch())


@borrowing
def _draw_grid(
    width: int,
    quad_flags: UInt8,
    bounds: Int32,
    rgba: Int32,
    points: Projected,
    view: View,
    target: Target,
    top: int,
    bottom: int,
    plain: UInt8,  # [W - 1]
    later: Int32,  # [2 * (W - 1)]
    scratch: tuple[Int32, Int32, Int32, Float32],
) -> None:
    """The same, in arrays that are there."""
    sx, sy, state = points.sx, points.sy, view.state
    columns, first, last = target.nearest.shape[1], target.first, target.last
    chunk, some, records, depths = scratch
    n = np.int64(0)  # not a literal: what takes it would be compiled for that, too
    for j in range(top, bottom):
        if row_is_outside(bounds[j], bounds[j + 1], target):
            continue
        waiting = 0
        flags = quad_flags[j] if quad_flags.size > 0 else plain
        for start in range(0, width - 1, cover.CHUNK):
            count = min(cover.CHUNK, width - 1 - start)
            corner = j * width + start
            part = flags[start : start + count]
            _load(sx, sy, corner, width, part, chunk)
            cover.cover_upper(chunk, count, columns, first, last)
            cover.cover_lower(chunk, count, columns, first, last)
            if bounds[j, 4] | bounds[j + 1, 4] != kernels.IN_FRONT:
                _put_off(state, corner, width, part, chunk)
            found = cover.find_drawn(chunk, count, some)
            if 2 * found > count:
                if n:
                    n = samples.draw_samples(records, depths, n, rgba, points, target)
                found = samples.draw_dense(
                    chunk, some, found, count, corner, width, records, depths, rgba, points, target
                )
            for s in range(found):
                i = some[s]
                code, flag, v = chunk[cover.CODE + i], part[i], corner + i
                if code & (code - 1) == 0 and code < cover.TEST:  # one sample of one triangle, as most have
                    _put_one(records, n, v, width, flag, code, chunk, i)
                    n += 1
                else:
                    for k in range(2):
                        triangle = v + width, v + k, v + 1 + k * width, (flag >> k) & 1
                        if code & (cover.LATER << k):
                            later[waiting] = 2 * (start + i) + k
                            waiting += 1
                        elif code & (cover.TEST << k):
                            n = samples.put_tested(records, n, triangle, (sx, sy), columns, first, last)
                        else:
                            block, at = (code >> (k * cover.BLOCK_BITS)) & cover.BLOCK, k * cover.STRIDE + i
                            column, row = chunk[cover.FIRST_COLUMN + at], chunk[cover.FIRST_ROW + at]
                            n = samples.put_block(records, n, triangle, block, column, row)
                if n > samples.FULL:
                    n = samples.draw_samples(records, depths, n, rgba, points, target)
        if waiting:
            n = samples.draw_samples(records, depths, n, rgba, points, target)
            draw_large(later[:waiting], j * width, width, flags, points, view, target)
    samples.draw_samples(records, depths, n, rgba, points, target)
