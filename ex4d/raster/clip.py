"""Clipping for triangles that reach behind the near plane or out of the guard band.

A cut point is computed from the edge's inside end towards its outside end, whichever way the triangle walks the edge,
so two triangles that share an edge get the very same point and stay joined.
"""

import numpy as np

from ex4d.compiled.kernel import borrowing, kernel
from ex4d.raster.kernels import BEHIND, GUARD, IN_FRONT, SUBPIXELS, Projected, Target, View, fill_triangle
from ex4d_ground.arrays import Float64

MAX_CORNERS = 8 + 1  # a triangle cut by five planes; one to spare for rounding
COLUMNS = 7  # x, y, z in camera axes, then RGBA


@borrowing
def cut(source: Float64, count: int, plane: Float64, target: Float64) -> int:
    """Keep the part of polygon ``source[:count]`` with plane . (x, y, z, 1) >= 0; returns the corners written."""
    written = 0
    for k in range(count):
        p, q = source[k], source[(k + 1) % count]
        dp = plane[0] * p[0] + plane[1] * p[1] + plane[2] * p[2] + plane[3]
        dq = plane[0] * q[0] + plane[1] * q[1] + plane[2] * q[2] + plane[3]
        if dp >= 0:
            for n in range(COLUMNS):  # a row at once would have numba compile its checks of shapes
                target[written, n] = p[n]
            written += 1
        if (dp >= 0) != (dq >= 0):
            inside, outside, d_in, d_out = (p, q, dp, dq) if dp >= 0 else (q, p, dq, dp)
            share = d_in / (d_in - d_out)
            for n in range(COLUMNS):
                target[written, n] = inside[n] + share * (outside[n] - inside[n])
            written += 1
    return written


@borrowing
def draw_any(a: int, b: int, c: int, hide: bool, points: Projected, view: View, target: Target) -> None:
    """Draw a triangle of any size, cut where that is needed."""
    state = view.state
    if state[a] | state[b] | state[c] == IN_FRONT:
        fill_triangle(a, b, c, hide, points, target)
    elif state[a] & state[b] & state[c] != BEHIND:
        draw_clipped(a, b, c, hide, points, view, target)


@kernel
def draw_clipped(a: int, b: int, c: int, hide: bool, points: Projected, view: View, target: Target) -> None:
    """Clip one triangle to the near plane and the guard band, and draw what is left."""
    count, piece = cut_to_view(a, b, c, points, view, target.nearest.shape[1], target.nearest.shape[0], np.int64(1))
    for k in range(1, count - 1):
        fill_triangle(0, k, k + 1, hide, piece, target)


@kernel
def cut_to_view(
    a: int, b: int, c: int, points: Projected, view: View, width: int, height: int, step: int
) -> tuple[int, Projected]:
    """What is left of a triangle, as the corners of a convex polygon (fewer than 3: nothing).

    Places are snapped to multiples of ``step`` subpixels.
    """
    fx, fy, cx, cy, near = view.lens[0], view.lens[1], view.lens[2], view.lens[3], view.lens[4]
    polygon = np.empty((MAX_CORNERS, COLUMNS))
    other = np.empty((MAX_CORNERS, COLUMNS))
    sx, sy = np.empty(MAX_CORNERS, np.int64), np.empty(MAX_CORNERS, np.int64)
    inv_z = np.empty(MAX_CORNERS)
    for k in range(3):
        v = (a, b, c)[k]
        x, y, z = view.vertices[v, 0], view.vertices[v, 1], view.vertices[v, 2]
        for n in range(3):
            polygon[k, n] = view.pose[n, 0] * x + view.pose[n, 1] * y + view.pose[n, 2] * z + view.pose[n, 3]
        for n in range(4):
            polygon[k, 3 + n] = points.colors[v, n]
    count = 0 if off_screen(polygon, view.lens, width, height) else 3
    guard = GUARD / SUBPIXELS
    planes = np.zeros((5, 4))  # a list of lists would have numba compile much more
    planes[0, 2], planes[0, 3] = 1.0, -near
    planes[1, 0], planes[1, 2] = fx, guard + cx
    planes[2, 0], planes[2, 2] = -fx, guard - cx
    planes[3, 1], planes[3, 2] = fy, guard + cy
    planes[4, 1], planes[4, 2] = -fy, guard - cy
    for k in range(5):
        if count >= 3:
            count = cut(polygon, count, planes[k], other)
            polygon, other = other, polygon
    scale = SUBPIXELS / step
    for k in range(count):
        inverse = 1.0 / max(polygon[k, 2], near)  # a cut point may fall short of near by rounding
        inv_z[k] = inverse
        sx[k] = np.int64(np.floor((fx * polygon[k, 0] * inverse + cx) * scale + 0.5)) * step
        sy[k] = np.int64(np.floor((fy * polygon[k, 1] * inverse + cy) * scale + 0.5)) * step
    return count, Projected(sx, sy, inv_z, polygon[:, 3:])


@borrowing
def off_screen(corners: Float64, lens: Float64, width: int, height: int) -> bool:
    """Whether all three corners lie behind the near plane, or outside the same side of the image (one pixel spare)."""
    fx, fy, cx, cy, near = lens[0], lens[1], lens[2], lens[3], lens[4]
    behind = left = right = top = bottom = True
    for k in range(3):
        x, y, z = corners[k, 0], corners[k, 1], corners[k, 2]
        behind = behind and z < near
        left = left and fx * x + (cx + 1) * z < 0
        right = right and fx * x + (cx - width - 1) * z > 0
        top = top and fy * y + (cy + 1) * z < 0
        bottom = bottom and fy * y + (cy - height - 1) * z > 0
    return behind or left or right or top or bottom
