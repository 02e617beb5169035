"""Triton kernel that closes a solid mesh along its depth edges: one lane per cut quad (``ex4d/dwmesh/walls.py``).

All a quad needs stays in registers: its corners k = 0..3 clockwise from the upper left, its sides k from corner k to
the next, and per side how far the surfaces at its two ends reach. A loop over a quad's corners is written out, with
masks for where a quad's own loop would have ended.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ex4d.dwmesh import walls
from ex4d.dwmesh.gpu.solid_kernels import BORDER, DOWN, RIGHT, _sides

SIDE_VERTICES, SIDE_FACES = tl.constexpr(walls.SIDE_VERTICES), tl.constexpr(walls.SIDE_FACES)
QUAD_FACES = tl.constexpr(walls.QUAD_FACES)
CAPS = tl.constexpr(2)
# Places in ``numbers`` behind those of solid_kernels.py.
RIM, LEAST_END, HALF = tl.constexpr(17), tl.constexpr(18), tl.constexpr(19)
ROUND_FROM, ROUND_TO, ROUND_START = tl.constexpr(20), tl.constexpr(21), tl.constexpr(22)
ROUND_GAIN, GAIN_FROM, GAIN_TO = tl.constexpr(23), tl.constexpr(24), tl.constexpr(25)


@triton.jit(do_not_specialize=["size", "count", "num_faces", "width"])
def blank_rest(
    numbers,
    vertices,  # [B, V, 3] float32, written behind the grid
    colors,  # [B, V] int32, written behind the grid
    faces,  # [B, N, 3] int32, written
    size,  # vertices of the grid
    count, num_faces,  # V, N
    width,  # of the grid
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The two caps, and nothing else: faces without area, and hidden vertices at the border."""
    frame = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    rest = n < count - size
    at = frame * count + size + n
    tl.store(vertices + at * 3, tl.zeros((BLOCK,), tl.float32), mask=rest)
    tl.store(vertices + at * 3 + 1, tl.zeros((BLOCK,), tl.float32), mask=rest)
    border = tl.load(numbers + BORDER).to(tl.float32)
    tl.store(vertices + at * 3 + 2, tl.zeros((BLOCK,), tl.float32) + border, mask=rest)
    tl.store(colors + at, tl.zeros((BLOCK,), tl.int32), mask=rest)
    at = faces + (frame * num_faces + n) * 3
    ok = n < num_faces
    last = size - 1
    tl.store(at, tl.where(n == 0, width - 1, tl.where(n == 1, last, 0)), mask=ok)
    tl.store(at + 1, tl.zeros((BLOCK,), tl.int32), mask=ok)
    tl.store(at + 2, tl.where(n == 0, last, tl.where(n == 1, size - width, 0)), mask=ok)


@triton.jit
def _joined(cuts, own, step, BIT: tl.constexpr, height, width, ok):
    """Whether vertex ``own`` and the next one, ``step`` away, are on one surface inside the ring."""
    to = own + step
    row, column = to // width, to % width
    inside = ok & (row > 0) & (column > 0) & (row < height - 1) & (column < width - 1)
    cut = tl.load(cuts + tl.minimum(own, to), mask=inside, other=RIGHT | DOWN).to(tl.int32)
    return inside & ((cut & BIT) == 0)


@triton.jit
def _end(cuts, vertices, own, step, BIT: tl.constexpr, z, w, beyond, far, height, width, numbers, ok):
    """Depth that the surface at vertex ``own`` has reached half way to the next one, across a cut.

    ``z``, ``w`` = 1 / z are its own, ``beyond`` and ``far`` the other's; ``step`` leads away from the other.
    """
    row, column = own // width, own % width
    ring = (row == 0) | (column == 0) | (row == height - 1) | (column == width - 1)
    joined = _joined(cuts, own, step, BIT, height, width, ok & ~ring)
    inner = 1.0 / tl.load(vertices + (own + step) * 3 + 2, mask=joined, other=1.0).to(tl.float64)
    slope = tl.where(joined, w - inner, 0.0)
    nearer = z < beyond
    bends = _joined(cuts, own + step, step, BIT, height, width, joined & nearer & (slope < 0))
    innermost = 1.0 / tl.load(vertices + (own + 2 * step) * 3 + 2, mask=bends, other=1.0).to(tl.float64)
    share = (inner - innermost) / tl.where(bends, slope, 1.0)
    bends &= (tl.load(numbers + ROUND_FROM) < share) & (share < tl.load(numbers + ROUND_TO))
    gain = tl.load(numbers + ROUND_GAIN) * (share - tl.load(numbers + ROUND_START))
    gain = tl.minimum(tl.maximum(gain, tl.load(numbers + GAIN_FROM)), tl.load(numbers + GAIN_TO))
    reached = w + tl.where(bends, gain, tl.load(numbers + HALF)) * slope
    rim, least = tl.load(numbers + RIM), tl.load(numbers + LEAST_END)
    turned = tl.maximum(tl.where(slope < 0, tl.minimum(reached, w / rim), reached / rim), far)
    end = tl.where(nearer, turned, tl.minimum(reached, far))
    end = 1.0 / tl.minimum(tl.maximum(end, least * w), w / least)
    return tl.where(ring, z, end)


@triton.jit
def _corner(vertices, thickness, colors, v, ok):
    """Ray, depth, thickness (of which the place is given) and colour of a quad's corner."""
    z = tl.load(vertices + v * 3 + 2, mask=ok, other=1.0).to(tl.float64)
    x = tl.load(vertices + v * 3, mask=ok, other=0.0).to(tl.float64) / z
    y = tl.load(vertices + v * 3 + 1, mask=ok, other=0.0).to(tl.float64) / z
    thick = tl.load(thickness, mask=ok, other=0.0).to(tl.float64)
    return x, y, z, 1.0 / z, thick, tl.load(colors + v, mask=ok, other=0)


@triton.jit
def _put(vertices, colors, v, x, y, z, word, alpha, ok):
    """Vertex ``v`` on the ray (x, y, 1) at depth ``z``, in the colour of ``word``."""
    tl.store(vertices + v * 3, (x * z).to(tl.float32), mask=ok)
    tl.store(vertices + v * 3 + 1, (y * z).to(tl.float32), mask=ok)
    tl.store(vertices + v * 3 + 2, z.to(tl.float32), mask=ok)
    tl.store(colors + v, (word & 0xFFFFFF) | (alpha << 24), mask=ok)


@triton.jit
def _face(faces, f, a, b, c, ok):
    tl.store(faces + f * 3, a, mask=ok)
    tl.store(faces + f * 3 + 1, b, mask=ok)
    tl.store(faces + f * 3 + 2, c, mask=ok)


@triton.jit
def _put_group(
    vertices, colors, faces, v, f, on, mx, my, end,
    i0, w0, z0, t0, c0, m0, e0, x0, y0,  # corner: index, 1 / z, z, thickness, colour; its side: cut, end, middle
    i1, w1, z1, t1, c1, m1, e1, x1, y1,
    i2, w2, z2, t2, c2, m2, e2, x2, y2,
    i3, w3, z3, t3, c3, e3, x3, y3,
):  # fmt: skip
    """The share of the corners behind a cut side, up to the next cut side: the quad's middle, two ends, and a fan.

    Corner 0 is the side's second one and reaches to ``end``; corner 3 is its first, and its side the cut one. Returns
    the depth and thickness that the group has in the quad's middle, and which of corners 1 to 3 are in it.
    """
    in1 = on & ~m0
    in2 = in1 & ~m1
    in3 = in2 & ~m2
    a0, a1, a2, a3 = (c0 >> 24) & 255, (c1 >> 24) & 255, (c2 >> 24) & 255, (c3 >> 24) & 255
    n = (1 + in1.to(tl.int32) + in2.to(tl.int32) + in3.to(tl.int32)).to(tl.float64)
    inverse = w0 + tl.where(in1, w1, 0.0) + tl.where(in2, w2, 0.0) + tl.where(in3, w3, 0.0)
    thick = t0 + tl.where(in1, t1, 0.0) + tl.where(in2, t2, 0.0) + tl.where(in3, t3, 0.0)
    alpha = tl.minimum(tl.where(in1, tl.minimum(a0, a1), a0), tl.where(in3, tl.minimum(a2, a3), 255))
    alpha = tl.where(in2, tl.minimum(alpha, a2), alpha)
    tail = tl.where(in3, e3, tl.where(in2, e2, tl.where(in1, e1, e0)))
    tail_z = tl.where(in3, z3, tl.where(in2, z2, tl.where(in1, z1, z0)))
    tail_c = tl.where(in3, c3, tl.where(in2, c2, tl.where(in1, c1, c0)))
    tail_x = tl.where(in3, x3, tl.where(in2, x2, tl.where(in1, x1, x0)))
    tail_y = tl.where(in3, y3, tl.where(in2, y2, tl.where(in1, y1, y0)))
    turn, turn_tail = end / z0, tail / tail_z
    z = n / inverse * tl.where(in1, 0.5 * (turn + turn_tail), tl.maximum(turn, turn_tail))
    _put(vertices, colors, v, mx, my, z, c0, alpha, on)
    _put(vertices, colors, v + 1, x3, y3, end, c0, a0, on)
    _put(vertices, colors, v + 2, tail_x, tail_y, tail, tail_c, (tail_c >> 24) & 255, on)
    _face(faces, f, v, v + 1, i0, on)
    _face(faces, f + 1, v, i0, tl.where(in1, i1, v + 2), on)
    _face(faces, f + 2, v, i1, tl.where(in2, i2, v + 2), in1)
    _face(faces, f + 3, v, i2, tl.where(in3, i3, v + 2), in2)
    _face(faces, f + 4, v, i3, v + 2, in3)
    return z, thick / n, in1, in2, in3


@triton.jit
def _put_wall(vertices, colors, faces, v, f, on, mx, my, x, y, za, zb, ca, cb, ta, tb, ea, eb, ga, gb, ha, hb):
    """The wall of a side behind its nearer corner, from the side's middle to the quad's.

    Of its first and second corner: depth, colour, thickness, end, and depth and thickness in the quad's middle.
    """
    first = za < zb
    word, front = tl.where(first, ca, cb), tl.where(first, ea, eb)
    middle, thick = tl.where(first, ga, gb), tl.where(first, ha, hb)
    _put(vertices, colors, v, x, y, front, word, 0, on)
    _put(vertices, colors, v + 1, x, y, front + tl.where(first, ta, tb), word, 0, on)
    _put(vertices, colors, v + 2, mx, my, middle, word, 0, on)
    _put(vertices, colors, v + 3, mx, my, middle + thick, word, 0, on)
    _face(faces, f, v, v + 1, v + 2, on)
    _face(faces, f + 1, v + 2, v + 1, v + 3, on)


@triton.jit(do_not_specialize=["height", "width", "count", "num_faces", "most_quads"])
def build_pieces(
    cuts,  # [B, H * W] uint8
    ends,  # [B, 3, H] int32 from list_cuts
    quads,  # [B, most_quads, 2] int32 from list_cuts
    thickness,  # float32 of each vertex [B, H * W], or AT_CORNERS of each cut quad [B, most_quads, 4]
    numbers,
    vertices,  # [B, V, 3] float32, read in the grid, written behind it
    colors,  # [B, V] int32, likewise
    faces,  # [B, N, 3] int32, written
    height, width, count, num_faces, most_quads,
    AT_CORNERS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Pieces and walls of every cut quad."""
    frame = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    size = height * width
    ok = n < tl.load(ends + frame * 3 * height + 2 * height - 1)
    entry = quads + (frame * most_quads + n) * 2
    i0 = tl.load(entry, mask=ok, other=0)
    before = tl.load(entry + 1, mask=ok, other=0)
    cuts += frame * size
    vertices += frame * count * 3
    colors += frame * count
    faces += frame * num_faces * 3
    v, f = size + SIDE_VERTICES * before, CAPS + SIDE_FACES * before + QUAD_FACES * n
    i1, i2, i3 = i0 + 1, i0 + width + 1, i0 + width
    if AT_CORNERS:
        thick0 = thickness + (frame * most_quads + n) * 4
        thick1, thick2, thick3 = thick0 + 1, thick0 + 2, thick0 + 3
    else:
        thick0 = thickness + frame * size + i0
        thick1, thick2, thick3 = thick0 + 1, thick0 + width + 1, thick0 + width
    x0, y0, z0, w0, t0, c0 = _corner(vertices, thick0, colors, i0, ok)
    x1, y1, z1, w1, t1, c1 = _corner(vertices, thick1, colors, i1, ok)
    x2, y2, z2, w2, t2, c2 = _corner(vertices, thick2, colors, i2, ok)
    x3, y3, z3, w3, t3, c3 = _corner(vertices, thick3, colors, i3, ok)
    m = _sides(cuts, i0, width, ok)
    m0, m1, m2, m3 = (m & 1) != 0, (m & 2) != 0, (m & 4) != 0, (m & 8) != 0
    a0 = _end(cuts, vertices, i0, -1, RIGHT, z0, w0, z1, w1, height, width, numbers, m0)
    b0 = _end(cuts, vertices, i1, 1, RIGHT, z1, w1, z0, w0, height, width, numbers, m0)
    a1 = _end(cuts, vertices, i1, -width, DOWN, z1, w1, z2, w2, height, width, numbers, m1)
    b1 = _end(cuts, vertices, i2, width, DOWN, z2, w2, z1, w1, height, width, numbers, m1)
    a2 = _end(cuts, vertices, i2, 1, RIGHT, z2, w2, z3, w3, height, width, numbers, m2)
    b2 = _end(cuts, vertices, i3, -1, RIGHT, z3, w3, z2, w2, height, width, numbers, m2)
    a3 = _end(cuts, vertices, i3, width, DOWN, z3, w3, z0, w0, height, width, numbers, m3)
    b3 = _end(cuts, vertices, i0, -width, DOWN, z0, w0, z3, w3, height, width, numbers, m3)
    mx, my = (x0 + x1 + x2 + x3) / 4.0, (y0 + y1 + y2 + y3) / 4.0
    x0, x1, x2, x3 = 0.5 * (x0 + x1), 0.5 * (x1 + x2), 0.5 * (x2 + x3), 0.5 * (x3 + x0)  # now the sides' middles
    y0, y1, y2, y3 = 0.5 * (y0 + y1), 0.5 * (y1 + y2), 0.5 * (y2 + y3), 0.5 * (y3 + y0)

    g0, h0 = tl.zeros_like(z0), tl.zeros_like(z0)  # depth and thickness of each corner's group in the middle
    g1, g2, g3, h1, h2, h3 = g0, g0, g0, h0, h0, h0
    for _ in tl.static_range(4):  # corners move up by one each time, and are back in place at the end
        z, thick, p, q, r = _put_group(
            vertices, colors, faces, v, f, m0, mx, my, b0, i1, w1, z1, t1, c1, m1, a1, x1, y1,
            i2, w2, z2, t2, c2, m2, a2, x2, y2, i3, w3, z3, t3, c3, m3, a3, x3, y3, i0, w0, z0, t0, c0, a0, x0, y0,
        )  # fmt: skip
        g1, g2, g3, g0 = tl.where(m0, z, g1), tl.where(p, z, g2), tl.where(q, z, g3), tl.where(r, z, g0)
        h1, h2, h3, h0 = tl.where(m0, thick, h1), tl.where(p, thick, h2), tl.where(q, thick, h3), tl.where(r, thick, h0)
        v += 3 * m0.to(tl.int32)
        f += 2 * m0.to(tl.int32) + p.to(tl.int32) + q.to(tl.int32) + r.to(tl.int32)
        i0, i1, i2, i3, w0, w1, w2, w3 = i1, i2, i3, i0, w1, w2, w3, w0
        z0, z1, z2, z3, t0, t1, t2, t3 = z1, z2, z3, z0, t1, t2, t3, t0
        c0, c1, c2, c3, m0, m1, m2, m3 = c1, c2, c3, c0, m1, m2, m3, m0
        a0, a1, a2, a3, b0, b1, b2, b3 = a1, a2, a3, a0, b1, b2, b3, b0
        x0, x1, x2, x3, y0, y1, y2, y3 = x1, x2, x3, x0, y1, y2, y3, y0
        g0, g1, g2, g3, h0, h1, h2, h3 = g1, g2, g3, g0, h1, h2, h3, h0

    _put_wall(vertices, colors, faces, v, f, m0, mx, my, x0, y0, z0, z1, c0, c1, t0, t1, a0, b0, g0, g1, h0, h1)
    v, f = v + 4 * m0.to(tl.int32), f + 2 * m0.to(tl.int32)
    _put_wall(vertices, colors, faces, v, f, m1, mx, my, x1, y1, z1, z2, c1, c2, t1, t2, a1, b1, g1, g2, h1, h2)
    v, f = v + 4 * m1.to(tl.int32), f + 2 * m1.to(tl.int32)
    _put_wall(vertices, colors, faces, v, f, m2, mx, my, x2, y2, z2, z3, c2, c3, t2, t3, a2, b2, g2, g3, h2, h3)
    v, f = v + 4 * m2.to(tl.int32), f + 2 * m2.to(tl.int32)
    _put_wall(vertices, colors, faces, v, f, m3, mx, my, x3, y3, z3, z0, c3, c0, t3, t0, a3, b3, g3, g0, h3, h0)
