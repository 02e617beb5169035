"""Triton kernels of what world memory changes in a solid mesh: walls end where frames look through them, and bridges
give way to what was seen. They take the CPU's decisions bit for bit, as :mod:`ex4d.dwmesh.gpu.memory_kernels`."""

from __future__ import annotations

import triton
import triton.language as tl

from ex4d.dwmesh.gpu.memory_kernels import (
    BRIDGE,
    DEPTH,
    DOWN,
    LEAST,
    LENS,
    PITCH_X,
    PITCH_Y,
    POSE,
    RIGHT,
    WALL_DEPTH,
    WALL_FRAMES,
    WALL_MOVES,
    X,
    Y,
    _moved,
    _pixel,
    _shown_at,
    _within,
)


@triton.jit
def _ratios(x, y, z, pose, lens, depth, crossed, nearest, height, width, least, ok):
    """What a frame shows where a point should be and the least around it, as shares of the point's depth; and whether
    it is in the picture."""
    a, b, c = _moved(pose, x, y, z, True)
    before = c > 0
    c = tl.where(before, c, 1.0)
    u, v = _pixel(a, b, c, lens, True)
    inside = ok & before & (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    shown = _shown_at(depth, crossed, u, v, height, width, width - 1, least, inside)
    place = (v + 0.5).to(tl.int32) * width + (u + 0.5).to(tl.int32)
    around = tl.load(nearest + place, mask=inside, other=1.0).to(tl.float64)
    return shown / c, around / c, inside


@triton.jit(do_not_specialize=["grid_height", "grid_width", "most", "count", "height", "width", "steps"])
def limit_corners(
    times,  # [B] int32
    inverse, cuts,  # [B, G] float32 and uint8 of the ringed grid
    ends,  # [B, 3, grid_height] int32 from list_cuts
    quads,  # [B, most, 2] int32 from list_cuts
    ray_x, ray_y,  # float32 of the ringed grid
    depths, crossed, nearest,  # [K, h * w] float32, [K, (h - 1) * (w - 1)] uint8, [K, h * w] float32
    poses,  # [T, K, 16] axes of each witness from those of each frame
    lenses, numbers,
    thickness,  # [B, most, 4] float32, shortened
    grid_height, grid_width, most, count, height, width, steps,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Shorten the walls at the corners of cut quads to where other frames look through them."""
    frame = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    quad, corner = n // 4, n % 4  # clockwise from the upper left
    ok = quad < tl.load(ends + frame * 3 * grid_height + 2 * grid_height - 1)
    first = tl.load(quads + (frame * most + quad) * 2, mask=ok, other=0)
    right, below = ((corner == 1) | (corner == 2)).to(tl.int32), (corner >= 2).to(tl.int32)
    j, i = first // grid_width + below, first % grid_width + right
    ok &= (j > 0) & (j < grid_height - 1) & (i > 0) & (i < grid_width - 1)
    at = frame * grid_height * grid_width + j * grid_width + i
    cut = tl.load(cuts + at, mask=ok, other=0).to(tl.int32)
    cut |= tl.load(cuts + at - 1, mask=ok, other=0).to(tl.int32) & RIGHT
    cut |= tl.load(cuts + at - grid_width, mask=ok, other=0).to(tl.int32) & DOWN
    ok &= cut != 0
    own = tl.div_rn(1.0, tl.load(inverse + at, mask=ok, other=1.0)).to(tl.float64)
    full = tl.load(thickness + frame * most * 4 + n, mask=ok, other=0.0)
    far, limit, open_ = full.to(tl.float64), full, ok
    x, y = tl.load(ray_x + i, mask=ok, other=0.0).to(tl.float64), tl.load(ray_y + j, mask=ok, other=0.0).to(tl.float64)
    same, least = tl.load(numbers + DEPTH), tl.load(numbers + LEAST)
    behind = 1 + tl.load(numbers + WALL_DEPTH)
    pose, size = poses + tl.load(times + frame) * count * POSE, height * width
    for step in range(steps + 1):
        z = own + far * step / steps
        there, through = tl.zeros((BLOCK,), tl.int32), tl.zeros((BLOCK,), tl.int32)
        for k in range(count):
            shown, lens = depths + k * size, lenses + k * LENS
            quad_marks = crossed + k * (height - 1) * (width - 1)
            ratio, around, seen = _ratios(
                x * z, y * z, z, pose + k * POSE, lens, shown, quad_marks, nearest + k * size, height, width, least,
                open_,
            )  # fmt: skip
            met = seen & ((tl.abs(ratio - 1) <= same) | (tl.abs(around - 1) <= same))
            there += met.to(tl.int32)
            past = tl.where(step == 0, around > 1, ratio > behind)
            through += (seen & past & ((step > 0) | ~met)).to(tl.int32)
        if step == 0:
            moves = through.to(tl.float64) > tl.load(numbers + WALL_MOVES) * there.to(tl.float64)
            open_ &= (there >= 2) & ~moves
        else:
            stops = open_ & (through.to(tl.float64) >= tl.load(numbers + WALL_FRAMES))
            limit = tl.where(stops, (far * (step - 1) / steps).to(tl.float32), limit)
            open_ &= ~stops
    tl.store(thickness + frame * most * 4 + n, limit, mask=ok)


@triton.jit(do_not_specialize=["grid_height", "grid_width", "size", "most"])
def push_bridges(
    ends,  # [B, 3, grid_height] int32 from list_cuts
    hidden,  # [B, (grid_height - 2) * (grid_width - 2)] uint8
    numbers,
    vertices,  # [B, most, 3] float32; bridges under whose middle something was seen move behind it
    grid_height, grid_width,
    size,  # vertices before those of the first wall
    most,
    SIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Bridges are guesses, and give way to what was seen."""
    frame = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    end = ends + frame * 3 * grid_height + grid_height - 1
    ok = n < tl.load(end + 2 * grid_height)
    first = vertices + (frame * most + size + SIDE * tl.load(end) + 4 * n) * 3
    x, y = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for corner in tl.static_range(4):
        z = tl.load(first + 3 * corner + 2, mask=ok, other=1.0)
        x += tl.div_rn(tl.load(first + 3 * corner, mask=ok, other=0.0), z)
        y += tl.div_rn(tl.load(first + 3 * corner + 1, mask=ok, other=0.0), z)
    along = (x * 0.25 - tl.load(numbers + X).to(tl.float32)).to(tl.float64) / tl.load(numbers + PITCH_X)
    down = (y * 0.25 - tl.load(numbers + Y).to(tl.float32)).to(tl.float64) / tl.load(numbers + PITCH_Y)
    # To the nearest pixel; halves go to the even one, as on the CPU.
    column, row = _rounded(along), _rounded(down)
    width, height = grid_width - 2, grid_height - 2
    place = _within(row, height - 1) * width + _within(column, width - 1)
    back = ok & (tl.load(hidden + frame * height * width + place, mask=ok, other=0) != 0)
    factor = tl.load(numbers + BRIDGE).to(tl.float32)
    for value in tl.static_range(12):
        tl.store(first + value, tl.load(first + value, mask=back, other=0.0) * factor, mask=back)


@triton.jit
def _rounded(x):
    """The nearest integer, of two the even one."""
    low = tl.floor(x)
    rest, n = x - low, low.to(tl.int32)
    return n + ((rest > 0.5) | ((rest == 0.5) & ((n & 1) != 0))).to(tl.int32)
