"""Which samples small triangles cover, many triangles at a time.

Nearly all triangles of a mesh cover few samples or none, and deciding that one by one is a chain of branches nobody can
predict. Here it is a loop without branches, which compiles to vector instructions. For that the compiler must see that
nothing it writes overlaps what it reads: so all fields lie in one array, at distances that are constants.
"""

from collections.abc import Callable

import numpy as np

from ex4d.compiled.kernel import borrowing, inlined
from ex4d.raster.kernels import HALF, SHIFT
from ex4d.surface.flags import QUAD_DROP
from ex4d_ground.arrays import Int32

CHUNK = 256
"""Quads or faces in one go."""
STRIDE = CHUNK + 16  # one vertex more than quads; and no multiple of 4096 bytes, which would share cache lines
# Fields of a chunk: the vertices of a grid's two rows, or the corners of faces; then what becomes of each.
UPPER_X, UPPER_Y, LOWER_X, LOWER_Y = 0, STRIDE, 2 * STRIDE, 3 * STRIDE
A_X, A_Y, B_X, B_Y, C_X, C_Y = 0, STRIDE, 2 * STRIDE, 3 * STRIDE, 4 * STRIDE, 5 * STRIDE
FLAG = 6 * STRIDE
"""QUAD_* bits; zero for faces."""
CODE = 7 * STRIDE
"""0 for nothing to draw, else the bits below; those of a quad's lower right triangle are shifted by one place each."""
FIRST_COLUMN, FIRST_ROW = 8 * STRIDE, 10 * STRIDE
"""The first sample that the triangle can cover; a quad's lower right triangle has its own, ``STRIDE`` further on."""
CHUNK_SIZE = 12 * STRIDE

BLOCK, BLOCK_BITS = 15, 4
"""The 2 x 2 samples from the first one on, row by row, that are covered: 4 bits, and 4 for a quad's other triangle."""
TEST, LATER = 1 << 8, 1 << 10
"""Reaches over more than 2 x 2 samples; over more than ``TINY`` in a direction, or it has to be cut."""
TINY = 4

_I = np.int32  # numba widens results to 64 bits; cut back, they fill twice as many lanes of a vector


def _cover(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int], k: int) -> Callable[..., None]:
    """A compiled loop for the triangles whose corners' x and y are at these fields; ``k`` = 1 adds a second set."""
    (a_x, a_y), (b_x, b_y), (c_x, c_y) = a, b, c
    column_at, row_at = FIRST_COLUMN + k * STRIDE, FIRST_ROW + k * STRIDE
    shift, test, later = k * BLOCK_BITS, _I(TEST << k), _I(LATER << k)
    zero, one, two, tiny, drop = _I(0), _I(1), _I(2), _I(TINY), _I(QUAD_DROP)
    half, below_half, above_half = _I(HALF), _I(HALF - 1), _I(HALF + 1)

    @borrowing
    def cover(chunk: Int32, count: int, columns: int, first: int, last: int) -> None:
        """Fill in the codes and first samples of ``count`` triangles; image rows to draw are ``first..last-1``."""
        width, top, bottom = _I(columns), _I(first), _I(last)
        for i in range(count):
            ax, ay, bx, by = chunk[a_x + i], chunk[a_y + i], chunk[b_x + i], chunk[b_y + i]
            cx, cy = chunk[c_x + i], chunk[c_y + i]
            x0 = _I(_I(min(ax, min(bx, cx)) + below_half) >> SHIFT)  # first_sample and last_sample
            x1 = _I(_I(max(ax, max(bx, cx)) - above_half) >> SHIFT)
            y0 = _I(_I(min(ay, min(by, cy)) + below_half) >> SHIFT)
            y1 = _I(_I(max(ay, max(by, cy)) - above_half) >> SHIFT)
            drawn = (x0 <= x1) & (y0 <= y1) & (x1 >= zero) & (x0 < width) & (y1 >= top) & (y0 < bottom)
            drawn &= _I(chunk[FLAG + i] & drop) == zero
            # Corners as seen from the first sample. Where they are far from it, numbers may overflow: not used then.
            px, py = _I(_I(x0 << SHIFT) + half), _I(_I(y0 << SHIFT) + half)
            ax, ay, bx, by, cx, cy = _I(ax - px), _I(ay - py), _I(bx - px), _I(by - py), _I(cx - px), _I(cy - py)
            turned = _I((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) < zero
            bx, cx = cx if turned else bx, bx if turned else cx
            by, cy = cy if turned else by, by if turned else cy
            dx0, dy0, dx1, dy1 = _I(cx - bx), _I(cy - by), _I(ax - cx), _I(ay - cy)
            dx2, dy2 = _I(bx - ax), _I(by - ay)
            # Edge functions, less 1 where a sample on the edge is not the triangle's own: covered if none is negative.
            e0 = _I(dy0 * bx - dx0 * by - (not ((dy0 < zero) | ((dy0 == zero) & (dx0 > zero)))))
            e1 = _I(dy1 * cx - dx1 * cy - (not ((dy1 < zero) | ((dy1 == zero) & (dx1 > zero)))))
            e2 = _I(dy2 * ax - dx2 * ay - (not ((dy2 < zero) | ((dy2 == zero) & (dx2 > zero)))))
            r0, r1, r2 = _I(e0 - (dy0 << SHIFT)), _I(e1 - (dy1 << SHIFT)), _I(e2 - (dy2 << SHIFT))  # one to the right
            down0, down1, down2 = _I(dx0 << SHIFT), _I(dx1 << SHIFT), _I(dx2 << SHIFT)
            c00, c01 = _I(e0 | e1 | e2) >= zero, _I(r0 | r1 | r2) >= zero
            c10 = _I(_I(e0 + down0) | _I(e1 + down1) | _I(e2 + down2)) >= zero
            c11 = _I(_I(r0 + down0) | _I(r1 + down1) | _I(r2 + down2)) >= zero
            left, right = x0 >= zero, _I(x0 + one) < width
            upper, lower = y0 >= top, _I(y0 + one) < bottom
            block = _I(c00 & left & upper) + _I(_I(c01 & right & upper) << 1)
            block = _I(block + _I(_I(c10 & left & lower) << 2) + _I(_I(c11 & right & lower) << 3))
            across, high = _I(x1 - x0), _I(y1 - y0)
            large = test if (across < tiny) & (high < tiny) else later
            code = _I(block << shift) if (across < two) & (high < two) else large
            code = code if drawn else zero
            chunk[CODE + i] = code if k == 0 else chunk[CODE + i] | code
            chunk[column_at + i] = x0
            chunk[row_at + i] = y0

    return cover


cover_upper = _cover((LOWER_X, LOWER_Y), (UPPER_X, UPPER_Y), (UPPER_X + 1, UPPER_Y + 1), 0)
cover_lower = _cover((LOWER_X, LOWER_Y), (UPPER_X + 1, UPPER_Y + 1), (LOWER_X + 1, LOWER_Y + 1), 1)
cover_faces = _cover((A_X, A_Y), (B_X, B_Y), (C_X, C_Y), 0)


@inlined
def find_drawn(chunk: Int32, count: int, some: Int32) -> int:
    """Write into ``some`` which of the chunk's quads or faces have anything to draw; returns how many."""
    found = 0
    for i in range(count):
        some[found] = i
        found += chunk[CODE + i] != 0
    return found
