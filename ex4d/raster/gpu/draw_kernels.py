"""Triton kernels of the free GPU rasterizer, second half: queued triangles, and the picture from the z-buffer.

They go on where ``setup_kernels.py`` ends:

3. ``draw_large``: one warp per queued triangle, row spans by integer division; a huge one goes on to a second queue
   that many programs share.
4. ``draw_cut``: triangles that reach behind the near plane or out of the guard band, by homogeneous edge functions
   (Olano and Greer, Triangle scan conversion using 2D homogeneous coordinates, 1997). An edge whose ends are both in
   front uses their snapped places, like the triangle across it; any other edge is evaluated from the same end by both
   its triangles. So neighbours stay joined.
5. ``resolve``: colour from the winning triangle, in float64 as on the CPU.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ex4d.raster.gpu.setup_kernels import (
    CUT,
    HALF,
    HUGE,
    LAST_ID,
    LENS,
    _key,
    _orientation,
    _owns,
    _samples,
    _to_camera,
)

SIZES = ["faces_stride", "count", "grid_triangles", "grid_width", "triangles", "capacity", "height", "width"]


@triton.jit
def _corners(number, frame, faces, faces_stride, count, grid_triangles, grid_width, ok):
    """Vertex indices, over all frames, of a frame's triangles by number."""
    on_grid = number < grid_triangles
    half = number & 1
    quad = number >> 1
    columns = tl.maximum(grid_width - 1, 1)
    v00 = (quad // columns) * grid_width + quad % columns
    further = faces + frame * faces_stride + (number - grid_triangles).to(tl.int64) * 3
    listed = ok & (number >= grid_triangles)
    a = tl.where(on_grid, v00 + grid_width, tl.load(further, mask=listed, other=0))
    b = tl.where(on_grid, v00 + half, tl.load(further + 1, mask=listed, other=0))
    c = tl.where(on_grid, v00 + 1 + half * grid_width, tl.load(further + 2, mask=listed, other=0))
    return frame * count + a, frame * count + b, frame * count + c


@triton.jit
def _queued(code, triangles, faces, faces_stride, count, grid_triangles, grid_width):
    """Frame, number and vertex indices of a queued triangle."""
    frame, number = (code // triangles).to(tl.int64), code % triangles
    a, b, c = _corners(number, frame, faces, faces_stride, count, grid_triangles, grid_width, True)
    return frame, number, a, b, c


@triton.jit
def _place(sx, sy, v, ok):
    """Subpixels of vertices, in 64 bits."""
    return tl.load(sx + v, mask=ok, other=0).to(tl.int64), tl.load(sy + v, mask=ok, other=0).to(tl.int64)


@triton.jit
def _floor_div(n, d):
    """Floor of n / d for d > 0 (the language's own division rounds towards 0)."""
    quotient = n // d
    return quotient - (n - quotient * d < 0).to(tl.int64)


@triton.jit
def _span(n, step, low, high):
    """Narrow low..high to the columns x with n + step * x >= 0."""
    size = tl.maximum(tl.abs(step), 1)
    reach = _floor_div(n, size)
    low = tl.where(step > 0, tl.maximum(low, -reach), low)
    high = tl.where(step < 0, tl.minimum(high, reach), high)
    high = tl.where((step == 0) & (n < 0), low - 1, high)
    return low, high


@triton.jit(do_not_specialize=SIZES)
def draw_large(
    sx, sy, inv_z, faces, faces_stride, lens, keys, queues, counters,
    count, grid_triangles, grid_width, triangles, capacity, height, width,
    QUEUE: tl.constexpr, SPILL_TILES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Queued triangles of any size, spans of ROWS rows at a time; program_id(1) shares one triangle's rows.

    With SPILL_TILES > 0, a triangle whose box has more tiles than that goes on to the queue of huge ones.
    """
    share, shares = tl.program_id(1), tl.num_programs(1)
    waiting = tl.load(counters + QUEUE)
    for item in range(tl.program_id(0), waiting, tl.num_programs(0)):
        code = tl.load(queues + capacity * QUEUE + item)
        frame, number, a, b, c = _queued(code, triangles, faces, faces_stride, count, grid_triangles, grid_width)
        ax, ay = _place(sx, sy, a, True)
        bx, by = _place(sx, sy, b, True)
        cx, cy = _place(sx, sy, c, True)
        area = _orientation(ax, ay, bx, by, cx, cy)
        b, c = tl.where(area < 0, c, b), tl.where(area < 0, b, c)
        bx, cx = tl.where(area < 0, cx, bx), tl.where(area < 0, bx, cx)
        by, cy = tl.where(area < 0, cy, by), tl.where(area < 0, by, cy)
        aw, bw, cw = tl.load(inv_z + a), tl.load(inv_z + b), tl.load(inv_z + c)
        x0, x1, _ = _samples(ax, bx, cx, width)
        y0, y1, _ = _samples(ay, by, cy, height)
        y1 = tl.where(area == 0, y0 - 1, y1)
        if SPILL_TILES > 0:
            tiles = ((x1 - x0) // COLUMNS + 1) * ((y1 - y0) // ROWS + 1)
            if (tiles > SPILL_TILES) & (y1 >= y0):
                place = tl.atomic_add(counters + HUGE, 1)
                tl.store(queues + capacity * HUGE + place, code)
                y1 = y0 - 1
        dx0, dy0, dx1, dy1, dx2, dy2 = cx - bx, cy - by, ax - cx, ay - cy, bx - ax, by - ay
        own0, own1, own2 = _owns(dx0, dy0), _owns(dx1, dy1), _owns(dx2, dy2)
        step0, step1, step2 = -dy0 * 256, -dy1 * 256, -dy2 * 256
        inv_area = 1.0 / tl.maximum(tl.abs(area), 1).to(tl.float32)
        far_inv = tl.load(lens + frame * LENS + 5).to(tl.float32)
        picture = keys + frame * height * width
        for top in range(y0.to(tl.int32) + share * ROWS, y1.to(tl.int32) + 1, shares * ROWS):
            row = (top + tl.arange(0, ROWS)).to(tl.int64)
            py = row * 256 + HALF
            n0 = dx0 * (py - by) + dy0 * (bx - HALF)  # edge functions at column 0
            n1 = dx1 * (py - cy) + dy1 * (cx - HALF)
            n2 = dx2 * (py - ay) + dy2 * (ax - HALF)
            low, high = x0 + tl.zeros_like(row), x1 + tl.zeros_like(row)
            low, high = _span(n0 + own0, step0, low, high)
            low, high = _span(n1 + own1, step1, low, high)
            low, high = _span(n2 + own2, step2, low, high)
            high = tl.where(row <= y1, high, low - 1)
            for start in range(0, (tl.max(high - low, 0) + 1).to(tl.int32), COLUMNS):
                column = low[:, None] + (start + tl.arange(0, COLUMNS))[None, :]
                e0, e1, e2 = n0[:, None] + step0 * column, n1[:, None] + step1 * column, n2[:, None] + step2 * column
                depth = (e0.to(tl.float32) * aw + e1.to(tl.float32) * bw + e2.to(tl.float32) * cw) * inv_area
                covered = (column <= high[:, None]) & (depth >= far_inv)
                place = picture + row[:, None] * width + column
                tl.atomic_max(place, _key(depth, number + tl.zeros_like(e0)), mask=covered, sem="relaxed")


@triton.jit
def _homogeneous(vertices, pose, lens, v, ok):
    """(X, Y, Z) with image coordinates (X / Z, Y / Z) in pixels."""
    x, y, z = _to_camera(vertices, pose, v, ok)
    return tl.load(lens) * x + tl.load(lens + 2) * z, tl.load(lens + 1) * y + tl.load(lens + 3) * z, z


@triton.jit
def _cross(ax, ay, az, bx, by, bz):
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


@triton.jit
def _planes(ax, ay, az, bx, by, bz, cx, cy, cz):
    """Planes through the camera and each edge, opposite to a, b and c, and the volume that the corners span."""
    l0x, l0y, l0z = _cross(bx, by, bz, cx, cy, cz)
    l1x, l1y, l1z = _cross(cx, cy, cz, ax, ay, az)
    l2x, l2y, l2z = _cross(ax, ay, az, bx, by, bz)
    return l0x, l0y, l0z, l1x, l1y, l1z, l2x, l2y, l2z, ax * l0x + ay * l0y + az * l0z


@triton.jit
def _edge(sx, sy, inv_z, p, q, px, py, pz, qx, qy, qz, side):
    """Coefficients of the edge p -> q, positive inside, and whether a sample exactly on it belongs to the triangle.

    Computed from the end with the smaller index, so the triangle across gets exactly the negated values.
    """
    joined = (tl.load(inv_z + p) > 0) & (tl.load(inv_z + q) > 0)  # both ends are on the image: take them snapped
    spx, spy = tl.load(sx + p).to(tl.float64) / 256.0, tl.load(sy + p).to(tl.float64) / 256.0
    sqx, sqy = tl.load(sx + q).to(tl.float64) / 256.0, tl.load(sy + q).to(tl.float64) / 256.0
    px, py, pz = tl.where(joined, spx, px), tl.where(joined, spy, py), tl.where(joined, 1.0, pz)
    qx, qy, qz = tl.where(joined, sqx, qx), tl.where(joined, sqy, qy), tl.where(joined, 1.0, qz)
    turned = p > q
    ax, bx = tl.where(turned, qx, px), tl.where(turned, px, qx)
    ay, by = tl.where(turned, qy, py), tl.where(turned, py, qy)
    az, bz = tl.where(turned, qz, pz), tl.where(turned, pz, qz)
    nx, ny, nz = _cross(ax, ay, az, bx, by, bz)
    sign = tl.where(turned, -side, side)
    dx, dy = side * (sqx - spx), side * (sqy - spy)
    top_left = (dy < 0) | ((dy == 0) & (dx > 0))
    owns = tl.where(joined, top_left, sign > 0)
    return nx * sign, ny * sign, nz * sign, owns


@triton.jit
def _reach(y_low, y_high, py, pz, qy, qz, near):
    """Widen y_low..y_high by the part of the edge p -> q that is in front: p itself, and where it is cut."""
    y = py / tl.where(pz >= near, pz, 1.0)
    y_low, y_high = (
        tl.where(pz >= near, tl.minimum(y_low, y), y_low),
        tl.where(pz >= near, tl.maximum(y_high, y), y_high),
    )
    crosses = (pz >= near) != (qz >= near)
    share = (pz - near) / tl.where(crosses, pz - qz, 1.0)
    y = (py + share * (qy - py)) / near
    return tl.where(crosses, tl.minimum(y_low, y), y_low), tl.where(crosses, tl.maximum(y_high, y), y_high)


@triton.jit
def _bounds(nx, offset, low, high):
    """Narrow low..high (pixels, float64) to where nx * x + offset >= 0."""
    x = -offset / tl.where(nx == 0, 1.0, nx)
    low = tl.where(nx > 0, tl.maximum(low, x), low)
    high = tl.where(nx < 0, tl.minimum(high, x), high)
    high = tl.where(nx == 0, tl.where(offset < 0, low - 4.0, high), high)
    return low, high


@triton.jit(do_not_specialize=SIZES)
def draw_cut(
    vertices, sx, sy, inv_z, faces, faces_stride, pose, lens, keys, queues, counters,
    count, grid_triangles, grid_width, triangles, capacity, height, width,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Triangles that reach behind the near plane or out of the guard band."""
    share_of, shares = tl.program_id(1), tl.num_programs(1)
    waiting = tl.load(counters + CUT)
    for item in range(tl.program_id(0), waiting, tl.num_programs(0)):
        code = tl.load(queues + capacity * CUT + item)
        frame, number, a, b, c = _queued(code, triangles, faces, faces_stride, count, grid_triangles, grid_width)
        view, k = pose + frame * 12, lens + frame * LENS
        near, far_inv = tl.load(k + 4), tl.load(k + 5)
        ax, ay, az = _homogeneous(vertices, view, k, a, True)
        bx, by, bz = _homogeneous(vertices, view, k, b, True)
        cx, cy, cz = _homogeneous(vertices, view, k, c, True)
        l0x, l0y, l0z, l1x, l1y, l1z, l2x, l2y, l2z, volume = _planes(ax, ay, az, bx, by, bz, cx, cy, cz)
        side = tl.where(volume > 0, 1.0, -1.0)
        n0x, n0y, n0z, own0 = _edge(sx, sy, inv_z, b, c, bx, by, bz, cx, cy, cz, side)
        n1x, n1y, n1z, own1 = _edge(sx, sy, inv_z, c, a, cx, cy, cz, ax, ay, az, side)
        n2x, n2y, n2z, own2 = _edge(sx, sy, inv_z, a, b, ax, ay, az, bx, by, bz, side)
        right, bottom = width + 1.0, height + 1.0
        hidden = (ax + az < 0) & (bx + bz < 0) & (cx + cz < 0)
        hidden |= (ax - right * az > 0) & (bx - right * bz > 0) & (cx - right * cz > 0)
        hidden |= (ay + az < 0) & (by + bz < 0) & (cy + cz < 0)
        hidden |= (ay - bottom * az > 0) & (by - bottom * bz > 0) & (cy - bottom * cz > 0)
        y_low, y_high = _reach(height + 2.0 + 0.0 * ay, -2.0 + 0.0 * ay, ay, az, by, bz, near)
        y_low, y_high = _reach(y_low, y_high, by, bz, cy, cz, near)
        y_low, y_high = _reach(y_low, y_high, cy, cz, ay, az, near)
        y0 = tl.maximum(tl.minimum(tl.floor(y_low) - 1, height), 0.0).to(tl.int32)
        y1 = tl.minimum(tl.maximum(tl.floor(y_high) + 1, -1.0), height - 1.0).to(tl.int32)
        y1 = tl.where(hidden | (volume == 0) | (volume != volume), -1, y1)
        inv_volume = 1.0 / tl.where(volume == 0, 1.0, volume)
        picture = keys + frame * height * width
        for top in range(y0 + share_of * ROWS, y1 + 1, shares * ROWS):
            row = top + tl.arange(0, ROWS)
            py = row.to(tl.float64) + 0.5
            low, high = -1.0 + 0.0 * py, width + 0.0 * py
            low, high = _bounds(n0x, n0y * py + n0z, low, high)
            low, high = _bounds(n1x, n1y * py + n1z, low, high)
            low, high = _bounds(n2x, n2y * py + n2z, low, high)
            first = tl.maximum(tl.floor(tl.minimum(low, width + 4.0)) - 1, 0.0).to(tl.int32)  # a pixel to spare
            last = tl.minimum(tl.floor(tl.maximum(high, -4.0)) + 1, width - 1.0).to(tl.int32)
            last = tl.where(row <= y1, last, first - 1)
            for start in range(0, tl.max(last - first, 0) + 1, COLUMNS):
                column = first[:, None] + (start + tl.arange(0, COLUMNS))[None, :]
                x, y = column.to(tl.float64) + 0.5, py[:, None]
                e0, e1, e2 = n0x * x + n0y * y + n0z, n1x * x + n1y * y + n1z, n2x * x + n2y * y + n2z
                covered = (column <= last[:, None]) & tl.where(own0, e0 >= 0, e0 > 0)
                covered &= tl.where(own1, e1 >= 0, e1 > 0) & tl.where(own2, e2 >= 0, e2 > 0)
                q0, q1, q2 = l0x * x + l0y * y + l0z, l1x * x + l1y * y + l1z, l2x * x + l2y * y + l2z
                total = (q0 + q1 + q2) * inv_volume
                covered &= (total >= far_inv) & (total * near <= 1.0)
                place = picture + row[:, None].to(tl.int64) * width + column
                wide = number + tl.zeros_like(column)
                tl.atomic_max(place, _key(total.to(tl.float32), wide), mask=covered, sem="relaxed")


@triton.jit
def _weights_of_cut(vertices, pose, lens, a, b, c, x, y, ok):
    """Corner weights over z of samples at pixel coordinates (x, y), and whether the back is seen."""
    ax, ay, az = _homogeneous(vertices, pose, lens, a, ok)
    bx, by, bz = _homogeneous(vertices, pose, lens, b, ok)
    cx, cy, cz = _homogeneous(vertices, pose, lens, c, ok)
    l0x, l0y, l0z, l1x, l1y, l1z, l2x, l2y, l2z, volume = _planes(ax, ay, az, bx, by, bz, cx, cy, cz)
    inverse = 1.0 / tl.where(volume == 0, 1.0, volume)
    q0 = tl.maximum((l0x * x + l0y * y + l0z) * inverse, 0.0)  # snapping may put a sample a hair outside
    q1 = tl.maximum((l1x * x + l1y * y + l1z) * inverse, 0.0)
    q2 = tl.maximum((l2x * x + l2y * y + l2z) * inverse, 0.0)
    return q0, q1, q2, volume < 0


@triton.jit(do_not_specialize=["faces_stride", "count", "grid_triangles", "grid_width", "height", "width"])
def resolve(
    vertices, sx, sy, inv_z, colors, faces, faces_stride, pose, lens, keys,
    colour,  # [B, H, W, 3] uint8, written
    mask,  # [B, H, W] uint8, written
    depth,  # [B, H, W] float32, written with WITH_DEPTH
    quad_flags,  # [B, quads] uint8 of QUAD_* bits, read with HAS_FLAGS
    count, grid_triangles, grid_width, height, width,
    HAS_FLAGS: tl.constexpr, ONE_SIDED: tl.constexpr, WITH_DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Perspective-correct colour of each sample from the triangle that won it; zero where alpha is too low."""
    frame = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < height * width
    at = frame * height * width + pixel
    key = tl.load(keys + at, mask=inside, other=0)
    drawn = key > 0
    number = (key & LAST_ID).to(tl.int32) ^ LAST_ID
    number = tl.where(drawn, number, 0)
    a, b, c = _corners(number, frame, faces, faces_stride, count, grid_triangles, grid_width, drawn)
    aw = tl.load(inv_z + a, mask=drawn, other=1.0)
    bw, cw = tl.load(inv_z + b, mask=drawn, other=1.0), tl.load(inv_z + c, mask=drawn, other=1.0)
    front = (aw > 0) & (bw > 0) & (cw > 0)
    ax, ay = _place(sx, sy, a, drawn)
    bx, by = _place(sx, sy, b, drawn)
    cx, cy = _place(sx, sy, c, drawn)
    row, column = pixel // width, pixel % width
    px, py = column.to(tl.int64) * 256 + HALF, row.to(tl.int64) * 256 + HALF
    area = _orientation(ax, ay, bx, by, cx, cy)
    away = area < 0  # seen from behind
    side = tl.where(away, -1, 1).to(tl.int64)
    inv_area = 1.0 / tl.maximum(tl.abs(area), 1).to(tl.float64)
    q0 = (side * _orientation(bx, by, cx, cy, px, py)).to(tl.float64) * inv_area * aw
    q1 = (side * _orientation(cx, cy, ax, ay, px, py)).to(tl.float64) * inv_area * bw
    q2 = (side * _orientation(ax, ay, bx, by, px, py)).to(tl.float64) * inv_area * cw
    was_cut = drawn & ~front
    if tl.max(was_cut.to(tl.int32), 0) > 0:
        x, y = column.to(tl.float64) + 0.5, row.to(tl.float64) + 0.5
        c0, c1, c2, turned = _weights_of_cut(vertices, pose + frame * 12, lens + frame * LENS, a, b, c, x, y, was_cut)
        q0, q1, q2 = tl.where(was_cut, c0, q0), tl.where(was_cut, c1, q1), tl.where(was_cut, c2, q2)
        away = tl.where(was_cut, turned, away)
    total = q0 + q1 + q2
    z = 1.0 / tl.where(drawn, total, 1.0)
    threshold, rounding = tl.load(lens + frame * LENS + 6), tl.load(lens + frame * LENS + 7)
    alpha = _blend(colors + 3, a, b, c, q0, q1, q2, z, drawn)
    seen = drawn & (alpha > threshold)
    if ONE_SIDED:
        seen = seen & ~away
    if HAS_FLAGS:
        on_grid = seen & (number < grid_triangles)
        flag = tl.load(quad_flags + frame * (grid_triangles // 2) + (number >> 1), mask=on_grid, other=0).to(tl.int32)
        seen = seen & (((flag >> (number & 1)) & 1) == 0)
    tl.store(mask + at, seen.to(tl.uint8), mask=inside)
    for n in tl.static_range(3):
        value = _blend(colors + n, a, b, c, q0, q1, q2, z, seen)
        level = tl.where(seen, value + rounding, 0.0).to(tl.int32).to(tl.uint8)
        tl.store(colour + at * 3 + n, level, mask=inside)
    if WITH_DEPTH:
        tl.store(depth + at, tl.where(seen, z, 0.0).to(tl.float32), mask=inside)


@triton.jit
def _blend(channel, a, b, c, q0, q1, q2, z, chosen):
    at_a = tl.load(channel + a * 4, mask=chosen, other=0).to(tl.float64)
    at_b = tl.load(channel + b * 4, mask=chosen, other=0).to(tl.float64)
    at_c = tl.load(channel + c * 4, mask=chosen, other=0).to(tl.float64)
    return (q0 * at_a + q1 * at_b + q2 * at_c) * z
