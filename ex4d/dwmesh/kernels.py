"""Compiled loops that turn depth into vertices and find occluded faces.

All run without the interpreter lock, so several frames (or bands of rows of one frame) build at the same time.
Every loop writes whole rows of contiguous arrays, which lets the compiler use vector instructions; those with a few
values per pixel are flattened first, because only then the stride is a constant to the compiler.
"""

import numpy as np

from ex4d.compiled.kernel import borrowing, kernel
from ex4d_ground.arrays import Bool, Float32, Float64


@kernel
def lift_rows(
    depth: Float32,  # [H, W]
    ray_x: Float32,  # [W] (column - cx) / fx
    ray_y: Float32,  # [H] (row - cy) / fy
    border_depth: float,
    first: int,
    last: int,
    vertices: Float32,  # [H * W, 3] written for rows first..last-1
) -> None:
    """Vertices of rows ``first`` to ``last`` (exclusive); outermost rows and columns get ``border_depth``."""
    height, width = depth.shape
    border = np.float32(border_depth)
    edge = np.full(width, border, np.float32)
    for j in range(first, last):
        row = edge if j == 0 or j == height - 1 else depth[j]
        out = vertices[j * width : (j + 1) * width].reshape(-1)
        for i in range(width):
            z = border if i == 0 or i == width - 1 else row[i]
            out[3 * i] = ray_x[i] * z
            out[3 * i + 1] = ray_y[j] * z
            out[3 * i + 2] = z


@borrowing
def _load_row(vertices: Float32, row: int, width: int, out: Float64) -> None:  # out [3, W]
    source = vertices[row * width : (row + 1) * width].reshape(-1)
    x, y, z = out[0], out[1], out[2]
    for i in range(width):
        x[i] = source[3 * i]
        y[i] = source[3 * i + 1]
        z[i] = source[3 * i + 2]


@borrowing
def _thin_row(a: Float64, b: Float64, c: Float64, ai: int, bi: int, ci: int, tan_sq: float, out: Bool) -> None:
    """Mark the triangles (a[:, i+ai], b[:, i+bi], c[:, i+ci]) whose smallest angle has a tangent^2 below ``tan_sq``.

    The angle at a corner is below the limit where |cross| < tan * dot with dot > 0. The cross product's length is
    the same at all corners, so the largest of the three dots decides: no root and no arc cosine.
    """
    for i in range(out.shape[0]):
        ux = b[0, i + bi] - a[0, i + ai]
        uy = b[1, i + bi] - a[1, i + ai]
        uz = b[2, i + bi] - a[2, i + ai]
        vx = c[0, i + ci] - a[0, i + ai]
        vy = c[1, i + ci] - a[1, i + ai]
        vz = c[2, i + ci] - a[2, i + ai]
        nx = uy * vz - uz * vy
        ny = uz * vx - ux * vz
        nz = ux * vy - uy * vx
        uv = ux * vx + uy * vy + uz * vz
        uu = ux * ux + uy * uy + uz * uz
        vv = vx * vx + vy * vy + vz * vz
        largest_dot = max(uv, max(uu - uv, vv - uv))
        out[i] = nx * nx + ny * ny + nz * nz < tan_sq * largest_dot * largest_dot


@kernel
def thin_grid_faces(
    vertices: Float32,  # [H * W, 3]
    height: int,
    width: int,
    tan_sq: float,
    first: int,
    last: int,
    thin: Bool,  # [>= 2 * (H - 1) * (W - 1)] written for quad rows first..last-1
) -> None:
    """Which grid faces have their smallest interior angle below the limit, in the mesh's face order."""
    quads = width - 1
    half = (height - 1) * quads
    upper = np.empty((3, width))
    lower = np.empty((3, width))
    _load_row(vertices, first, width, lower)
    for j in range(first, last):
        upper, lower = lower, upper
        _load_row(vertices, j + 1, width, lower)
        start = j * quads
        _thin_row(lower, upper, upper, 0, 0, 1, tan_sq, thin[start : start + quads])
        _thin_row(lower, upper, lower, 0, 1, 1, tan_sq, thin[half + start : half + start + quads])


@borrowing
def visible_grid_rows(
    occluded: Bool,  # [>= 2 * (H - 1) * (W - 1)] in the mesh's face order
    height: int,
    width: int,
    first: int,
    last: int,
    visible: Bool,  # [H * W] written for vertex rows first..last-1
) -> None:
    """A vertex is visible when none of the (up to six) grid faces around it is occluded."""
    quads = width - 1
    half = (height - 1) * quads
    for j in range(first, last):
        row = visible[j * width : (j + 1) * width]
        row[:] = True
        if j < height - 1:  # the quads below this row of vertices
            up = occluded[j * quads : (j + 1) * quads]
            low = occluded[half + j * quads : half + (j + 1) * quads]
            for i in range(quads):
                row[i] &= not up[i]
            for i in range(quads):
                row[i + 1] &= not (up[i] | low[i])
        if j > 0:  # the quads above
            up = occluded[(j - 1) * quads : j * quads]
            low = occluded[half + (j - 1) * quads : half + j * quads]
            for i in range(quads):
                row[i] &= not (up[i] | low[i])
            for i in range(quads):
                row[i + 1] &= not low[i]


@borrowing
def fill_colors(frame: np.ndarray, visible: Bool, blank: bool, first: int, last: int, colors: np.ndarray) -> None:
    """RGBA per vertex from ``frame`` [HW, 3]: alpha 255 where visible, else 0 (and black with ``blank``)."""
    source, seen, out = frame[first:last].reshape(-1), visible[first:last], colors[first:last].reshape(-1)
    always = not blank
    for v in range(last - first):
        keep = seen[v] | always
        out[4 * v] = source[3 * v] if keep else 0
        out[4 * v + 1] = source[3 * v + 1] if keep else 0
        out[4 * v + 2] = source[3 * v + 2] if keep else 0
        out[4 * v + 3] = 255 if seen[v] else 0


@borrowing
def fill_ringed_colors(
    frame: np.ndarray,  # [H, W, 3]
    hidden: Bool,  # [H * W], or empty for none
    first: int,
    last: int,
    colors: np.ndarray,  # [(H + 2) * (W + 2), 4] written for rows first..last-1 of the ringed grid
) -> None:
    """RGBA of a grid with a hidden ring around the picture: alpha 255 but where ``hidden``."""
    height, width = frame.shape[0], frame.shape[1]
    for j in range(first, last):
        row = colors[j * (width + 2) : (j + 1) * (width + 2)].reshape(-1)
        if j == 0 or j == height + 1:
            row[:] = 0
            continue
        row[:4] = 0
        row[4 * (width + 1) :] = 0
        source, out = frame[j - 1].reshape(-1), row[4:]
        for i in range(width):
            out[4 * i] = source[3 * i]
            out[4 * i + 1] = source[3 * i + 1]
            out[4 * i + 2] = source[3 * i + 2]
            out[4 * i + 3] = 255
        if hidden.size > 0:
            for i in range(width):
                if hidden[(j - 1) * width + i]:
                    out[4 * i + 3] = 0
