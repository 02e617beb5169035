"""Colours of any depth on a picture that was drawn: the same triangles at the same samples, their own numbers.

The rasterizer has decided which surface each sample shows, and how far it is. Here every triangle is walked once more;
where it lies at just that distance, the sample is its, and takes the weighted mean of its corners' numbers. Coverage,
distance and weights are those of :func:`ex4d.raster.kernels.fill_triangle`, so nothing of the choice changes.
"""

import numpy as np

from ex4d.compiled.arrays import plain
from ex4d.compiled.kernel import inlined, kernel
from ex4d.raster.base import Camera
from ex4d.raster.clip import cut_to_view
from ex4d.raster.kernels import (
    BEHIND,
    HALF,
    IN_FRONT,
    SUBPIXELS,
    Number,
    Projected,
    View,
    corners_of,
    owns_edge,
    project,
    samples_of,
)
from ex4d.surface import QUAD_DROP, Surface
from ex4d_ground.arrays import Bool, Float32, Float64, Int32, UInt8
from ex4d_ground.options import RasterOptions


def redrawn(
    surface: Surface,
    numbers: Float32,  # [V, 4] per vertex: three colours, and alpha as the surface's
    camera: Camera,
    options: RasterOptions,
    inverse_depth: Float32,  # [H, W] of the drawn picture
    mask: Bool,  # [H, W] of the drawn picture
) -> tuple[Float32, Bool]:  # [H, W, 3], [H, W]
    """The numbers where ``mask`` is true, and where they were found; elsewhere 0.

    Not found are samples of another rasterizer's picture whose distance differs by rounding.
    """
    count, k = len(surface.vertices), camera.intrinsics
    lens: Float64 = np.array([k.fx, k.fy, k.cx, k.cy, options.near], np.float64)
    pose = np.ascontiguousarray(camera.camera_from_world[:3], np.float64)
    sx, sy, inv_z = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.float32)
    state, vertices = np.empty(count, np.uint8), plain(surface.vertices)
    project(vertices, pose, lens, 0, count, sx, sy, inv_z, state)
    points, view = Projected(sx, sy, inv_z, plain(numbers)), View(vertices, state, pose, lens)
    out, wanted = np.zeros((*mask.shape, 3), np.float32), mask.view(np.uint8).copy()
    height, width = max(surface.grid_height - 1, 0), max(surface.grid_width - 1, 0)
    flags = surface.quad_flags
    quads: UInt8 = np.zeros(height * width, np.uint8) if flags is None else plain(flags)
    limits = float(options.mask_threshold), 1.0 / options.far
    _grid(surface.grid_width, quads, surface.one_sided, points, view, limits, inverse_depth, wanted, out)
    _faces(plain(surface.faces), surface.one_sided, points, view, limits, inverse_depth, wanted, out)
    return out, mask & (wanted == 0)


@kernel
def _grid(
    width: int,
    quads: UInt8,
    one_sided: bool,
    points: Projected,
    view: View,
    limits: tuple[float, float],
    nearest: Float32,
    wanted: UInt8,
    out: Float32,
) -> None:
    # Unpacked once: to unpack is to count references, which costs more than a triangle.
    sx, sy, inv_z, colors, state = points.sx, points.sy, points.inv_z, points.colors, view.state
    rows, columns = nearest.shape
    v = 0
    for q in range(len(quads)):
        if v % width == width - 1:
            v += 1
        if not quads[q] & QUAD_DROP:
            for k in range(2):
                if (quads[q] >> k) & 1:
                    continue
                a, b, c = v + width, v + k, v + 1 + k * width
                if state[a] | state[b] | state[c] != IN_FRONT:
                    _cut(a, b, c, one_sided, points, view, limits, nearest, wanted, out)
                elif _touches(sx[a], sx[b], sx[c], columns) and _touches(sy[a], sy[b], sy[c], rows):
                    _triangle(a, b, c, one_sided, sx, sy, inv_z, colors, limits, nearest, wanted, out)
        v += 1


@inlined
def _touches(a: Number, b: Number, c: Number, count: int) -> bool:
    """Whether a sample of the picture lies between three places along one of its axes."""
    first, last = samples_of(a, b, c, 0, count - 1)
    return first <= last


@kernel
def _faces(
    faces: Int32,
    one_sided: bool,
    points: Projected,
    view: View,
    limits: tuple[float, float],
    nearest: Float32,
    wanted: UInt8,
    out: Float32,
) -> None:
    sx, sy, inv_z, colors, state = points.sx, points.sy, points.inv_z, points.colors, view.state
    for f in range(len(faces)):
        a, b, c = _corner(faces, f, 0), _corner(faces, f, 1), _corner(faces, f, 2)
        if state[a] | state[b] | state[c] == IN_FRONT:
            _triangle(a, b, c, one_sided, sx, sy, inv_z, colors, limits, nearest, wanted, out)
        else:
            _cut(a, b, c, one_sided, points, view, limits, nearest, wanted, out)


@inlined
def _corner(faces: Int32, f: int, k: int) -> Number:
    """A vertex's number as the grid's are: one type, one signature."""
    return np.int64(faces[f, k])


@kernel
def _cut(
    a: int,
    b: int,
    c: int,
    one_sided: bool,
    points: Projected,
    view: View,
    limits: tuple[float, float],
    nearest: Float32,
    wanted: UInt8,
    out: Float32,
) -> None:
    """A triangle that is not wholly in front."""
    if view.state[a] & view.state[b] & view.state[c] == BEHIND:
        return
    count, piece = cut_to_view(a, b, c, points, view, nearest.shape[1], nearest.shape[0], np.int64(1))
    px, py, inv_z, colors = piece.sx, piece.sy, piece.inv_z, piece.colors
    for k in range(1, count - 1):
        _triangle(0, k, k + 1, one_sided, px, py, inv_z, colors, limits, nearest, wanted, out)


@kernel
def _triangle(a, b, c, one_sided, sx, sy, inv_z, colors, limits, nearest, wanted, out):  # type: ignore[no-untyped-def]
    """Samples of one triangle that lie where the picture's surface does."""
    threshold, far_inv = limits
    ax, ay, bx, by, cx, cy, area = corners_of(a, b, c, sx, sy)
    if area == 0 or (area < 0 and one_sided):
        return
    if colors[a, 3] <= threshold and colors[b, 3] <= threshold and colors[c, 3] <= threshold:
        return
    if area < 0:
        b, c, bx, by, cx, cy, area = c, b, cx, cy, bx, by, -area
    height, width = nearest.shape
    x0, x1 = samples_of(ax, bx, cx, 0, width - 1)
    y0, y1 = samples_of(ay, by, cy, 0, height - 1)
    if x0 > x1 or y0 > y1:
        return
    inv_area, w0, w1, w2 = 1.0 / area, inv_z[a], inv_z[b], inv_z[c]
    dx0, dy0, dx1, dy1, dx2, dy2 = cx - bx, cy - by, ax - cx, ay - cy, bx - ax, by - ay
    own0, own1, own2 = owns_edge(dx0, dy0), owns_edge(dx1, dy1), owns_edge(dx2, dy2)
    for row in range(y0, y1 + 1):
        py, px = row * SUBPIXELS + HALF, x0 * SUBPIXELS + HALF
        e0 = dx0 * (py - by) - dy0 * (px - bx)
        e1 = dx1 * (py - cy) - dy1 * (px - cx)
        e2 = dx2 * (py - ay) - dy2 * (px - ax)
        for column in range(x0, x1 + 1):
            if (e0 + own0) | (e1 + own1) | (e2 + own2) >= 0 and wanted[row, column]:
                q0, q1, q2 = e0 * inv_area * w0, e1 * inv_area * w1, e2 * inv_area * w2
                total = q0 + q1 + q2
                if np.float32(total) == nearest[row, column] and total >= far_inv:
                    for k in range(3):
                        # A sample on a vertex is that vertex's to the last bit, infinity and NaN beside it or not.
                        if q0 == total:
                            out[row, column, k] = colors[a, k]
                        elif q1 == total:
                            out[row, column, k] = colors[b, k]
                        elif q2 == total:
                            out[row, column, k] = colors[c, k]
                        else:
                            mixed = q0 * colors[a, k] + q1 * colors[b, k] + q2 * colors[c, k]
                            out[row, column, k] = mixed / total
                    wanted[row, column] = 0
            e0, e1, e2 = e0 - dy0 * SUBPIXELS, e1 - dy1 * SUBPIXELS, e2 - dy2 * SUBPIXELS
