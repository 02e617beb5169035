"""Compiled loops that find depth edges: where neighbouring pixels belong to different surfaces.

A plane seen in perspective is linear in inverse depth over the picture, however grazing. So two neighbours are on one
surface if either side, continued by its own step, meets the other; they are apart if neither does, or if the surface
between them would be steeper than the mesh's angle limit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ex4d.types import Float32, UInt8

CUT_RIGHT, CUT_DOWN = 1, 2
"""Bits of ``cuts``: no connection with the pixel to the right, or below."""


@njit(nogil=True, cache=True, error_model="numpy")
def inverse_rows(vertices: Float32, width: int, first: int, last: int, inverse: Float32) -> None:  # [H, W]
    """1 / z of the vertices of rows ``first..last-1``."""
    for j in range(first, last):
        for i in range(width):
            inverse[j, i] = np.float32(1.0) / vertices[j * width + i, 2]


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _apart(before, p, q, after, jump, steep):
    near = max(p, q)
    step = abs(p - q)
    if step <= jump * near:
        return False
    if step > steep * near:
        return True
    return min(abs(p + p - before - q), abs(q + q - after - p)) > jump * near


@njit(nogil=True, cache=True, error_model="numpy")
def cut_rows(
    inverse: Float32,  # [H, W]
    jump: float,  # share of the nearer inverse depth that neither side's continuation may miss
    steep_x: float,  # share of it that one step right may have at all
    steep_y: float,
    first: int,
    last: int,
    cuts: UInt8,  # [H, W] written for rows first..last-1
) -> None:
    """Mark the depth edges to the right of and below each pixel; the outermost ring is cut from the rest."""
    height, width = inverse.shape
    jump, steep_x, steep_y = np.float32(jump), np.float32(steep_x), np.float32(steep_y)
    for j in range(first, last):
        row, out = inverse[j], cuts[j]
        out[:] = 0
        if 0 < j < height - 1:
            for i in range(1, width - 2):
                # The ring is of another surface and says nothing about this one's slope.
                before = row[i - 1] if i > 1 else row[i]
                after = row[i + 2] if i < width - 3 else row[i + 1]
                out[i] = CUT_RIGHT if _apart(before, row[i], row[i + 1], after, jump, steep_x) else 0
            out[0] = CUT_RIGHT
            out[width - 2] = CUT_RIGHT
        if j == 0 or j == height - 2:
            for i in range(1, width - 1):
                out[i] |= CUT_DOWN
        elif j < height - 2:
            above = inverse[j - 1] if j > 1 else row
            below = inverse[j + 1]
            next_below = inverse[j + 2] if j < height - 3 else below
            for i in range(1, width - 1):
                if _apart(above[i], row[i], below[i], next_below[i], jump, steep_y):
                    out[i] |= CUT_DOWN


@njit(nogil=True, cache=True, error_model="numpy")
def quad_cuts(cuts: UInt8, first: int, last: int, quads: UInt8) -> None:
    """Per quad, which of its sides are cut: bit 0 top, 1 right, 2 bottom, 3 left. ``quads`` is [H - 1, W - 1]."""
    width = cuts.shape[1]
    for j in range(first, last):
        upper, lower, out = cuts[j], cuts[j + 1], quads[j]
        for i in range(width - 1):
            out[i] = (
                (upper[i] & CUT_RIGHT)
                | (upper[i + 1] & CUT_DOWN)
                | ((lower[i] & CUT_RIGHT) << 2)
                | ((upper[i] & CUT_DOWN) << 2)
            )


@njit(nogil=True, cache=True, error_model="numpy")
def row_extents(inverse: Float32, cuts: UInt8, pitch: float, first: int, last: int, extent: Float32) -> None:
    """Width of the unbroken run of pixels through each pixel along its row, in the depth's unit at its depth."""
    width = inverse.shape[1]
    pitch = np.float32(pitch)
    for j in range(first, last):
        start = 0
        for i in range(width):
            if i == width - 1 or cuts[j, i] & CUT_RIGHT:
                run = np.float32(i + 1 - start) * pitch
                for k in range(start, i + 1):
                    extent[j, k] = run / inverse[j, k]
                start = i + 1


@njit(nogil=True, cache=True, error_model="numpy")
def column_extents(inverse: Float32, cuts: UInt8, pitch: float, first: int, last: int, extent: Float32) -> None:
    """Lower ``extent`` of columns ``first..last-1`` to the length of the unbroken run along the column."""
    height = inverse.shape[0]
    pitch = np.float32(pitch)
    start = np.zeros(last - first, np.int32)
    for j in range(height):
        for i in range(first, last):
            if j == height - 1 or cuts[j, i] & CUT_DOWN:
                run = np.float32(j + 1 - start[i - first]) * pitch
                for k in range(start[i - first], j + 1):
                    extent[k, i] = min(extent[k, i], run / inverse[k, i])
                start[i - first] = j + 1
