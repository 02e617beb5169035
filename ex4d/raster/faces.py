"""Triangles given by index: the walls, pieces and bridges of solid meshes, caps, and other objects.

They come in an order that keeps neighbours together, so runs of them lie in few rows of the picture and are passed
over as a whole where those are not drawn.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ex4d.raster.clip import draw_clipped
from ex4d.raster.kernels import (
    BEHIND,
    IN_FRONT,
    Projected,
    Target,
    View,
    fill_triangle,
    first_sample,
    last_sample,
)
from ex4d.raster.small import fill_small
from ex4d.types import Int32, UInt8

RUN = 256
"""Faces in a run."""
EVERYWHERE = 2**30


def num_runs(faces: Int32) -> int:
    """Runs that ``faces`` [F, 3] make up."""
    return -(-len(faces) // RUN)


@njit(nogil=True, cache=True, error_model="numpy")
def run_rows(faces: Int32, sy: Int32, state: UInt8, first: int, last: int, rows: Int32) -> None:
    """First and last row of the picture that each of the runs ``first..last-1`` can touch, into ``rows`` [runs, 2]."""
    for k in range(first, last):
        low, high = EVERYWHERE, -EVERYWHERE
        for f in range(k * RUN, min((k + 1) * RUN, len(faces))):
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            if state[a] | state[b] | state[c] == IN_FRONT:
                low, high = min(low, sy[a], sy[b], sy[c]), max(high, sy[a], sy[b], sy[c])
            elif state[a] & state[b] & state[c] != BEHIND:
                low, high = -EVERYWHERE, EVERYWHERE
        rows[k, 0], rows[k, 1] = first_sample(low), last_sample(high)


@njit(nogil=True, cache=True, error_model="numpy")
def draw_faces(
    faces: Int32,  # [F, 3]
    rows: Int32,  # [runs, 2] from run_rows
    points: Projected,
    view: View,
    target: Target,
) -> None:
    """Draw triangles given by index."""
    # Unpacked once: unpacking counts references, which costs more than drawing a triangle.
    sx, sy, inv_z, colors, state = points.sx, points.sy, points.inv_z, points.colors, view.state
    nearest, colour, mask, limits = target.nearest, target.colour, target.mask, target.limits
    first, last, one_sided = target.first, target.last, target.one_sided
    later = np.empty(RUN, np.int32)  # keeps the code for large triangles out of the inner loop
    for k in range(len(rows)):
        if rows[k, 0] >= last or rows[k, 1] < first:
            continue
        waiting = 0
        for f in range(k * RUN, min((k + 1) * RUN, len(faces))):
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            front = state[a] | state[b] | state[c] == IN_FRONT
            if not front or not fill_small(
                a, b, c, False, one_sided, first, last, sx, sy, inv_z, colors, limits, nearest, colour, mask
            ):
                later[waiting] = f
                waiting += 1
        _draw_large(faces, later[:waiting], points, view, target)


@njit(nogil=True, cache=True, error_model="numpy")
def _draw_large(faces: Int32, chosen: Int32, points: Projected, view: View, target: Target) -> None:
    """Draw those that are large or have to be cut."""
    state = view.state
    for n in range(len(chosen)):
        a, b, c = faces[chosen[n], 0], faces[chosen[n], 1], faces[chosen[n], 2]
        if state[a] | state[b] | state[c] == IN_FRONT:
            fill_triangle(a, b, c, False, points, target)
        elif state[a] & state[b] & state[c] != BEHIND:
            draw_clipped(a, b, c, False, points, view, target)
