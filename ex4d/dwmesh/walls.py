"""Compiled loops that close a mesh along its depth edges, quad by quad.

A quad that a depth edge crosses is dropped from the grid. Each of its corners (or group of connected corners) keeps
its share of the quad, up to the middle between pixels, at its own depth; so every pixel keeps exactly its own square
in the source view. Along the nearer side's rim a wall runs back along the viewing ray.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ex4d.types import Float32, Int32, UInt8

Int64 = np.ndarray

PIECE_VERTICES, PIECE_FACES = 7, 3
"""Vertices per cut side of a quad, and faces per cut side beside the four every cut quad has."""
QUAD_FACES = 4


@njit(nogil=True, cache=True, error_model="numpy")
def count_cuts(quads: UInt8, first: int, last: int, counts) -> None:  # counts [H, 2]: cut sides, cut quads
    """How many sides are cut and how many quads have one, per row of quads."""
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
def build_pieces(
    quads: UInt8,  # [H - 1, W - 1] from quad_cuts
    thickness: Float32,  # [H, W]
    skirt: Float32,  # [H, W]
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
    corner, group = np.empty(4, np.int64), np.empty(4, np.int64)
    rx, ry, z, thick, turn = np.empty(4), np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    middle, deep = np.empty(4), np.empty(4)  # depth and thickness of a corner's group
    for j in range(first, last):
        v, f = vertex_at[j], face_at[j]
        for i in range(width - 1):
            m = quads[j, i]
            if m == 0:
                continue
            corner[0] = j * width + i
            corner[1] = corner[0] + 1
            corner[2] = corner[1] + width
            corner[3] = corner[0] + width
            for k in range(4):
                c = corner[k]
                z[k] = vertices[c, 2]
                rx[k] = vertices[c, 0] / z[k]
                ry[k] = vertices[c, 1] / z[k]
                thick[k] = thickness[c // width, c % width]
                turn[k] = skirt[c // width, c % width]
            mx, my = 0.25 * (rx[0] + rx[1] + rx[2] + rx[3]), 0.25 * (ry[0] + ry[1] + ry[2] + ry[3])
            for cut in range(4):
                if not (m >> cut) & 1:
                    continue
                # The group of corners behind this cut side, up to the next cut side (perhaps this one again).
                inverse, total, alpha, bend = 0.0, 0.0, 255, 0.0
                n = 0
                while True:
                    c = (cut + 1 + n) & 3
                    inverse += 1.0 / z[c]
                    total += thick[c]
                    bend += turn[c]
                    alpha = min(alpha, int(colors[corner[c], 3]))
                    group[c] = v
                    n += 1
                    if (m >> c) & 1:
                        break
                head, tail = (cut + 1) & 3, (cut + n) & 3
                after = (tail + 1) & 3
                zc = n / inverse
                zh, zt = z[head], z[tail]
                if zh < z[cut] or zt < z[after]:
                    zc += bend / n
                if zh < z[cut]:
                    zh += turn[head]
                if zt < z[after]:
                    zt += turn[tail]
                for k in range(n):
                    middle[(cut + 1 + k) & 3] = zc
                    deep[(cut + 1 + k) & 3] = total / n
                _put(vertices, colors, v, mx, my, zc, corner[head], alpha)
                hx, hy = 0.5 * (rx[head] + rx[cut]), 0.5 * (ry[head] + ry[cut])
                tx, ty = 0.5 * (rx[tail] + rx[after]), 0.5 * (ry[tail] + ry[after])
                _put(vertices, colors, v + 1, hx, hy, zh, corner[head], colors[corner[head], 3])
                _put(vertices, colors, v + 2, tx, ty, zt, corner[tail], colors[corner[tail], 3])
                previous = v + 1
                for k in range(n):
                    c = corner[(cut + 1 + k) & 3]
                    faces[f, 0], faces[f, 1], faces[f, 2] = v, previous, c
                    f += 1
                    previous = c
                faces[f, 0], faces[f, 1], faces[f, 2] = v, previous, v + 2
                f += 1
                v += 3
            for cut in range(4):
                if not (m >> cut) & 1:
                    continue
                other = (cut + 1) & 3
                near = cut if z[cut] < z[other] else other
                x, y = 0.5 * (rx[cut] + rx[other]), 0.5 * (ry[cut] + ry[other])
                _put(vertices, colors, v, x, y, z[near] + turn[near], corner[near], 0)
                _put(vertices, colors, v + 1, x, y, z[near] + turn[near] + thick[near], corner[near], 0)
                _put(vertices, colors, v + 2, mx, my, middle[near], corner[near], 0)
                _put(vertices, colors, v + 3, mx, my, middle[near] + deep[near], corner[near], 0)
                faces[f, 0], faces[f, 1], faces[f, 2] = v, v + 1, v + 2
                faces[f + 1, 0], faces[f + 1, 1], faces[f + 1, 2] = v + 2, v + 1, v + 3
                f += 2
                v += 4
