"""Triton kernels of what world memory changes in a solid mesh: walls end where frames look through them, and bridges go
where frames know what is there. They take the CPU's decisions bit for bit, as :mod:`ex4d.dwmesh.gpu.memory_kernels`."""

from __future__ import annotations

import triton
import triton.language as tl

from ex4d.dwmesh.gpu.memory_kernels import (
    DEPTH,
    DOWN,
    LEAST,
    LENS,
    POSE,
    RIGHT,
    WALL_DEPTH,
    WALL_FRAMES,
    WALL_MOVES,
    _moved,
    _pixel,
    _shown_at,
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


@triton.jit(do_not_specialize=["grid_height", "size", "most", "count", "height", "width", "steps"])
def drop_bridges(
    times,  # [B] int32
    ends,  # [B, 3, grid_height] int32 from list_cuts
    depths, crossed, nearest,  # [K, h * w] float32, [K, (h - 1) * (w - 1)] uint8, [K, h * w] float32
    poses,  # [T, K, 16] axes of each witness from those of each frame
    lenses, numbers,
    vertices,  # [B, most, 3] float32; what is dropped keeps its first corner alone
    grid_height,
    size,  # vertices before those of the first wall
    most, count, height, width, steps,
    SIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Take their area from bridges in whose place enough frames see a surface, or look through it."""
    frame = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    end = ends + frame * 3 * grid_height + grid_height - 1
    ok = n < tl.load(end + 2 * grid_height)
    first = vertices + (frame * most + size + SIDE * tl.load(end) + 4 * n) * 3
    x, along_x = _middles(first, ok)
    y, along_y = _middles(first + 1, ok)
    z, along_z = _middles(first + 2, ok)
    ok &= (along_x != 0) | (along_y != 0) | (along_z != 0)
    same, least, behind = tl.load(numbers + DEPTH), tl.load(numbers + LEAST), 1 + tl.load(numbers + WALL_DEPTH)
    pose, pixels, frames = poses + tl.load(times + frame) * count * POSE, height * width, tl.load(numbers + WALL_FRAMES)
    open_ = ok
    for step in range(steps):
        there, through = tl.zeros((BLOCK,), tl.int32), tl.zeros((BLOCK,), tl.int32)
        part, parts = 2 * step + 1, 2 * steps
        for k in range(count):
            ratio, around, seen = _ratios(
                x + along_x * part / parts, y + along_y * part / parts, z + along_z * part / parts,
                pose + k * POSE, lenses + k * LENS, depths + k * pixels, crossed + k * (height - 1) * (width - 1),
                nearest + k * pixels, height, width, least, open_,
            )  # fmt: skip
            there += (seen & ((tl.abs(ratio - 1) <= same) | (tl.abs(around - 1) <= same))).to(tl.int32)
            through += (seen & (ratio > behind)).to(tl.int32)
        open_ &= tl.maximum(there, through).to(tl.float64) < frames
    for corner in tl.static_range(1, 4):
        for axis in tl.static_range(3):
            value = tl.load(first + axis, mask=ok, other=0.0)
            tl.store(first + 3 * corner + axis, value, mask=ok & ~open_)


@triton.jit
def _middles(first, ok):
    """One coordinate of a bridge's left end, and the way from there to its right end; its corners are three apart."""
    start = tl.load(first, mask=ok, other=1.0).to(tl.float64) + tl.load(first + 6, mask=ok, other=1.0).to(tl.float64)
    end = tl.load(first + 3, mask=ok, other=1.0).to(tl.float64) + tl.load(first + 9, mask=ok, other=1.0).to(tl.float64)
    return start * 0.5, end * 0.5 - start * 0.5
