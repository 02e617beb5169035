"""Triton kernels that turn depth into vertices, occluded faces and vertex colours, for a batch of frames.

They take the CPU kernels' decisions bit for bit (``ex4d/dwmesh/kernels.py``): the same products in the same order, the
angle test in float64, and no fused multiply-add, which the launches turn off.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["height", "width"])
def lift(
    depth,  # [B, H * W] float32
    ray_x,  # [W] float32
    ray_y,  # [H] float32
    border_depth,  # [1] float32
    vertices,  # [B, H * W, 3] float32, written
    height,
    width,
    BLOCK: tl.constexpr,
):
    """One vertex per pixel; the outermost rows and columns lie at the border depth."""
    frame = tl.program_id(1).to(tl.int64)
    v = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = v < height * width
    row, column = v // width, v % width
    at = frame * height * width + v
    edge = (row == 0) | (row == height - 1) | (column == 0) | (column == width - 1)
    z = tl.where(edge, tl.load(border_depth), tl.load(depth + at, mask=inside, other=1.0))
    tl.store(vertices + at * 3, tl.load(ray_x + column, mask=inside, other=0.0) * z, mask=inside)
    tl.store(vertices + at * 3 + 1, tl.load(ray_y + row, mask=inside, other=0.0) * z, mask=inside)
    tl.store(vertices + at * 3 + 2, z, mask=inside)


@triton.jit
def _corner(vertices, v, inside):
    x = tl.load(vertices + v * 3, mask=inside, other=0.0).to(tl.float64)
    y = tl.load(vertices + v * 3 + 1, mask=inside, other=0.0).to(tl.float64)
    z = tl.load(vertices + v * 3 + 2, mask=inside, other=0.0).to(tl.float64)
    return x, y, z


@triton.jit
def _thin(ax, ay, az, bx, by, bz, cx, cy, cz, tan_sq):
    """Whether the smallest angle's tangent^2 is below ``tan_sq``: the largest of the three dots decides."""
    ux, uy, uz = bx - ax, by - ay, bz - az
    vx, vy, vz = cx - ax, cy - ay, cz - az
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    uv = ux * vx + uy * vy + uz * vz
    uu, vv = ux * ux + uy * uy + uz * uz, vx * vx + vy * vy + vz * vz
    largest_dot = tl.maximum(uv, tl.maximum(uu - uv, vv - uv))
    return nx * nx + ny * ny + nz * nz < tan_sq * largest_dot * largest_dot


@triton.jit(do_not_specialize=["height", "width"])
def thin_faces(
    vertices,  # [B, H * W, 3] float32
    tan_sq,  # [1] float64
    flags,  # [B, F] int8 FACE_*, read with HAS_FLAGS
    occluded,  # [B, F] uint8, written for the grid's faces
    height,
    width,
    HAS_FLAGS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Both triangles of each quad, in the mesh's face order (all upper left, all lower right, two caps)."""
    frame = tl.program_id(1).to(tl.int64)
    columns = width - 1
    quads = (height - 1) * columns
    q = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = q < quads
    v00 = frame * height * width + (q // columns) * width + q % columns
    limit = tl.load(tan_sq)
    x00, y00, z00 = _corner(vertices, v00, inside)
    x01, y01, z01 = _corner(vertices, v00 + 1, inside)
    x10, y10, z10 = _corner(vertices, v00 + width, inside)
    x11, y11, z11 = _corner(vertices, v00 + width + 1, inside)
    upper = _thin(x10, y10, z10, x00, y00, z00, x01, y01, z01, limit)
    lower = _thin(x10, y10, z10, x01, y01, z01, x11, y11, z11, limit)
    at = frame * (2 * quads + 2) + q
    if HAS_FLAGS:
        flag = tl.load(flags + at, mask=inside, other=0)
        upper = (flag == 2) | ((flag == 0) & upper)
        flag = tl.load(flags + at + quads, mask=inside, other=0)
        lower = (flag == 2) | ((flag == 0) & lower)
    tl.store(occluded + at, upper.to(tl.uint8), mask=inside)
    tl.store(occluded + at + quads, lower.to(tl.uint8), mask=inside)


@triton.jit(do_not_specialize=["height", "width"])
def vertex_colors(
    frames,  # [B, H * W, 3] uint8
    occluded,  # [B, F] uint8
    colors,  # [B, H * W, 4] uint8, written
    height,
    width,
    BLANK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A vertex is visible when none of the faces around it (up to six, and the caps at the corners) is occluded."""
    frame = tl.program_id(1).to(tl.int64)
    v = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = v < height * width
    row, column = v // width, v % width
    columns = width - 1
    quads = (height - 1) * columns
    face = occluded + frame * (2 * quads + 2)
    q = row * columns + column  # the quad to the lower right
    above, below = inside & (row > 0), inside & (row < height - 1)
    left, right = column > 0, column < width - 1
    hidden = tl.load(face + q, mask=below & right, other=0)
    hidden |= tl.load(face + q - 1, mask=below & left, other=0)
    hidden |= tl.load(face + quads + q - 1, mask=below & left, other=0)
    hidden |= tl.load(face + q - columns, mask=above & right, other=0)
    hidden |= tl.load(face + quads + q - columns, mask=above & right, other=0)
    hidden |= tl.load(face + quads + q - columns - 1, mask=above & left, other=0)
    top, bottom = row == 0, row == height - 1
    on_both = (top & (column == 0)) | (bottom & (column == width - 1))
    caps = face + 2 * quads + tl.zeros_like(v)
    hidden |= tl.load(caps, mask=inside & (on_both | (top & (column == width - 1))), other=0)
    hidden |= tl.load(caps + 1, mask=inside & (on_both | (bottom & (column == 0))), other=0)
    at = frame * height * width + v
    for n in tl.static_range(3):
        value = tl.load(frames + at * 3 + n, mask=inside, other=0)
        if BLANK:
            value = tl.where(hidden != 0, 0, value).to(tl.uint8)
        tl.store(colors + at * 4 + n, value, mask=inside)
    tl.store(colors + at * 4 + 3, tl.where(hidden != 0, 0, 255).to(tl.uint8), mask=inside)
