"""Triton kernels of solid surfaces, second part: how deep what is seen reaches back (``ex4d/dwmesh/edges.py``).

The estimate takes from each pixel's row and column the unbroken run it belongs to: first and last pixel, and the
largest inverse depth. ``line_runs`` lists every row's or column's runs, one lane per line, which steps along it as the
CPU does. Only the corners of cut quads have walls, so ``corner_thickness`` judges these alone: it looks up their runs
by bisection.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ex4d.dwmesh import thickness
from ex4d.dwmesh.gpu.solid_kernels import PITCH_X

CROWD = tl.constexpr(thickness.CROWD_PX)
# Places in ``numbers`` behind those of solid_kernels.py.
PER_WIDTH, LEAST_WIDTH, PER_END = tl.constexpr(8), tl.constexpr(9), tl.constexpr(10)
OFF, MOST_SHARE, THIN_CROWD = tl.constexpr(11), tl.constexpr(12), tl.constexpr(13)
FULL_CROWD, BUSH, COLUMN_PITCH = tl.constexpr(14), tl.constexpr(15), tl.constexpr(16)


@triton.jit
def _step(own, cut, position, length, n, nearest, ends, maxima, ok, BIT: tl.constexpr):
    """One pixel further along every line; where a run ends, note it as the ``n``-th of its line."""
    nearest = tl.maximum(nearest, own)
    stops = ok & (position < length) & (((cut & BIT) != 0) | (position == length - 1))
    tl.store(ends + n, position + tl.zeros_like(n), mask=stops)
    tl.store(maxima + n, nearest, mask=stops)
    return n + stops.to(tl.int32), tl.where(stops, 0.0, nearest)


@triton.jit
def _eight(at, step, left, ok):
    """What lies at each line's next eight positions, of which ``left`` are there."""
    v0, v1 = tl.load(at, mask=ok, other=0), tl.load(at + step, mask=ok & (left > 1), other=0)
    v2 = tl.load(at + 2 * step, mask=ok & (left > 2), other=0)
    v3 = tl.load(at + 3 * step, mask=ok & (left > 3), other=0)
    v4 = tl.load(at + 4 * step, mask=ok & (left > 4), other=0)
    v5 = tl.load(at + 5 * step, mask=ok & (left > 5), other=0)
    v6 = tl.load(at + 6 * step, mask=ok & (left > 6), other=0)
    v7 = tl.load(at + 7 * step, mask=ok & (left > 7), other=0)
    return v0, v1, v2, v3, v4, v5, v6, v7


@triton.jit(do_not_specialize=["lines", "length", "line_step", "step"])
def line_runs(
    inverse,  # [B, H * W] float32
    cuts,  # [B, H * W] uint8
    ends,  # [B, lines, length] int32, written: last position of each run of a line
    maxima,  # [B, lines, length] float32, written: largest inverse depth of each
    counts,  # [B, lines] int32, written: runs of each line
    lines, length,  # H, W for rows and W, H for columns
    line_step, step,  # from one line to the next, and along it
    BIT: tl.constexpr,  # of the cut behind a position
    LINES: tl.constexpr,
):  # fmt: skip
    """The runs of some lines. What a few steps need is asked for at once: there are few lanes to wait together."""
    frame = tl.program_id(1).to(tl.int64)
    line = tl.program_id(0) * LINES + tl.arange(0, LINES)
    ok = line < lines
    values = inverse + frame * lines * length + line * line_step
    marks = cuts + frame * lines * length + line * line_step
    ends += frame * lines * length + line * length
    maxima += frame * lines * length + line * length
    n, nearest = tl.zeros((LINES,), tl.int32), tl.zeros((LINES,), tl.float32)
    for first in range(0, length, 8):
        at = first * step
        left = length - first
        w0, w1, w2, w3, w4, w5, w6, w7 = _eight(values + at, step, left, ok)
        c0, c1, c2, c3, c4, c5, c6, c7 = _eight(marks + at, step, left, ok)
        n, nearest = _step(w0, c0, first, length, n, nearest, ends, maxima, ok, BIT)
        n, nearest = _step(w1, c1, first + 1, length, n, nearest, ends, maxima, ok, BIT)
        n, nearest = _step(w2, c2, first + 2, length, n, nearest, ends, maxima, ok, BIT)
        n, nearest = _step(w3, c3, first + 3, length, n, nearest, ends, maxima, ok, BIT)
        n, nearest = _step(w4, c4, first + 4, length, n, nearest, ends, maxima, ok, BIT)
        n, nearest = _step(w5, c5, first + 5, length, n, nearest, ends, maxima, ok, BIT)
        n, nearest = _step(w6, c6, first + 6, length, n, nearest, ends, maxima, ok, BIT)
        n, nearest = _step(w7, c7, first + 7, length, n, nearest, ends, maxima, ok, BIT)
    tl.store(counts + frame * lines + line, n, mask=ok)


@triton.jit
def _find(ends, count, position, ok, steps):
    """Which of a line's runs ``position`` is in: the first that ends there or later."""
    low, high = count * 0, count - 1
    for _ in range(steps):
        middle = (low + high) >> 1
        reached = tl.load(ends + middle, mask=ok, other=0) >= position
        high, low = tl.where(reached, middle, high), tl.where(reached, low, middle + 1)
        low = tl.minimum(low, high)
    return low


@triton.jit
def _extent(line, step, length, ends, n, pitch, numbers, ok):
    """Width at depth 1 of a line's run ``n``. One that ends at something nearer goes on behind it: it counts as longer.

    ``line`` points at the line's first pixel, ``step`` apart from the next.
    """
    start, end = tl.load(ends + n - 1, mask=ok & (n > 0), other=-1) + 1, tl.load(ends + n, mask=ok, other=0)
    first, last = tl.load(line + start * step, mask=ok, other=1.0), tl.load(line + end * step, mask=ok, other=1.0)
    before = tl.load(line + (start - 1) * step, mask=ok & (start > 1), other=0.0)
    after = tl.load(line + (end + 1) * step, mask=ok & (end < length - 2), other=0.0)
    covered = ((start > 1) & (before > first)).to(tl.int32) + ((end < length - 2) & (after > last)).to(tl.int32)
    return (end + 1 - start).to(tl.float64) * pitch * (1.0 + tl.load(numbers + PER_END) * covered.to(tl.float64))


@triton.jit
def _reach(run, nearest, own, numbers):
    """As deep as wide from the nearest point on, but a share of the width at least; in single precision."""
    most = (run * tl.load(numbers + PER_WIDTH) - 1.0).to(tl.float32)
    least = (run * tl.load(numbers + LEAST_WIDTH)).to(tl.float32)
    z = tl.div_rn(1.0, own)
    return tl.maximum(most * z + tl.div_rn(1.0, nearest), least * z)


@triton.jit
def _corrected(thick, own, found, numbers):
    """A run counts pixels that are only partly covered; in a thicket things are not apart."""
    pitch, begin = tl.load(numbers + PITCH_X), tl.load(numbers + THIN_CROWD)
    z = 1.0 / own.to(tl.float64)
    share = (found.to(tl.float64) - begin) / (tl.load(numbers + FULL_CROWD) - begin)
    share = tl.where(share > 0.0, share, 0.0)
    share = tl.where(share < 1.0, share, 1.0)
    least = tl.minimum(thick.to(tl.float64), tl.load(numbers + MOST_SHARE) * z)
    least = least - tl.load(numbers + OFF) * pitch * z
    return tl.maximum(least, share * tl.load(numbers + BUSH) * pitch * z).to(tl.float32)


@triton.jit
def _judged(
    inverse, cuts, j, i, row_ends, row_near, row, column_ends, column_near, column, found, height, width, numbers, ok
):
    """Thickness of vertices (j, i) in run ``row`` of their row and ``column`` of their column."""
    at = j * width + i
    own = tl.load(inverse + at, mask=ok, other=1.0)
    wide = _extent(inverse + j * width, 1, width, row_ends, row, tl.load(numbers + PITCH_X), numbers, ok)
    thick = _reach(wide, tl.load(row_near + row, mask=ok, other=1.0), own, numbers)
    cut = tl.load(cuts + at, mask=ok, other=0) | tl.load(cuts + at - width, mask=ok & (j > 0), other=0)
    cut |= tl.load(cuts + at - 1, mask=ok & (i > 0), other=0)
    tall = _extent(inverse + i, width, height, column_ends, column, tl.load(numbers + COLUMN_PITCH), numbers, ok)
    # By the column where that is shorter, at pixels with a cut side; the CPU keeps the row's in single precision.
    shorter = ((cut != 0) | (j == height - 1)) & (tall < wide.to(tl.float32).to(tl.float64))
    thick = tl.where(shorter, _reach(tall, tl.load(column_near + column, mask=ok, other=1.0), own, numbers), thick)
    return _corrected(thick, own, found, numbers)


@triton.jit
def _reflected(k, length):
    """Index ``k`` folded back at both ends, which are not repeated."""
    k = tl.abs(k)
    return tl.abs(tl.minimum(k, 2 * (length - 1) - k))


@triton.jit
def _crowds(cuts, j, i, height, width, ok):
    """Pixels with a cut in windows of CROWD pixels a side: around (j, i), right of it, below both, and below it."""
    f0, f1 = tl.zeros_like(i), tl.zeros_like(i)
    f2, f3 = tl.zeros_like(i), tl.zeros_like(i)
    for y in tl.static_range(CROWD + 1):
        line = cuts + _reflected(j + (y - CROWD // 2), height) * width
        left, right = tl.zeros_like(i), tl.zeros_like(i)
        for x in tl.static_range(CROWD + 1):
            near = tl.load(line + _reflected(i + (x - CROWD // 2), width), mask=ok, other=0)
            one = (near != 0).to(tl.int32)
            if x < CROWD:
                left += one
            if x > 0:
                right += one
        if y < CROWD:
            f0 += left
            f1 += right
        if y > 0:
            f2 += right
            f3 += left
    return f0, f1, f2, f3


@triton.jit(do_not_specialize=["height", "width", "most_quads", "row_steps", "column_steps"])
def corner_thickness(
    inverse,  # [B, H * W] float32
    cuts,  # [B, H * W] uint8
    row_ends, row_near, row_counts, column_ends, column_near, column_counts,  # from line_runs
    edges,  # [B, 3, H] int32 from list_cuts
    quads,  # [B, most_quads, 2] int32 from list_cuts
    numbers,
    thickness,  # [B, most_quads, 4] float32, written: of each cut quad's corners, clockwise from the upper left
    height, width, most_quads,
    row_steps, column_steps,  # that bisecting takes at most
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The estimate at the corners of cut quads."""
    frame = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = n < tl.load(edges + frame * 3 * height + 2 * height - 1)
    v = tl.load(quads + (frame * most_quads + n) * 2, mask=ok, other=0)
    j, i = v // width, v % width
    base = frame * height * width
    inverse += base
    cuts += base
    top, left = base + j * width, base + i * height
    in_row, in_column = row_counts + frame * height + j, column_counts + frame * width + i
    over = _find(row_ends + top, tl.load(in_row, mask=ok, other=1), i, ok, row_steps)
    under = _find(row_ends + top + width, tl.load(in_row + 1, mask=ok, other=1), i, ok, row_steps)
    before = _find(column_ends + left, tl.load(in_column, mask=ok, other=1), j, ok, column_steps)
    behind = _find(column_ends + left + height, tl.load(in_column + 1, mask=ok, other=1), j, ok, column_steps)
    # The next pixel is in the next run where this one is its run's last.
    over_next = over + (tl.load(row_ends + top + over, mask=ok, other=-1) == i).to(tl.int32)
    under_next = under + (tl.load(row_ends + top + width + under, mask=ok, other=-1) == i).to(tl.int32)
    before_next = before + (tl.load(column_ends + left + before, mask=ok, other=-1) == j).to(tl.int32)
    behind_next = behind + (tl.load(column_ends + left + height + behind, mask=ok, other=-1) == j).to(tl.int32)
    f0, f1, f2, f3 = _crowds(cuts, j, i, height, width, ok)
    out = thickness + (frame * most_quads + n) * 4
    upper_ends, upper_near = row_ends + top, row_near + top
    lower_ends, lower_near = upper_ends + width, upper_near + width
    left_ends, left_near = column_ends + left, column_near + left
    right_ends, right_near = left_ends + height, left_near + height
    thick = _judged(
        inverse, cuts, j, i, upper_ends, upper_near, over, left_ends, left_near, before, f0, height, width, numbers, ok
    )
    tl.store(out, thick, mask=ok)
    thick = _judged(
        inverse, cuts, j, i + 1, upper_ends, upper_near, over_next, right_ends, right_near, behind, f1,
        height, width, numbers, ok,
    )  # fmt: skip
    tl.store(out + 1, thick, mask=ok)
    thick = _judged(
        inverse, cuts, j + 1, i + 1, lower_ends, lower_near, under_next, right_ends, right_near, behind_next, f2,
        height, width, numbers, ok,
    )  # fmt: skip
    tl.store(out + 2, thick, mask=ok)
    thick = _judged(
        inverse, cuts, j + 1, i, lower_ends, lower_near, under, left_ends, left_near, before_next, f3,
        height, width, numbers, ok,
    )  # fmt: skip
    tl.store(out + 3, thick, mask=ok)
