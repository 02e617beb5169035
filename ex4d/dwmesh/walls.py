"""Compiled loops that close a mesh along its depth edges, quad by quad.

A quad that a depth edge crosses is dropped from the grid. Each group of its connected corners keeps its share of the
quad, up to the middle between pixels, at its own depth; so in the source view every pixel keeps exactly its own
square. Along the nearer side's rim a wall runs back along the viewing ray. Neighbouring quads compute the same points
on the side they share, from the same two vertices, so nothing opens between them.
"""

from typing import Any, NamedTuple

import numpy as np

from ex4d.compiled.kernel import borrowing, inlined, kernel
from ex4d.dwmesh.edges import CUT_DOWN, CUT_RIGHT, SKIP, any_bits
from ex4d_ground.arrays import Float32, Float64, Int32, Int64, UInt8

SIDE_VERTICES, SIDE_FACES, QUAD_FACES = 7, 3, 4
"""Vertices and faces per cut side of a quad, and the faces that every cut quad has besides."""
RX, RY, Z, THICK = 0, 1, 2, 3
"""Columns of a quad's corners: ray, depth, thickness."""


class _Quad(NamedTuple):
    """A quad that an edge crosses: its corners clockwise from the upper left, and its sides from each to the next."""

    vertex: Int64  # [4] indices
    corner: Float64  # [4, 4]
    ends: Float64  # [4, 2] depths where a cut side's surfaces end, for its first and second corner
    middle: Float64  # [4, 2] depth and thickness that each corner's group has in the quad's middle


class _Out(NamedTuple):
    """Where to write."""

    vertices: Float32  # [3 * V]
    rgba: Int32  # [V]
    faces: Int32  # [F, 3]


HALF = 0.5
"""A surface goes on by half a step, to the middle between two pixels."""
ROUND, ROUND_START, ROUND_GAIN, ROUND_LIMITS = (0.2, 0.88), 0.4, 3.5, (0.21, 1.54)
"""A surface is round where each step is between these shares of the next one out. How many of its last steps are left
to its outline grows with that share: none at 0.41, where the last pixel lies on the outline, 1.4 at 0.69, for a circle
whose outline lies half a pixel further out; here 0.7 of that, since outlines are seldom circles."""
LEAST_END = 0.96
"""No end of a surface is nearer or farther than its pixel by more than this factor, whatever the slope."""


@borrowing
def count_cuts(quads: UInt8, first: int, last: int, counts: Int64) -> None:  # counts [H - 1, 2]
    """Cut sides, and quads that have one, per row of quads ``first..last-1``."""
    for j in range(first, last):
        sides = 0
        cut = 0
        row = quads[j]
        for block in range(0, len(row), SKIP):
            stop = min(block + SKIP, len(row))
            if not any_bits(row[block:stop]):
                continue
            for i in range(block, stop):
                m = row[i]
                sides += (m & 1) + (m >> 1 & 1) + (m >> 2 & 1) + (m >> 3 & 1)
                cut += m != 0
        counts[j, 0] = sides
        counts[j, 1] = cut


@inlined
def _put(vertices: Float32, rgba: Int32, at: int, rx: float, ry: float, z: float, colour: Any, alpha: Any) -> None:
    """Vertex ``at`` on the ray (rx, ry, 1) at depth ``z``, in ``colour`` with another alpha."""
    vertices[3 * at] = rx * z
    vertices[3 * at + 1] = ry * z
    vertices[3 * at + 2] = z
    rgba[at] = np.int32((colour & 0xFFFFFF) | (alpha << 24))


@inlined
def _joined(j: int, i: int, down: int, right: int, cuts: UInt8) -> bool:
    """Whether pixel (j, i) and the next one, ``down`` and ``right`` of it, are on one surface."""
    row, column = j + down, i + right
    if row <= 0 or column <= 0 or row >= cuts.shape[0] - 1 or column >= cuts.shape[1] - 1:
        return False
    return not cuts[min(j, row), min(i, column)] & (CUT_RIGHT if down == 0 else CUT_DOWN)


@inlined
def _end(j: int, i: int, down: int, right: int, cuts: UInt8, vertices: Float32, rim: float) -> float:
    """Depth that the surface at pixel (j, i) has reached half way to its neighbour across a cut.

    The neighbour lies opposite to (``down``, ``right``). The surface goes on along its own slope in inverse depth.
    Where a nearer surface turns away faster and faster, as round things do towards their outline, it goes as far as a
    circle with the same last two steps would.
    """
    height, width = cuts.shape
    own, step = 3 * (j * width + i) + 2, 3 * (down * width + right)
    z, beyond = np.float64(vertices[own]), np.float64(vertices[own - step])
    if j == 0 or i == 0 or j == height - 1 or i == width - 1:
        return float(z)  # the ring stays at the border
    w, far = 1.0 / z, 1.0 / beyond
    slope, gain = 0.0, HALF
    if _joined(j, i, down, right, cuts):
        inner = 1.0 / np.float64(vertices[own + step])
        slope = w - inner
        if z < beyond and slope < 0 and _joined(j + down, i + right, down, right, cuts):
            share = (inner - 1.0 / np.float64(vertices[own + 2 * step])) / slope
            if ROUND[0] < share < ROUND[1]:
                gain = min(max(ROUND_GAIN * (share - ROUND_START), ROUND_LIMITS[0]), ROUND_LIMITS[1])
    if z < beyond:
        end = max(min(w + gain * slope, w / rim) if slope < 0 else (w + gain * slope) / rim, far)
    else:
        end = min(w + gain * slope, far)
    return float(1.0 / min(max(end, LEAST_END * w), w / LEAST_END))


@borrowing
def _row_ends(j: int, bit: int, cuts: UInt8, vertices: Float32, rim: float, ends: Float64) -> None:
    """Where the surfaces end at cuts to the right of (``bit`` CUT_RIGHT) or below (CUT_DOWN) the pixels of row ``j``.

    ``ends`` [W, 2]: depth for the pixel itself, and for its neighbour across the cut.
    """
    down, right = (0, 1) if bit == CUT_RIGHT else (1, 0)
    row = cuts[j]
    for block in range(0, len(row), SKIP):
        stop = min(block + SKIP, len(row))
        if not any_bits(row[block:stop]) & bit:
            continue
        for i in range(block, stop):
            if not row[i] & bit:
                continue
            ends[i, 0] = _end(j, i, -down, -right, cuts, vertices, rim)
            ends[i, 1] = _end(j + down, i + right, down, right, cuts, vertices, rim)


@inlined
def _load(j: int, i: int, found: tuple[Float64, ...], vertices: Float32, thickness: Float32, quad: _Quad) -> None:
    """The quad whose upper left pixel is (j, i).

    ``found``: ends [W, 2] at cuts to the right, in row j and in row j + 1, and at cuts between the rows.
    """
    (index, corner, ends, _), (upper, lower, across), width = quad, found, thickness.shape[1]
    for k in range(4):
        row, column = j + (k >> 1), i + ((k ^ (k >> 1)) & 1)
        c = row * width + column
        z = np.float64(vertices[3 * c + 2])
        index[k] = c
        corner[k, RX] = vertices[3 * c] / z
        corner[k, RY] = vertices[3 * c + 1] / z
        corner[k, Z] = z
        corner[k, THICK] = thickness[row, column]
    ends[0, 0], ends[0, 1] = upper[i, 0], upper[i, 1]
    ends[1, 0], ends[1, 1] = across[i + 1, 0], across[i + 1, 1]
    ends[2, 0], ends[2, 1] = lower[i, 1], lower[i, 0]
    ends[3, 0], ends[3, 1] = across[i, 1], across[i, 0]


@inlined
def _centre(corner: Float64) -> tuple[float, float]:
    """Ray through the quad's middle."""
    x = corner[0, RX] + corner[1, RX] + corner[2, RX] + corner[3, RX]
    y = corner[0, RY] + corner[1, RY] + corner[2, RY] + corner[3, RY]
    return x / 4, y / 4


@inlined
def _put_group(m: int, cut: int, quad: _Quad, v: int, f: int, out: _Out) -> int:
    """The share of the corners behind side ``cut``, up to the next cut side (perhaps this one again).

    Writes the quad's middle, the two ends, and a fan from vertex ``v`` and face ``f`` on; ``quad.middle`` gets what the
    group has there. Returns the next free face.
    """
    (index, corner, ends, middle), (vertices, rgba, faces) = quad, out
    head, n = (cut + 1) & 3, 0
    inverse, thick, alpha = 0.0, 0.0, 255
    while True:
        c = (head + n) & 3
        inverse += 1.0 / corner[c, Z]
        thick += corner[c, THICK]
        alpha = min(alpha, (rgba[index[c]] >> 24) & 255)
        n += 1
        if (m >> c) & 1:
            break
    tail = (head + n - 1) & 3
    turn_head, turn_tail = ends[cut, 1] / corner[head, Z], ends[tail, 0] / corner[tail, Z]
    z = n / inverse * (max(turn_head, turn_tail) if n == 1 else 0.5 * (turn_head + turn_tail))
    for k in range(n):
        middle[(head + k) & 3, 0] = z
        middle[(head + k) & 3, 1] = thick / n
    mx, my = _centre(corner)
    _put(vertices, rgba, v, mx, my, z, rgba[index[head]], alpha)
    for k in range(2):
        own, other = (head, cut) if k == 0 else (tail, (tail + 1) & 3)
        rx, ry = 0.5 * (corner[own, RX] + corner[other, RX]), 0.5 * (corner[own, RY] + corner[other, RY])
        end = ends[cut, 1] if k == 0 else ends[tail, 0]
        _put(vertices, rgba, v + 1 + k, rx, ry, end, rgba[index[own]], (rgba[index[own]] >> 24) & 255)
    previous = v + 1
    for k in range(n + 1):
        c = index[(head + k) & 3] if k < n else v + 2
        faces[f, 0], faces[f, 1], faces[f, 2] = v, previous, c
        f += 1
        previous = c
    return f


@inlined
def _put_wall(cut: int, quad: _Quad, v: int, f: int, out: _Out) -> None:
    """The wall of side ``cut``, from the middle of the side to the middle of the quad, behind its nearer corner."""
    (index, corner, ends, middle), (vertices, rgba, faces) = quad, out
    other = (cut + 1) & 3
    near = cut if corner[cut, Z] < corner[other, Z] else other
    rx, ry = 0.5 * (corner[cut, RX] + corner[other, RX]), 0.5 * (corner[cut, RY] + corner[other, RY])
    mx, my = _centre(corner)
    front = ends[cut, 0 if near == cut else 1]
    colour = rgba[index[near]]
    _put(vertices, rgba, v, rx, ry, front, colour, 0)
    _put(vertices, rgba, v + 1, rx, ry, front + corner[near, THICK], colour, 0)
    _put(vertices, rgba, v + 2, mx, my, middle[near, 0], colour, 0)
    _put(vertices, rgba, v + 3, mx, my, middle[near, 0] + middle[near, 1], colour, 0)
    faces[f, 0], faces[f, 1], faces[f, 2] = v, v + 1, v + 2
    faces[f + 1, 0], faces[f + 1, 1], faces[f + 1, 2] = v + 2, v + 1, v + 3


@kernel
def build_pieces(
    quads: UInt8,  # [H - 1, W - 1] from quad_cuts
    cuts: UInt8,  # [H, W]
    thickness: Float32,  # [H, W]
    rim: float,  # factor on the depth at a nearer side's rim, at least: surfaces turn away there
    first: int,
    last: int,
    vertex_at: Int64,  # [H - 1] where each row's vertices start
    face_at: Int64,  # [H - 1]
    vertices: Float32,  # [V, 3] grid vertices first; pieces are written behind them
    colors: UInt8,  # [V, 4]
    faces: Int32,  # [F, 3]
) -> None:
    """Write the pieces and walls of quad rows ``first..last-1``."""
    width = cuts.shape[1]
    quad = _Quad(np.empty(4, np.int64), np.empty((4, 4)), np.empty((4, 2)), np.empty((4, 2)))
    # A cut side belongs to two quads, so what is found at it is kept: in one row, in the next, and between them.
    upper, lower, across = np.zeros((width, 2)), np.zeros((width, 2)), np.zeros((width, 2))
    points = vertices.reshape(-1)
    out = _Out(points, colors.view(np.int32).reshape(-1), faces)
    _row_ends(first, np.int64(CUT_RIGHT), cuts, points, rim, lower)
    for j in range(first, last):
        v, f = vertex_at[j], face_at[j]
        upper, lower = lower, upper
        _row_ends(j + 1, np.int64(CUT_RIGHT), cuts, points, rim, lower)
        _row_ends(j, np.int64(CUT_DOWN), cuts, points, rim, across)
        for i in range(width - 1):
            m = quads[j, i]
            if m == 0:
                continue
            _load(j, i, (upper, lower, across), points, thickness, quad)
            for cut in range(4):
                if (m >> cut) & 1:
                    f = _put_group(m, cut, quad, v, f, out)
                    v += 3
            for cut in range(4):
                if (m >> cut) & 1:
                    _put_wall(cut, quad, v, f, out)
                    v += 4
                    f += 2
