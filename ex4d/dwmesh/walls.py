"""Compiled loops that close a mesh along its depth edges, quad by quad.

A quad that a depth edge crosses is dropped from the grid. Each group of its connected corners keeps its share of the
quad, up to the middle between pixels, at its own depth; so in the source view every pixel keeps exactly its own
square. Along the nearer side's rim a wall runs back along the viewing ray. Neighbouring quads compute the same points
on the side they share, from the same two vertices, so nothing opens between them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ex4d.types import Float32, Float64, Int32, Int64, UInt8

SIDE_VERTICES, SIDE_FACES, QUAD_FACES = 7, 3, 4
"""Vertices and faces per cut side of a quad, and the faces that every cut quad has besides."""
RX, RY, Z, THICK = 0, 1, 2, 3
"""Columns of a quad's corners: ray, depth, thickness."""


@njit(nogil=True, cache=True, error_model="numpy")
def count_cuts(quads: UInt8, first: int, last: int, counts: Int64) -> None:  # counts [H - 1, 2]
    """Cut sides, and quads that have one, per row of quads ``first..last-1``."""
    for j in range(first, last):
        sides = 0
        cut = 0
        for i in range(quads.shape[1]):
            m = quads[j, i]
            sides += (m & 1) + (m >> 1 & 1) + (m >> 2 & 1) + (m >> 3 & 1)
            cut += m != 0
        counts[j, 0] = sides
        counts[j, 1] = cut


@njit(nogil=True, cache=True, error_model="numpy")
def _put(vertices: Float32, colors: UInt8, at: int, rx: float, ry: float, z: float, source: int, alpha: int) -> None:
    """Vertex ``at`` on the ray (rx, ry, 1) at depth ``z``, in the colour of vertex ``source``."""
    vertices[at, 0] = rx * z
    vertices[at, 1] = ry * z
    vertices[at, 2] = z
    colors[at, 0] = colors[source, 0]
    colors[at, 1] = colors[source, 1]
    colors[at, 2] = colors[source, 2]
    colors[at, 3] = alpha


@njit(nogil=True, cache=True, error_model="numpy")
def _load(at: int, width: int, vertices: Float32, thickness: Float32, index: Int64, corner: Float64) -> None:
    """The quad whose upper left vertex is ``at``: corners clockwise from there."""
    index[0], index[1], index[2], index[3] = at, at + 1, at + width + 1, at + width
    for k in range(4):
        c = index[k]
        z = np.float64(vertices[c, 2])
        corner[k, RX] = vertices[c, 0] / z
        corner[k, RY] = vertices[c, 1] / z
        corner[k, Z] = z
        corner[k, THICK] = thickness[c // width, c % width]


@njit(nogil=True, cache=True, error_model="numpy")
def _put_group(
    m: int,
    cut: int,
    rim: float,
    index: Int64,
    corner: Float64,
    middle: Float64,
    v: int,
    f: int,
    vertices: Float32,
    colors: UInt8,
    faces: Int32,
) -> int:
    """The share of the corners behind side ``cut``, up to the next cut side (perhaps this one again).

    Writes the quad's middle, the two ends, and a fan; ``middle`` [4, 2] gets the depth and thickness that the group
    has in the quad's middle. Returns the next free face.
    """
    head, n = (cut + 1) & 3, 0
    inverse, thick, alpha = 0.0, 0.0, 255
    while True:
        c = (head + n) & 3
        inverse += 1.0 / corner[c, Z]
        thick += corner[c, THICK]
        alpha = min(alpha, int(colors[index[c], 3]))
        n += 1
        if (m >> c) & 1:
            break
    tail = (head + n - 1) & 3
    after = (tail + 1) & 3
    nearer_head, nearer_tail = corner[head, Z] < corner[cut, Z], corner[tail, Z] < corner[after, Z]
    z = n / inverse * (rim if nearer_head or nearer_tail else 1.0)
    for k in range(n):
        middle[(head + k) & 3, 0] = z
        middle[(head + k) & 3, 1] = thick / n
    mx, my = corner[:, RX].sum() / 4, corner[:, RY].sum() / 4
    _put(vertices, colors, v, mx, my, z, index[head], alpha)
    for k in range(2):
        own, other, nearer = (head, cut, nearer_head) if k == 0 else (tail, after, nearer_tail)
        rx, ry = 0.5 * (corner[own, RX] + corner[other, RX]), 0.5 * (corner[own, RY] + corner[other, RY])
        end = corner[own, Z] * (rim if nearer else 1.0)
        _put(vertices, colors, v + 1 + k, rx, ry, end, index[own], colors[index[own], 3])
    previous = v + 1
    for k in range(n + 1):
        c = index[(head + k) & 3] if k < n else v + 2
        faces[f, 0], faces[f, 1], faces[f, 2] = v, previous, c
        f += 1
        previous = c
    return f


@njit(nogil=True, cache=True, error_model="numpy")
def _put_wall(
    cut: int,
    rim: float,
    index: Int64,
    corner: Float64,
    middle: Float64,
    v: int,
    f: int,
    vertices: Float32,
    colors: UInt8,
    faces: Int32,
) -> None:
    """The wall of side ``cut``, from the middle of the side to the middle of the quad, behind its nearer corner."""
    other = (cut + 1) & 3
    near = cut if corner[cut, Z] < corner[other, Z] else other
    rx, ry = 0.5 * (corner[cut, RX] + corner[other, RX]), 0.5 * (corner[cut, RY] + corner[other, RY])
    mx, my = corner[:, RX].sum() / 4, corner[:, RY].sum() / 4
    front = corner[near, Z] * rim
    _put(vertices, colors, v, rx, ry, front, index[near], 0)
    _put(vertices, colors, v + 1, rx, ry, front + corner[near, THICK], index[near], 0)
    _put(vertices, colors, v + 2, mx, my, middle[near, 0], index[near], 0)
    _put(vertices, colors, v + 3, mx, my, middle[near, 0] + middle[near, 1], index[near], 0)
    faces[f, 0], faces[f, 1], faces[f, 2] = v, v + 1, v + 2
    faces[f + 1, 0], faces[f + 1, 1], faces[f + 1, 2] = v + 2, v + 1, v + 3


@njit(nogil=True, cache=True, error_model="numpy")
def build_pieces(
    quads: UInt8,  # [H - 1, W - 1] from quad_cuts
    thickness: Float32,  # [H, W]
    rim: float,  # factor on the depth of the middle between a nearer and a farther pixel: surfaces turn away there
    first: int,
    last: int,
    vertex_at: Int64,  # [H - 1] where each row's vertices start
    face_at: Int64,  # [H - 1]
    vertices: Float32,  # [V, 3] grid vertices first; pieces are written behind them
    colors: UInt8,  # [V, 4]
    faces: Int32,  # [F, 3]
) -> None:
    """Write the pieces and walls of quad rows ``first..last-1``."""
    width = quads.shape[1] + 1
    index, corner, middle = np.empty(4, np.int64), np.empty((4, 4)), np.empty((4, 2))
    for j in range(first, last):
        v, f = vertex_at[j], face_at[j]
        for i in range(width - 1):
            m = quads[j, i]
            if m == 0:
                continue
            _load(j * width + i, width, vertices, thickness, index, corner)
            for cut in range(4):
                if (m >> cut) & 1:
                    f = _put_group(m, cut, rim, index, corner, middle, v, f, vertices, colors, faces)
                    v += 3
            for cut in range(4):
                if (m >> cut) & 1:
                    _put_wall(cut, rim, index, corner, middle, v, f, vertices, colors, faces)
                    v += 4
                    f += 2
