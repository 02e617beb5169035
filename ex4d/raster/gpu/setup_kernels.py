"""Triton kernels of the free GPU rasterizer, first half: vertices to the image, and a look at every triangle.

The rasterizer is a deterministic z-buffer for grid meshes. Each covered sample keeps the largest key, 1 / z above the
triangle's number, by 64-bit atomic maximum, so the result does not depend on the order of drawing. Coverage follows
``ex4d/raster/base.py`` in integers, as on the CPU:

1. ``project``: vertices to snapped image coordinates, once per vertex.
2. ``draw_grid`` and ``draw_faces``: one lane per triangle; those that cover few samples are drawn at once, larger
   ones and those that have to be cut are put on a queue.

``draw_kernels.py`` empties the queues and colours the picture. ``inv_z`` also says what a vertex is: above 0 in front,
0 outside the guard band, below 0 nearer than the near plane.
"""

from __future__ import annotations

import triton
import triton.language as tl

GUARD = tl.constexpr(536870912.0)  # 2 ** 29 subpixels, as on the CPU: edge functions stay below 2 ** 62
SHIFT = tl.constexpr(8)  # subpixels a pixel: 256
HALF = tl.constexpr(128)
LAST_ID = tl.constexpr(0x7FFFFFFF)
SMALL_EXTENT = tl.constexpr(16384)  # subpixels; within it edge functions fit 32 bits
LARGE, HUGE, CUT = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)  # queues
QUAD_DROP = tl.constexpr(4)  # as in ex4d/raster/base.py; bits 0 and 1 hide the upper and the lower triangle
LENS = tl.constexpr(8)  # fx, fy, cx, cy, near, 1 / far, alpha threshold, rounding


@triton.jit
def _to_camera(vertices, pose, v, inside):
    """Camera axes of vertices, in the CPU's order of operations."""
    x = tl.load(vertices + v * 3, mask=inside, other=0.0).to(tl.float64)
    y = tl.load(vertices + v * 3 + 1, mask=inside, other=0.0).to(tl.float64)
    z = tl.load(vertices + v * 3 + 2, mask=inside, other=0.0).to(tl.float64)
    xc = tl.load(pose) * x + tl.load(pose + 1) * y + tl.load(pose + 2) * z + tl.load(pose + 3)
    yc = tl.load(pose + 4) * x + tl.load(pose + 5) * y + tl.load(pose + 6) * z + tl.load(pose + 7)
    zc = tl.load(pose + 8) * x + tl.load(pose + 9) * y + tl.load(pose + 10) * z + tl.load(pose + 11)
    return xc, yc, zc


@triton.jit(do_not_specialize=["count"])
def project(
    vertices,  # [B, V, 3] float32
    pose,  # [B, 12] float64 camera_from_world
    lens,  # [B, 8] float64
    sx,  # [B, V] int32, written: subpixels
    sy,
    inv_z,  # [B, V] float32, written
    count,
    BLOCK: tl.constexpr,
):
    """Snapped image coordinates (halves go right and down) and 1 / z."""
    frame = tl.program_id(1).to(tl.int64)
    v = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = v < count
    at = frame * count + v
    x, y, z = _to_camera(vertices, pose + frame * 12, at, inside)
    k = lens + frame * LENS
    inverse = 1.0 / z
    px = tl.floor((tl.load(k) * x * inverse + tl.load(k + 2)) * 256.0 + 0.5)
    py = tl.floor((tl.load(k + 1) * y * inverse + tl.load(k + 3)) * 256.0 + 0.5)
    front = z >= tl.load(k + 4)
    near_by = front & (tl.abs(px) <= GUARD) & (tl.abs(py) <= GUARD)
    tl.store(sx + at, tl.where(near_by, px, 0.0).to(tl.int32), mask=inside)
    tl.store(sy + at, tl.where(near_by, py, 0.0).to(tl.int32), mask=inside)
    tl.store(inv_z + at, tl.where(near_by, inverse, tl.where(front, 0.0, -1.0)).to(tl.float32), mask=inside)


@triton.jit
def _projected(sx, sy, inv_z, v, ok):
    """What ``project`` found of vertices; those that are none count as behind."""
    x, y = tl.load(sx + v, mask=ok, other=0), tl.load(sy + v, mask=ok, other=0)
    return x, y, tl.load(inv_z + v, mask=ok, other=-1.0)


@triton.jit
def _orientation(ax, ay, bx, by, px, py):
    return (bx - ax) * (py - ay) - (by - ay) * (px - ax)


@triton.jit
def _owns(dx, dy):
    """0 for a top or left edge, else -1: added to an edge function that then has to be >= 0."""
    return tl.where((dy < 0) | ((dy == 0) & (dx > 0)), 0, -1)


@triton.jit
def _samples(a, b, c, size):
    """First and last of ``size`` samples along an axis that corners at these subpixels can cover, and their extent."""
    low, high = tl.minimum(a, tl.minimum(b, c)), tl.maximum(a, tl.maximum(b, c))
    first, last = (low + (HALF - 1)) >> SHIFT, (high - (HALF + 1)) >> SHIFT
    return tl.maximum(first, 0), tl.minimum(last, size - 1), high - low


@triton.jit
def _key(depth, number):
    """Larger is nearer; at the same depth the smaller triangle number wins."""
    return (depth.to(tl.int32, bitcast=True).to(tl.int64) << 32) | (number ^ LAST_ID).to(tl.int64)


@triton.jit
def _push(queues, counters, which: tl.constexpr, capacity, code, chosen):
    """Append the chosen codes to a queue; their order does not matter."""
    one = chosen.to(tl.int32)
    total = tl.sum(one, 0)
    if total > 0:
        start = tl.atomic_add(counters + which, total)
        place = capacity * which + start + tl.cumsum(one, 0) - one
        tl.store(queues + place, code, mask=chosen)


@triton.jit
def _draw_or_queue(
    ax, ay, aw, bx, by, bw, cx, cy, cw, number, ok,
    keys, queues, counters, frame, triangles, capacity, height, width, far_inv, SMALL: tl.constexpr,
):  # fmt: skip
    """One lane per triangle (``number``): draw it if it covers few samples, else queue it."""
    front = ok & (aw > 0) & (bw > 0) & (cw > 0)
    behind = (aw < 0) & (bw < 0) & (cw < 0)
    x0, x1, wide = _samples(ax, bx, cx, width)
    y0, y1, tall = _samples(ay, by, cy, height)
    touches = front & (x0 <= x1) & (y0 <= y1)
    samples = tl.where(touches, (x1 - x0 + 1) * (y1 - y0 + 1), 0)
    small = touches & (samples <= SMALL) & (wide < SMALL_EXTENT) & (tall < SMALL_EXTENT)
    code = frame.to(tl.int32) * triangles + number
    _push(queues, counters, LARGE, capacity, code, touches & ~small)
    _push(queues, counters, CUT, capacity, code, ok & ~front & ~behind)

    area = _orientation(ax, ay, bx, by, cx, cy)
    turned = area < 0
    bx, cx = tl.where(turned, cx, bx), tl.where(turned, bx, cx)
    by, cy = tl.where(turned, cy, by), tl.where(turned, by, cy)
    bw, cw = tl.where(turned, cw, bw), tl.where(turned, bw, cw)
    small = small & (area != 0)
    inv_area = 1.0 / tl.abs(area).to(tl.float32)
    own0, own1, own2 = _owns(cx - bx, cy - by), _owns(ax - cx, ay - cy), _owns(bx - ax, by - ay)
    row, column = y0, x0
    picture = keys + frame * height * width
    for _ in range(tl.max(tl.where(small, samples, 0), 0)):
        px, py = column * 256 + HALF, row * 256 + HALF
        e0 = _orientation(bx, by, cx, cy, px, py)
        e1 = _orientation(cx, cy, ax, ay, px, py)
        e2 = _orientation(ax, ay, bx, by, px, py)
        depth = (e0.to(tl.float32) * aw + e1.to(tl.float32) * bw + e2.to(tl.float32) * cw) * inv_area
        covered = small & (row <= y1) & (((e0 + own0) | (e1 + own1) | (e2 + own2)) >= 0) & (depth >= far_inv)
        tl.atomic_max(picture + row * width + column, _key(depth, number), mask=covered, sem="relaxed")
        column += 1
        wrap = column > x1
        column = tl.where(wrap, x0, column)
        row += wrap.to(tl.int32)


@triton.jit(do_not_specialize=["count", "grid_height", "grid_width", "triangles", "capacity", "height", "width"])
def draw_grid(
    sx, sy, inv_z, lens, keys, queues, counters,
    quad_flags,  # [B, quads] uint8 of QUAD_* bits, read with HAS_FLAGS
    count, grid_height, grid_width, triangles, capacity, height, width,
    HAS_FLAGS: tl.constexpr, SMALL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The grid's triangles: number 2 * quad + half, split along the diagonal from bottom left to top right."""
    frame = tl.program_id(1).to(tl.int64)
    columns = grid_width - 1
    q = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    quads = (grid_height - 1) * columns
    ok = q < quads
    if HAS_FLAGS:
        ok = ok & ((tl.load(quad_flags + frame * quads + q, mask=ok, other=0) & QUAD_DROP) == 0)
    v = frame * count + (q // columns) * grid_width + q % columns
    far_inv = tl.load(lens + frame * LENS + 5).to(tl.float32)
    x00, y00, w00 = _projected(sx, sy, inv_z, v, ok)
    x01, y01, w01 = _projected(sx, sy, inv_z, v + 1, ok)
    x10, y10, w10 = _projected(sx, sy, inv_z, v + grid_width, ok)
    x11, y11, w11 = _projected(sx, sy, inv_z, v + grid_width + 1, ok)
    _draw_or_queue(
        x10, y10, w10, x00, y00, w00, x01, y01, w01, 2 * q, ok,
        keys, queues, counters, frame, triangles, capacity, height, width, far_inv, SMALL,
    )  # fmt: skip
    _draw_or_queue(
        x10, y10, w10, x01, y01, w01, x11, y11, w11, 2 * q + 1, ok,
        keys, queues, counters, frame, triangles, capacity, height, width, far_inv, SMALL,
    )  # fmt: skip


@triton.jit(do_not_specialize=["faces_stride", "num_faces", "count", "triangles", "capacity", "height", "width"])
def draw_faces(
    faces, faces_stride, num_faces,  # [B or 1, N, 3] int32; stride 0 where all frames share them
    sx, sy, inv_z, lens, keys, queues, counters,
    count, triangles, capacity, height, width,
    SMALL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Triangles given by index; their numbers follow the grid's."""
    frame = tl.program_id(1).to(tl.int64)
    f = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = f < num_faces
    corner = faces + frame * faces_stride + f * 3
    far_inv = tl.load(lens + frame * LENS + 5).to(tl.float32)
    ax, ay, aw = _projected(sx, sy, inv_z, frame * count + tl.load(corner, mask=ok, other=0), ok)
    bx, by, bw = _projected(sx, sy, inv_z, frame * count + tl.load(corner + 1, mask=ok, other=0), ok)
    cx, cy, cw = _projected(sx, sy, inv_z, frame * count + tl.load(corner + 2, mask=ok, other=0), ok)
    _draw_or_queue(
        ax, ay, aw, bx, by, bw, cx, cy, cw, triangles - num_faces + f, ok,
        keys, queues, counters, frame, triangles, capacity, height, width, far_inv, SMALL,
    )  # fmt: skip
