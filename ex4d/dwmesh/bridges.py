"""Compiled loops that continue what passes behind a nearer object: a hidden surface under the object.

What a nearer object covers belongs to the surfaces beside it more often than to nothing. Where a row shows the same
surface left and right of the object, it goes through; where it does not, it goes on for as long as it was seen. Both
block and show nothing: they stop rays that would else pass where the rest of a covered thing must be.
"""

import numpy as np

from ex4d.compiled.kernel import borrowing, inlined, kernel
from ex4d.dwmesh.edges import CUT_DOWN, CUT_RIGHT, SKIP, any_bits
from ex4d.dwmesh.walls import LEAST_END
from ex4d_ground.arrays import Float32, Float64, Int32, Int64, UInt8

STRIP_VERTICES, STRIP_FACES = 4, 2
CLEARANCE = 1.02 / LEAST_END
"""What covers a strip is nearer by at least this factor, so that a strip never shows through it, rims included."""
MAX_RUN = 64
"""Pixels after which a surface is not followed any further."""


@borrowing
def count_row_cuts(cuts: UInt8, first: int, last: int, counts: Int64) -> None:
    """How many strips a row may need: one per cut inside the ring."""
    for j in range(first, last):
        n = 0
        for i in range(1, cuts.shape[1] - 2):
            n += cuts[j, i] & CUT_RIGHT
        counts[j] = n


@inlined
def _strip(
    j: int, x0: float, w0: float, x1: float, w1: float, rays: Float64, v: int, f: int, vertices: Float32, faces: Int32
) -> None:
    """One pixel high between columns ``x0`` and ``x1`` (halves lie between pixels), inverse depths ``w0``, ``w1``."""
    for k in range(4):
        x, w = (x0, w0) if k & 1 == 0 else (x1, w1)
        z = 1.0 / w
        vertices[v + k, 0] = (rays[0] + x * rays[1]) * z
        vertices[v + k, 1] = (rays[2] + (j - 0.5 + (k >> 1)) * rays[3]) * z
        vertices[v + k, 2] = z
    faces[f, 0], faces[f, 1], faces[f, 2] = v + 2, v, v + 1
    faces[f + 1, 0], faces[f + 1, 1], faces[f + 1, 2] = v + 2, v + 1, v + 3


@inlined
def _slope(row: Float32, cuts: UInt8, i: int, side: int) -> float:  # row, cuts [W]
    """Step of inverse depth per column towards ``side``, just inside an end at ``i``; 0 at a lone pixel."""
    k = i - side
    if k < 1 or k > len(row) - 2 or cuts[min(i, k)] & CUT_RIGHT:
        return 0.0
    return np.float64(row[i]) - row[k]


@borrowing
def _run(cuts: UInt8, i: int, side: int) -> int:
    """Pixels of the unbroken run that ends at ``i`` towards ``side``."""
    n = 1
    while n < MAX_RUN:
        k = i - side * n
        if k < 1 or k > len(cuts) - 2 or cuts[min(k, k + side)] & CUT_RIGHT:
            break
        n += 1
    return n


@borrowing
def _meet(row: Float32, cuts: UInt8, p: int, q: int, same: float) -> bool:
    """Whether columns ``p`` and ``q`` show one surface: at one depth, or each on the other's continuation."""
    gap = q - p
    right = row[p] + _slope(row, cuts, p, np.int64(1)) * gap
    left = row[q] + _slope(row, cuts, q, np.int64(-1)) * gap
    miss = min(abs(row[p] - row[q]), min(abs(right - row[q]), abs(left - row[p])))
    return miss <= same * max(row[p], row[q])


@inlined
def _deepest(inverse: Float32, cuts: UInt8, j: int, k: int) -> float:
    """Least inverse depth of the surface within the pixel's height, half way to connected pixels above and below."""
    own = inverse[j, k]
    least = own
    if not cuts[j - 1, k] & CUT_DOWN:
        least = min(least, np.float32(0.5) * (own + inverse[j - 1, k]))
    if not cuts[j, k] & CUT_DOWN:
        least = min(least, np.float32(0.5) * (own + inverse[j + 1, k]))
    return least


@borrowing
def _covered(inverse: Float32, cuts: UInt8, j: int, i: int, side: int, most: int, step: float) -> int:
    """Over how many columns from ``i`` towards ``side`` a surface stays under nearer ones; ``step`` is its slope."""
    n = 0
    while n < most:
        k = i + side * (n + 1)
        if k < 1 or k > inverse.shape[1] - 2:
            break
        if _deepest(inverse, cuts, j, k) <= CLEARANCE * (inverse[j, i] + step * (n + 1)):
            # The last pixel may slope down to this one: its outer half is not sure to cover.
            return n - 1 if n > 0 and not cuts[j, min(k, k - side)] & CUT_RIGHT else n
        n += 1
    return n


@kernel
def bridge_rows(
    inverse: Float32,  # [H, W]
    cuts: UInt8,  # [H, W]
    same: float,  # share of the inverse depth by which two ends of one surface may miss each other
    rays: Float64,  # [4] x of column 0, step per column, y of row 0, step per row
    first: int,
    last: int,
    vertex_at: Int64,  # [H]
    face_at: Int64,  # [H]
    vertices: Float32,
    faces: Int32,
) -> None:
    """Write the strips of rows ``first..last-1``; like brackets, what goes in first comes out last."""
    width = inverse.shape[1]
    waiting = np.empty(width, np.int64)  # columns where a surface went under a nearer one
    left, right = np.int64(-1), np.int64(1)  # not literals: what takes them would be compiled for each
    for j in range(first, last):
        v, f, row, cut = vertex_at[j], face_at[j], inverse[j], cuts[j]
        depth = 0
        for block in range(1, width - 2, SKIP):
            stop = min(block + SKIP, width - 2)
            if not any_bits(cut[block:stop]) & CUT_RIGHT:
                continue
            for i in range(block, stop):
                if not cut[i] & CUT_RIGHT:
                    continue
                if row[i + 1] > row[i]:
                    waiting[depth] = i
                    depth += 1
                    continue
                q = i + 1
                joined = False
                while depth > 0 and not joined:
                    p = waiting[depth - 1]
                    joined = _meet(row, cut, p, q, same)
                    if not joined and row[q] > row[p]:
                        break
                    depth -= 1
                    end, w = q - 0.5, row[q]
                    if joined:
                        gap = q - p - 1
                        under = _covered(inverse, cuts, j, p, right, gap, (row[q] - row[p]) / (q - p)) == gap
                    else:
                        n = _covered(inverse, cuts, j, p, right, min(q - p - 1, _run(cut, p, right)), 0.0)
                        end, w, under = p + 0.5 + n, row[p], n > 0
                    if under:
                        _strip(j, p + 0.5, row[p], end, w, rays, v, f, vertices, faces)
                        v += STRIP_VERTICES
                        f += STRIP_FACES
                if not joined:  # a surface that comes out and was not seen going in
                    n = _covered(inverse, cuts, j, q, left, _run(cut, q, left), 0.0)
                    _strip(j, q - 0.5 - n, row[q], q - 0.5, row[q], rays, v, f, vertices, faces)
                    v += STRIP_VERTICES
                    f += STRIP_FACES
        while depth > 0:
            depth -= 1
            p = waiting[depth]
            n = _covered(inverse, cuts, j, p, right, _run(cut, p, right), 0.0)
            _strip(j, p + 0.5, row[p], p + 0.5 + n, row[p], rays, v, f, vertices, faces)
            v += STRIP_VERTICES
            f += STRIP_FACES
