"""Triton kernels of solid surfaces, first part: the ringed grid, its depth edges, and lists of these.

They take the CPU's decisions bit for bit (``ex4d/dwmesh/edges.py``): the same operations in the same order and the
same precision, and no fused multiply-add, which the launches turn off.

- ``lay_grid``: vertices, colours, inverse depth and depth edges, one lane per vertex.
- ``count_rows``, ``list_cuts``: how many edges each row has, and with the sums of these, which they are.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ex4d.dwmesh import edges

RIGHT, DOWN = tl.constexpr(edges.CUT_RIGHT), tl.constexpr(edges.CUT_DOWN)
HIDDEN = tl.constexpr(4)  # bit of ``marks`` beside the two above: the pixel shows nothing
DROP = tl.constexpr(4)  # QUAD_DROP of ex4d/raster/base.py
# Places in ``numbers``, the settings that all kernels share (float64: Triton would round plain ones to float32).
BORDER, JUMP, STEEP_X, STEEP_Y = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2), tl.constexpr(3)
X_ORIGIN, PITCH_X, Y_ORIGIN, PITCH_Y = tl.constexpr(4), tl.constexpr(5), tl.constexpr(6), tl.constexpr(7)


@triton.jit
def _inverse_at(depth, row, column, height, width, border, ok):
    """1 / depth of ringed vertices; ``depth`` points at the frame's pixels inside the ring."""
    inner = ok & (row > 0) & (row < height - 1) & (column > 0) & (column < width - 1)
    z = tl.load(depth + (row - 1) * (width - 2) + column - 1, mask=inner, other=1.0)
    return tl.div_rn(1.0, tl.where(inner, z, border))


@triton.jit
def _apart(before, p, q, after, jump, steep):
    """Whether neighbours ``p`` and ``q`` in a line of four are on two surfaces."""
    near, step = tl.maximum(p, q), tl.abs(p - q)
    miss = tl.minimum(tl.abs(p + p - before - q), tl.abs(q + q - after - p))
    return (step > steep * near) | (tl.minimum(miss, step) > jump * near)


@triton.jit
def _edges_at(depth, row, column, own, height, width, border, numbers, ok):
    """Bits RIGHT and DOWN of ringed vertices, whose inverse depth is ``own``."""
    jump, steep_x = tl.load(numbers + JUMP).to(tl.float32), tl.load(numbers + STEEP_X).to(tl.float32)
    steep_y = tl.load(numbers + STEEP_Y).to(tl.float32)
    # The ring is of another surface and says nothing about this one's slope: ends repeat a pixel instead.
    inner_row = (row > 0) & (row < height - 1)
    inside = ok & inner_row & (column > 0) & (column < width - 2)
    right = _inverse_at(depth, row, column + 1, height, width, border, inside)
    before = _inverse_at(depth, row, tl.maximum(column - 1, 1), height, width, border, inside)
    after = _inverse_at(depth, row, tl.minimum(column + 2, width - 2), height, width, border, inside)
    cut = inside & _apart(before, own, right, after, jump, steep_x)
    cut |= inner_row & ((column == 0) | (column == width - 2))
    inner_column = (column > 0) & (column < width - 1)
    inside = ok & inner_column & (row > 0) & (row < height - 2)
    below = _inverse_at(depth, row + 1, column, height, width, border, inside)
    before = _inverse_at(depth, tl.maximum(row - 1, 1), column, height, width, border, inside)
    after = _inverse_at(depth, tl.minimum(row + 2, height - 2), column, height, width, border, inside)
    down = inside & _apart(before, own, below, after, jump, steep_y)
    down |= inner_column & ((row == 0) | (row == height - 2))
    return tl.where(cut, RIGHT, 0) | tl.where(down, DOWN, 0)


@triton.jit(do_not_specialize=["total", "height", "width", "count"], do_not_specialize_on_alignment=["times"])
def lay_grid(
    times,  # [B] int32 source frame of each
    depth,  # [T, (H - 2) * (W - 2)] float32, edits included
    frames,  # [T, (H - 2) * (W - 2), 3] uint8
    ray_x,  # [W] float32
    ray_y,  # [H] float32
    slots,  # [2, T] int32 which of ``edits`` and of ``marks`` are a frame's, -1 for none
    edits,  # [E, (H - 2) * (W - 2), 3] float32, NaN at vertices that were not moved
    marks,  # [M, H * W] uint8 which edges flags leave, and HIDDEN
    numbers,
    inverse,  # [B, H * W] float32, written
    cuts,  # [B, H * W] uint8, written
    vertices,  # [B, V, 3] float32, written
    colors,  # [B, V] int32 of four bytes, written
    total,  # T
    height, width,  # the ring included
    count,  # V
    HAS_EDITS: tl.constexpr, HAS_MARKS: tl.constexpr, ONLY_CUTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One vertex per pixel and the ring around; with ONLY_CUTS nothing but the depth edges."""
    frame = tl.program_id(1).to(tl.int64)
    t = tl.load(times + frame).to(tl.int64)
    v = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    size, pixels = height * width, (height - 2) * (width - 2)
    ok = v < size
    row, column = v // width, v % width
    border = tl.load(numbers + BORDER).to(tl.float32)
    own = _inverse_at(depth + t * pixels, row, column, height, width, border, ok)
    cut = _edges_at(depth + t * pixels, row, column, own, height, width, border, numbers, ok)
    inner = ok & (row > 0) & (row < height - 1) & (column > 0) & (column < width - 1)
    hidden = ~inner
    if HAS_MARKS:
        slot = tl.load(slots + total + t)
        mark = tl.load(marks + slot.to(tl.int64) * size + v, mask=ok & (slot >= 0), other=RIGHT | DOWN).to(tl.int32)
        cut &= mark
        hidden |= (mark & HIDDEN) != 0
    tl.store(cuts + frame * size + v, cut.to(tl.uint8), mask=ok)
    if not ONLY_CUTS:
        tl.store(inverse + frame * size + v, own, mask=ok)
        pixel = t * pixels + (row - 1) * (width - 2) + column - 1
        z = tl.where(inner, tl.load(depth + pixel, mask=inner, other=1.0), border)
        x, y = tl.load(ray_x + column, mask=ok, other=0.0) * z, tl.load(ray_y + row, mask=ok, other=0.0) * z
        if HAS_EDITS:
            slot = tl.load(slots + t)
            moved = edits + (slot.to(tl.int64) * pixels + (row - 1) * (width - 2) + column - 1) * 3
            to_x = tl.load(moved, mask=inner & (slot >= 0), other=float("nan"))
            x = tl.where(to_x == to_x, to_x, x)
            to_y = tl.load(moved + 1, mask=inner & (slot >= 0), other=float("nan"))
            y = tl.where(to_y == to_y, to_y, y)
        at = frame * count + v
        tl.store(vertices + at * 3, x, mask=ok)
        tl.store(vertices + at * 3 + 1, y, mask=ok)
        tl.store(vertices + at * 3 + 2, z, mask=ok)
        word = tl.load(frames + pixel * 3, mask=inner, other=0).to(tl.int32)
        word |= tl.load(frames + pixel * 3 + 1, mask=inner, other=0).to(tl.int32) << 8
        word |= tl.load(frames + pixel * 3 + 2, mask=inner, other=0).to(tl.int32) << 16
        tl.store(colors + at, word | tl.where(hidden, 0, -16777216), mask=ok)  # alpha 255 is the top byte


@triton.jit
def _sides(cuts, v, width, ok):
    """Per quad with upper left vertex ``v``, which sides are cut: bit 0 top, 1 right, 2 bottom, 3 left."""
    own = tl.load(cuts + v, mask=ok, other=0).to(tl.int32)
    right = tl.load(cuts + v + 1, mask=ok, other=0).to(tl.int32)
    below = tl.load(cuts + v + width, mask=ok, other=0).to(tl.int32)
    return (own & RIGHT) | (right & DOWN) | ((below & RIGHT) << 2) | ((own & DOWN) << 2)


@triton.jit
def _bits(sides):
    return (sides & 1) + ((sides >> 1) & 1) + ((sides >> 2) & 1) + ((sides >> 3) & 1)


@triton.jit
def _may_bridge(cuts, row, column, height, width):
    """1 for vertices with a cut to their right, both inside the ring."""
    ok = (row > 0) & (row < height - 1) & (column > 0) & (column < width - 2)
    return tl.load(cuts + row * width + column, mask=ok, other=0).to(tl.int32) & RIGHT


@triton.jit(do_not_specialize=["height", "width"])
def count_rows(
    cuts,  # [B, H * W] uint8
    counts,  # [B, 3, H] int32, written: cut sides, quads with one, cuts that may need a bridge
    dropped,  # [B, (H - 1) * (W - 1)] uint8 of QUAD_* bits, written
    height, width,
    ONLY_COUNT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """What one row of quads has, and which of its quads are dropped."""
    frame, row = tl.program_id(1).to(tl.int64), tl.program_id(0)
    own = cuts + frame * height * width
    sides, quads = tl.zeros((BLOCK,), tl.int32), tl.zeros((BLOCK,), tl.int32)
    bridges = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, width, BLOCK):
        column = start + tl.arange(0, BLOCK)
        ok = (column < width - 1) & (row < height - 1)
        m = _sides(own, row * width + column, width, ok)
        sides += _bits(m)
        quads += (m != 0).to(tl.int32)
        bridges += _may_bridge(own, row, column, height, width)
        if not ONLY_COUNT:
            at = frame * (height - 1) * (width - 1) + row * (width - 1) + column
            tl.store(dropped + at, tl.where(m != 0, DROP, 0).to(tl.uint8), mask=ok)
    at = counts + frame * 3 * height + row
    tl.store(at, tl.sum(sides, 0))
    tl.store(at + height, tl.sum(quads, 0))
    tl.store(at + 2 * height, tl.sum(bridges, 0))


@triton.jit(do_not_specialize=["height", "width", "most_quads", "most_bridges"])
def list_cuts(
    cuts,  # [B, H * W] uint8
    ends,  # [B, 3, H] int32 counts summed up to and with each row
    quads,  # [B, most_quads, 2] int32, written: upper left vertex, cut sides before
    bridges,  # [B, most_bridges] int32, written: column left of the cut
    height, width, most_quads, most_bridges,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The cut quads and the cuts inside the ring, in the order of rows and columns."""
    frame, row = tl.program_id(1).to(tl.int64), tl.program_id(0)
    own, end = cuts + frame * height * width, ends + frame * 3 * height + row
    side = tl.load(end - 1, mask=row > 0, other=0)
    place = tl.load(end + height - 1, mask=row > 0, other=0)
    bridge = tl.load(end + 2 * height - 1, mask=row > 0, other=0)
    for start in range(0, width, BLOCK):
        column = start + tl.arange(0, BLOCK)
        m = _sides(own, row * width + column, width, (column < width - 1) & (row < height - 1))
        n, one = _bits(m), (m != 0).to(tl.int32)
        at = quads + (frame * most_quads + place + tl.cumsum(one, 0) - one) * 2
        tl.store(at, row * width + column, mask=m != 0)
        tl.store(at + 1, side + tl.cumsum(n, 0) - n, mask=m != 0)
        side += tl.sum(n, 0)
        place += tl.sum(one, 0)
        one = _may_bridge(own, row, column, height, width)
        tl.store(bridges + frame * most_bridges + bridge + tl.cumsum(one, 0) - one, column, mask=one != 0)
        bridge += tl.sum(one, 0)
