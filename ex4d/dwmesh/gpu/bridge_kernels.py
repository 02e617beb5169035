"""Triton kernel that continues under nearer objects what is seen beside them (``ex4d/dwmesh/bridges.py``).

One warp per row. It goes from cut to cut, as the CPU does, with the open brackets on a stack in memory; what the CPU
looks up column by column (how far a run goes, how far it stays covered) it looks up for many columns at once.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ex4d.dwmesh import bridges
from ex4d.dwmesh.gpu.piece_kernels import CAPS, QUAD_FACES, SIDE_FACES, SIDE_VERTICES
from ex4d.dwmesh.gpu.solid_kernels import DOWN, PITCH_X, PITCH_Y, RIGHT, X_ORIGIN, Y_ORIGIN

STRIP_VERTICES, STRIP_FACES = tl.constexpr(bridges.STRIP_VERTICES), tl.constexpr(bridges.STRIP_FACES)
MAX_RUN = tl.constexpr(bridges.MAX_RUN)
SAME, CLEARANCE = tl.constexpr(26), tl.constexpr(27)  # places in ``numbers`` behind those of piece_kernels.py
FAR_OFF = tl.constexpr(0x7FFFFFFF)


@triton.jit
def _slope(row, cuts, i, side: tl.constexpr, width):
    """Step of inverse depth per column towards ``side``, just inside an end at ``i``; 0 at a lone pixel."""
    k = i - side
    inside = (k >= 1) & (k <= width - 2)
    cut = tl.load(cuts + tl.minimum(i, k), mask=inside, other=RIGHT).to(tl.int32)
    inner = tl.load(row + k, mask=inside, other=1.0).to(tl.float64)
    return tl.where((cut & RIGHT) != 0, 0.0, tl.load(row + i).to(tl.float64) - inner)


@triton.jit
def _meet(row, cuts, p, q, numbers, width):
    """Whether columns ``p`` and ``q`` show one surface: at one depth, or each on the other's continuation."""
    at_p, at_q = tl.load(row + p), tl.load(row + q)
    gap = (q - p).to(tl.float64)
    right = at_p.to(tl.float64) + _slope(row, cuts, p, 1, width) * gap
    left = at_q.to(tl.float64) + _slope(row, cuts, q, -1, width) * gap
    miss = tl.minimum(tl.abs(right - at_q.to(tl.float64)), tl.abs(left - at_p.to(tl.float64)))
    miss = tl.minimum(tl.abs(at_p - at_q).to(tl.float64), miss)
    return miss <= tl.load(numbers + SAME) * tl.maximum(at_p, at_q).to(tl.float64)


@triton.jit
def _run(cuts, i, side: tl.constexpr, width, BLOCK: tl.constexpr):
    """Pixels of the unbroken run that ends at ``i`` towards ``side``, MAX_RUN at most."""
    n = tl.arange(0, BLOCK)
    k = i - side * n
    inside = (k >= 1) & (k <= width - 2)
    cut = tl.load(cuts + tl.minimum(k, k + side), mask=inside & (n >= 1), other=RIGHT).to(tl.int32)
    return tl.min(tl.where((n >= 1) & (n < MAX_RUN) & ((cut & RIGHT) != 0), n, MAX_RUN), 0)


@triton.jit
def _covered(row, cuts, i, side: tl.constexpr, most, step, numbers, width, BLOCK: tl.constexpr):
    """Over how many columns from ``i`` towards ``side`` a surface stays under nearer ones; ``step`` is its slope."""
    own, clearance = tl.load(row + i).to(tl.float64), tl.load(numbers + CLEARANCE)
    start, found = most * 0, most * 0 + FAR_OFF
    while (start < most) & (found == FAR_OFF):
        n = start + tl.arange(0, BLOCK)
        k = i + side * (n + 1)
        inside = (n < most) & (k >= 1) & (k <= width - 2)
        here = tl.load(row + k, mask=inside, other=1.0)
        above, below = (
            tl.load(row + k - width, mask=inside, other=1.0),
            tl.load(row + k + width, mask=inside, other=1.0),
        )
        cut_above = tl.load(cuts + k - width, mask=inside, other=0).to(tl.int32)
        cut_below = tl.load(cuts + k, mask=inside, other=0).to(tl.int32)
        # The least within the pixel's height, half way to connected pixels above and below.
        least = tl.where((cut_above & DOWN) != 0, here, tl.minimum(here, (here + above) * 0.5))
        least = tl.where((cut_below & DOWN) != 0, least, tl.minimum(least, (here + below) * 0.5))
        open_sky = least.to(tl.float64) <= clearance * (own + step * (n + 1).to(tl.float64))
        found = tl.min(tl.where((n < most) & (open_sky | ~inside), n, FAR_OFF), 0)
        start += BLOCK
    stopped = found < FAR_OFF
    n = tl.minimum(found, most)
    k = i + side * (n + 1)
    inside = stopped & (n > 0) & (k >= 1) & (k <= width - 2)
    cut = tl.load(cuts + tl.minimum(k, k - side), mask=inside, other=RIGHT).to(tl.int32)
    # The last pixel may slope down to this one: its outer half is not sure to cover.
    return n - (inside & ((cut & RIGHT) == 0)).to(tl.int32)


@triton.jit
def _strip(j, x0, w0, x1, w1, numbers, v, f, vertices, faces):
    """One pixel high between columns ``x0`` and ``x1`` (halves lie between pixels), inverse depths ``w0``, ``w1``."""
    k = tl.arange(0, 4)
    right = (k & 1) != 0
    x, z = tl.where(right, x1, x0), 1.0 / tl.where(right, w1, w0).to(tl.float64)
    y = j.to(tl.float64) - 0.5 + (k >> 1).to(tl.float64)
    y = tl.load(numbers + Y_ORIGIN) + y * tl.load(numbers + PITCH_Y)
    x = tl.load(numbers + X_ORIGIN) + x * tl.load(numbers + PITCH_X)
    tl.store(vertices + (v + k) * 3, (x * z).to(tl.float32))
    tl.store(vertices + (v + k) * 3 + 1, (y * z).to(tl.float32))
    tl.store(vertices + (v + k) * 3 + 2, z.to(tl.float32))
    n = tl.arange(0, 8)  # of the faces (2, 0, 1) and (2, 1, 3)
    corner = tl.where((n == 0) | (n == 3), 2, tl.where(n == 1, 0, tl.where(n == 5, 3, 1)))
    tl.store(faces + f * 3 + n, v + corner, mask=n < 3 * STRIP_FACES)


@triton.jit(do_not_specialize=["height", "width", "count", "num_faces", "most_bridges"])
def bridge_rows(
    inverse,  # [B, H * W] float32
    cuts,  # [B, H * W] uint8
    ends,  # [B, 3, H] int32 from list_cuts
    columns,  # [B, most_bridges] int32 from list_cuts
    waiting,  # [B, most_bridges] int32, room for the stacks
    numbers,
    vertices,  # [B, V, 3] float32, written
    faces,  # [B, N, 3] int32, written
    height, width, count, num_faces, most_bridges,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The strips of one row; like brackets, what goes in first comes out last."""
    frame, j = tl.program_id(1).to(tl.int64), tl.program_id(0) + 1
    end = ends + frame * 3 * height
    first = tl.load(end + 2 * height + j - 1)
    found = tl.load(end + 2 * height + j) - first
    side_total, quad_total = tl.load(end + height - 1), tl.load(end + 2 * height - 1)
    row, cut = inverse + (frame * height + j) * width, cuts + (frame * height + j) * width
    columns += frame * most_bridges + first
    waiting += frame * most_bridges + first
    vertices += frame * count * 3
    faces += frame * num_faces * 3
    v = height * width + SIDE_VERTICES * side_total + STRIP_VERTICES * first
    f = CAPS + SIDE_FACES * side_total + QUAD_FACES * quad_total + STRIP_FACES * first
    depth = found * 0
    for item in range(found):
        i = tl.load(columns + item)
        q = i + 1
        own, other = tl.load(row + i), tl.load(row + q)
        if other > own:
            tl.store(waiting + depth, i)
            tl.debug_barrier()  # all lanes read it
            depth += 1
        else:
            joined = found * 0
            going = (depth > 0).to(tl.int32)
            while going != 0:
                p = tl.load(waiting + depth - 1)
                at_p = tl.load(row + p)
                met = _meet(row, cut, p, q, numbers, width)
                joined = met.to(tl.int32)
                popped = met | (other <= at_p)
                if popped:
                    depth -= 1
                    gap = q - p - 1
                    most = tl.where(met, gap, tl.minimum(gap, _run(cut, p, 1, width, BLOCK)))
                    step = tl.where(met, (other - at_p).to(tl.float64) / (q - p).to(tl.float64), 0.0)
                    n = _covered(row, cut, p, 1, most, step, numbers, width, BLOCK)
                    edge = p.to(tl.float64) + 0.5
                    reach = tl.where(met, q.to(tl.float64) - 0.5, edge + n.to(tl.float64))
                    if tl.where(met, n == gap, n > 0):
                        _strip(j, edge, at_p, reach, tl.where(met, other, at_p), numbers, v, f, vertices, faces)
                        v += STRIP_VERTICES
                        f += STRIP_FACES
                going = (popped & (depth > 0) & (joined == 0)).to(tl.int32)
            if joined == 0:  # a surface that comes out and was not seen going in
                none = tl.load(numbers + SAME) * 0.0
                n = _covered(row, cut, q, -1, _run(cut, q, -1, width, BLOCK), none, numbers, width, BLOCK)
                edge = q.to(tl.float64) - 0.5
                _strip(j, edge - n.to(tl.float64), other, edge, other, numbers, v, f, vertices, faces)
                v += STRIP_VERTICES
                f += STRIP_FACES
    while depth > 0:
        depth -= 1
        p = tl.load(waiting + depth)
        at_p = tl.load(row + p)
        none = tl.load(numbers + SAME) * 0.0
        n = _covered(row, cut, p, 1, _run(cut, p, 1, width, BLOCK), none, numbers, width, BLOCK)
        edge = p.to(tl.float64) + 0.5
        _strip(j, edge, at_p, edge + n.to(tl.float64), at_p, numbers, v, f, vertices, faces)
        v += STRIP_VERTICES
        f += STRIP_FACES
