"""Triangles given by index: the walls, pieces and bridges of solid meshes, caps, and other objects.

They come in an order that keeps neighbours together, so runs of them lie in few rows of the picture and are passed
over as a whole where those are not drawn.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ex4d.raster.clip import draw_clipped
from ex4d.raster.cover import (
    A_X,
    A_Y,
    B_X,
    B_Y,
    BLOCK,
    C_X,
    C_Y,
    CHUNK,
    CHUNK_SIZE,
    CODE,
    FIRST_COLUMN,
    FIRST_ROW,
    FLAG,
    LATER,
    TEST,
    cover_faces,
    find_drawn,
)
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
from ex4d.raster.samples import DEPTHS_SIZE, FULL, RECORDS_SIZE, draw_samples, put_block, put_tested
from ex4d.types import Int32, UInt8

RUN = CHUNK
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
def _load(faces: Int32, sx: Int32, sy: Int32, chunk: Int32) -> None:
    """Look up the corners of ``faces`` into the fields of ``chunk``."""
    for n in range(len(faces)):
        a, b, c = faces[n, 0], faces[n, 1], faces[n, 2]
        chunk[A_X + n], chunk[A_Y + n] = sx[a], sy[a]
        chunk[B_X + n], chunk[B_Y + n] = sx[b], sy[b]
        chunk[C_X + n], chunk[C_Y + n] = sx[c], sy[c]


@njit(nogil=True, cache=True, error_model="numpy")
def _put_off(faces: Int32, state: UInt8, chunk: Int32) -> None:
    """Leave those that are not wholly in front for later."""
    for n in range(len(faces)):
        if state[faces[n, 0]] | state[faces[n, 1]] | state[faces[n, 2]] != IN_FRONT:
            chunk[CODE + n] = LATER


@njit(nogil=True, cache=True, error_model="numpy")
def draw_faces(
    faces: Int32,  # [F, 3]
    rows: Int32,  # [runs, 2] from run_rows, or empty to draw all
    begin: int,
    end: int,
    all_in_front: bool,
    rgba: Int32,  # [V] the vertices' colours as one number each
    points: Projected,
    view: View,
    target: Target,
) -> None:
    """Draw runs ``begin..end-1`` of triangles given by index."""
    # Unpacked once: unpacking counts references, which costs more than drawing a triangle.
    sx, sy, state = points.sx, points.sy, view.state
    columns, first, last = target.nearest.shape[1], target.first, target.last
    later = np.empty(RUN, np.int32)  # keeps the code for large triangles out of the inner loop
    chunk, some = np.empty(CHUNK_SIZE, np.int32), np.empty(RUN + 1, np.int32)
    chunk[FLAG : FLAG + RUN] = 0
    records, depths = np.empty(RECORDS_SIZE, np.int32), np.empty(DEPTHS_SIZE, np.float32)
    n = 0
    for k in range(begin, end):
        if len(rows) > 0 and (rows[k, 0] >= last or rows[k, 1] < first):
            continue
        run = faces[k * RUN : (k + 1) * RUN]
        _load(run, sx, sy, chunk)
        cover_faces(chunk, len(run), columns, first, last)
        if not all_in_front:
            _put_off(run, state, chunk)
        waiting = 0
        for s in range(find_drawn(chunk, len(run), some)):
            f = some[s]
            a, b, c, code = run[f, 0], run[f, 1], run[f, 2], chunk[CODE + f]
            if code <= BLOCK:
                n = put_block(records, n, a, b, c, 0, code, chunk[FIRST_COLUMN + f], chunk[FIRST_ROW + f])
            elif code == TEST:
                n = put_tested(records, n, a, b, c, 0, (sx, sy), columns, first, last)
            else:
                later[waiting] = f
                waiting += 1
            if n > FULL:
                draw_samples(records, depths, n, rgba, points, target)
                n = 0
        if waiting:
            draw_samples(records, depths, n, rgba, points, target)
            n = 0
            _draw_large(run, later[:waiting], points, view, target)
    draw_samples(records, depths, n, rgba, points, target)


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
