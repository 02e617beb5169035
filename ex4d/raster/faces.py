"""Triangles given by index: the walls, pieces and bridges of solid meshes, caps, and other objects.

They come in an order that keeps neighbours together, so runs of them lie in few rows of the picture and are passed
over as a whole where those are not drawn.
"""

import numpy as np

from ex4d.compiled.kernel import borrowing, kernel
from ex4d.raster import cover, kernels, samples
from ex4d.raster.clip import draw_any
from ex4d.raster.kernels import Projected, Target, View
from ex4d_ground.arrays import Float32, Int32, UInt8

RUN = cover.CHUNK
"""Faces in a run."""
EVERYWHERE = 2**30


def num_runs(faces: Int32) -> int:
    """Runs that ``faces`` [F, 3] make up."""
    return -(-len(faces) // RUN)


@borrowing
def run_rows(faces: Int32, sy: Int32, state: UInt8, first: int, last: int, rows: Int32) -> None:
    """First and last row of the picture that each of the runs ``first..last-1`` can touch, into ``rows`` [runs, 2]."""
    for k in range(first, last):
        low, high = EVERYWHERE, -EVERYWHERE
        for f in range(k * RUN, min((k + 1) * RUN, len(faces))):
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            if state[a] | state[b] | state[c] == kernels.IN_FRONT:
                low, high = min(low, sy[a], sy[b], sy[c]), max(high, sy[a], sy[b], sy[c])
            elif state[a] & state[b] & state[c] != kernels.BEHIND:
                low, high = -EVERYWHERE, EVERYWHERE
        rows[k, 0], rows[k, 1] = kernels.first_sample(low), kernels.last_sample(high)


@borrowing
def _load(faces: Int32, sx: Int32, sy: Int32, chunk: Int32) -> None:
    """Look up the corners of ``faces`` into the fields of ``chunk``."""
    for n in range(len(faces)):
        a, b, c = faces[n, 0], faces[n, 1], faces[n, 2]
        chunk[cover.A_X + n], chunk[cover.A_Y + n] = sx[a], sy[a]
        chunk[cover.B_X + n], chunk[cover.B_Y + n] = sx[b], sy[b]
        chunk[cover.C_X + n], chunk[cover.C_Y + n] = sx[c], sy[c]


@borrowing
def _put_off(faces: Int32, state: UInt8, chunk: Int32) -> None:
    """Leave those that are not wholly in front for later."""
    for n in range(len(faces)):
        if state[faces[n, 0]] | state[faces[n, 1]] | state[faces[n, 2]] != kernels.IN_FRONT:
            chunk[cover.CODE + n] = cover.LATER


@kernel
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
    later = np.empty(RUN, np.int32)  # keeps the code for large triangles out of the inner loop
    _draw_runs(faces, rows, begin, end, all_in_front, rgba, points, view, target, later, samples.scratch())


@borrowing
def _draw_runs(
    faces: Int32,
    rows: Int32,
    begin: int,
    end: int,
    all_in_front: bool,
    rgba: Int32,
    points: Projected,
    view: View,
    target: Target,
    later: Int32,  # [RUN]
    scratch: tuple[Int32, Int32, Int32, Float32],
) -> None:
    """The same, in arrays that are there."""
    sx, sy, state = points.sx, points.sy, view.state
    chunk, some, records, depths = scratch
    chunk[cover.FLAG : cover.FLAG + RUN] = 0
    columns, first, last = target.nearest.shape[1], target.first, target.last
    n = np.int64(0)  # not a literal: what takes it would be compiled for that, too
    for k in range(begin, end):
        if len(rows) > 0 and (rows[k, 0] >= last or rows[k, 1] < first):
            continue
        run = faces[k * RUN : (k + 1) * RUN]
        _load(run, sx, sy, chunk)
        cover.cover_faces(chunk, len(run), columns, first, last)
        if not all_in_front:
            _put_off(run, state, chunk)
        waiting = 0
        for s in range(cover.find_drawn(chunk, len(run), some)):
            f = some[s]
            code = chunk[cover.CODE + f]
            triangle = np.int64(run[f, 0]), np.int64(run[f, 1]), np.int64(run[f, 2]), np.int64(0)
            if code <= cover.BLOCK:
                column, row = chunk[cover.FIRST_COLUMN + f], chunk[cover.FIRST_ROW + f]
                n = samples.put_block(records, n, triangle, np.int64(code), column, row)
            elif code == cover.TEST:
                n = samples.put_tested(records, n, triangle, (sx, sy), columns, first, last)
            else:
                later[waiting] = f
                waiting += 1
            if n > samples.FULL:
                n = samples.draw_samples(records, depths, n, rgba, points, target)
        if waiting:
            n = samples.draw_samples(records, depths, n, rgba, points, target)
            _draw_large(run, later[:waiting], points, view, target)
    samples.draw_samples(records, depths, n, rgba, points, target)


@borrowing
def _draw_large(faces: Int32, chosen: Int32, points: Projected, view: View, target: Target) -> None:
    """Draw those that are large or have to be cut."""
    for n in range(len(chosen)):
        a, b, c = faces[chosen[n], 0], faces[chosen[n], 1], faces[chosen[n], 2]
        draw_any(np.int64(a), np.int64(b), np.int64(c), np.bool_(False), points, view, target)
