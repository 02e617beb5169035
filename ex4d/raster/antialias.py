"""Drawing on the CPU as the published program's rasterizer does: coarser places of vertices, antialiased silhouettes.

Vertices are snapped to 1/16 pixel. The rule of antialiasing is that of Laine et al., Modular primitives for
high-performance differentiable rendering (2020), section 3.3: where two neighbouring pixels show different triangles,
the nearer one's edge that crosses between their centres is looked at. If it is a silhouette (no triangle on its other
side, or one that is folded back) and runs across the line between the centres rather than along it, the pixel past
whose border it reaches takes a share of the other's colour and alpha: as much as the edge reaches past the border.

For that, each pixel has to know its triangle and its unrounded colour, so this draws by itself and is slower.
"""

from functools import lru_cache

import numpy as np

from ex4d.bands import Pause
from ex4d.compiled.kernel import inlined, kernel
from ex4d.raster.base import Camera
from ex4d.raster.clip import cut_to_view
from ex4d.raster.kernels import (
    BEHIND,
    DARKER,
    HALF,
    IN_FRONT,
    Number,
    Projected,
    View,
    corners_of,
    owns_edge,
    samples_of,
)
from ex4d.raster.subpixels import SUBPIXELS
from ex4d.surface import QUAD_DROP, QUAD_HIDE_LOWER, QUAD_HIDE_UPPER, Surface, grid_faces
from ex4d_ground.arrays import Bool, Float32, Float64, Int32, UInt8
from ex4d_ground.options import RasterOptions

NOTHING = -1
REACH = 1 / 16
"""How far outside the line between two centres a crossing may be, for rounding, and still count."""
PUBLISHED_STEP = SUBPIXELS // 16
"""Subpixels between the places that vertices are snapped to."""
_TRIANGLES = 1 << 16  # drawn between two pauses


def draw_antialiased(
    surface: Surface,
    camera: Camera,
    options: RasterOptions,
    points: Projected,
    view: View,
    nearest: Float32,
    pause: Pause,
) -> tuple[UInt8, Bool]:  # [H, W, 3], [H, W]
    """Colour and mask of projected ``points``; ``nearest`` [H, W] becomes 1 / z of what is seen, 0 for nothing.

    The places of ``points`` are snapped anew.
    """
    faces, hidden, opposite = published_topology(
        (surface.grid_height, surface.grid_width), surface.quad_flags, surface.faces
    )
    image, seen = to_image(surface.vertices, camera)
    front = view.state == IN_FRONT
    for axis, snapped in enumerate((points.sx, points.sy)):
        snapped[front] = np.floor(image[front, axis] * (SUBPIXELS / PUBLISHED_STEP) + 0.5) * PUBLISHED_STEP
    number = np.full(nearest.shape, NOTHING, np.int32)
    nearest[...] = 0
    for first in range(0, len(faces), _TRIANGLES):
        pause()
        last = min(first + _TRIANGLES, len(faces))
        _mark(faces, first, last, points, view, 1.0 / options.far, nearest, number)
    pause()
    values = np.zeros((*nearest.shape, 4))
    _shade(faces, hidden, surface.one_sided, number, seen, points.colors, camera_lens(camera), values)
    pause()
    blended = values.copy()
    _blend(faces, opposite, number, nearest, image, values, blended)
    mask = blended[..., 3] > options.mask_threshold
    rounding = DARKER if options.round_colors_down else 0.5
    colour = np.where(mask[..., None], np.clip(blended[..., :3] + rounding, 0, 255), 0).astype(np.uint8)
    return colour, mask


def camera_lens(camera: Camera) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy."""
    k = camera.intrinsics
    return k.fx, k.fy, k.cx, k.cy


def to_image(vertices: Float32, camera: Camera) -> tuple[Float64, Float64]:  # [V, 2], [V, 3]
    """Image coordinates in pixels (beyond all sense where z is near 0), and the vertices in camera axes."""
    pose = camera.camera_from_world
    seen = vertices @ pose[:3, :3].T + pose[:3, 3]
    fx, fy, cx, cy = camera_lens(camera)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return seen[:, :2] / seen[:, 2:] * (fx, fy) + (cx, cy), seen


def published_topology(
    grid: tuple[int, int], quad_flags: UInt8 | None, further: Int32
) -> tuple[Int32, UInt8, Int32]:  # [F, 3], [F], [F, 3]
    """All triangles of a surface in the order of their numbers, which of them are hidden, and their neighbours.

    ``grid`` is rows and columns of vertices. The last is as of :func:`opposite_vertices`. Dropped triangles have three
    times the same vertex.
    """
    return _topology(grid, b"" if quad_flags is None else quad_flags.tobytes(), further.tobytes())


@lru_cache(maxsize=2)
def _topology(size: tuple[int, int], quad_flags: bytes, further: bytes) -> tuple[Int32, UInt8, Int32]:
    faces = np.frombuffer(further, np.int32).reshape(-1, 3)
    if 0 not in size:
        faces = np.concatenate([grid_faces(*size), faces])
    hidden = np.zeros(len(faces), np.uint8)
    if quad_flags:
        flags = np.frombuffer(quad_flags, np.uint8)
        count = len(flags)
        hidden[:count], hidden[count : 2 * count] = flags & QUAD_HIDE_UPPER, flags & QUAD_HIDE_LOWER
        faces[: 2 * count][np.tile(flags & QUAD_DROP, 2) > 0] = 0
    return faces, hidden, opposite_vertices(faces)


def opposite_vertices(faces: Int32) -> Int32:  # [F, 3] -> [F, 3]
    """Per corner of a triangle, the third vertex of the triangle beyond the edge opposite to it; -1 for none."""
    apex = faces.T.reshape(-1)
    start, end = faces[:, [1, 2, 0]].T.reshape(-1), faces[:, [2, 0, 1]].T.reshape(-1)
    edge = np.minimum(start, end).astype(np.int64) << 32 | np.maximum(start, end)
    real = np.tile((faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0]), 3)
    order = np.flatnonzero(real)[np.argsort(edge[real], kind="stable")]
    found = np.full(apex.shape, -1, np.int32)
    same = edge[order[1:]] == edge[order[:-1]]
    found[order[1:][same]] = apex[order[:-1][same]]
    found[order[:-1][same]] = apex[order[1:][same]]
    return np.ascontiguousarray(found.reshape(3, -1).T)


@kernel
def _mark(
    faces: Int32,
    first: int,
    last: int,
    points: Projected,
    view: View,
    far_inv: float,
    nearest: Float32,  # [H, W] largest 1 / z so far
    number: Int32,  # [H, W] the triangle that has it
) -> None:
    """Enter triangles ``first..last-1`` into the z-buffer, cut where that is needed."""
    for n in range(first, last):
        a, b, c = np.int64(faces[n, 0]), np.int64(faces[n, 1]), np.int64(faces[n, 2])
        if view.state[a] | view.state[b] | view.state[c] == IN_FRONT:
            _mark_one(n, a, b, c, points, far_inv, nearest, number)
        elif view.state[a] & view.state[b] & view.state[c] != BEHIND:
            height, width = nearest.shape
            count, piece = cut_to_view(a, b, c, points, view, width, height, np.int64(PUBLISHED_STEP))
            for k in range(1, count - 1):
                _mark_one(n, 0, k, k + 1, piece, far_inv, nearest, number)


@kernel
def _mark_one(
    n: int, a: int, b: int, c: int, points: Projected, far_inv: float, nearest: Float32, number: Int32
) -> None:
    """Enter one triangle; coverage and depth as :func:`ex4d.raster.kernels.fill_triangle` decides them."""
    sx, sy, inv_z = points.sx, points.sy, points.inv_z
    ax, ay, bx, by, cx, cy, area = corners_of(a, b, c, sx, sy)
    if area < 0:
        b, c, bx, by, cx, cy, area = c, b, cx, cy, bx, by, -area
    height, width = nearest.shape
    x0, x1 = samples_of(ax, bx, cx, 0, width - 1)
    y0, y1 = samples_of(ay, by, cy, 0, height - 1)
    if area == 0 or x0 > x1 or y0 > y1:
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
            if (e0 + own0) | (e1 + own1) | (e2 + own2) >= 0:
                total = e0 * inv_area * w0 + e1 * inv_area * w1 + e2 * inv_area * w2
                depth = np.float32(total)
                if depth > nearest[row, column] and total >= far_inv:
                    nearest[row, column], number[row, column] = depth, n
            e0, e1, e2 = e0 - dy0 * SUBPIXELS, e1 - dy1 * SUBPIXELS, e2 - dy2 * SUBPIXELS


@kernel
def _shade(
    faces: Int32,
    hidden: UInt8,
    one_sided: bool,
    number: Int32,
    seen: Float64,  # [V, 3] camera axes
    colors: UInt8,
    lens: tuple[float, float, float, float],
    values: Float64,  # [H, W, 4] out: RGBA, 0 where nothing is
) -> None:
    """Perspective-correct RGBA; alpha 0 where the triangle is hidden."""
    fx, fy, cx, cy = lens
    for row in range(number.shape[0]):
        for column in range(number.shape[1]):
            n = number[row, column]
            if n == NOTHING:
                continue
            a, b, c = faces[n, 0], faces[n, 1], faces[n, 2]
            x, y = (column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy
            q0, q1, q2 = (
                _volume(x, y, seen[b], seen[c]),
                _volume(x, y, seen[c], seen[a]),
                _volume(x, y, seen[a], seen[b]),
            )
            back = q0 + q1 + q2 < 0
            if back:
                q0, q1, q2 = -q0, -q1, -q2
            q0, q1, q2 = max(q0, 0.0), max(q1, 0.0), max(q2, 0.0)  # snapping may put a sample a hair outside
            total = q0 + q1 + q2
            if total > 0:
                shown = 3 if hidden[n] or (one_sided and back) else 4
                for k in range(shown):
                    values[row, column, k] = (q0 * colors[a, k] + q1 * colors[b, k] + q2 * colors[c, k]) / total


@inlined
def _volume(x: Number, y: Number, p: Float64, q: Float64) -> Number:
    """(x, y, 1) . (p x q): the weight over z of the corner opposite to the edge p q."""
    return x * (p[1] * q[2] - p[2] * q[1]) + y * (p[2] * q[0] - p[0] * q[2]) + (p[0] * q[1] - p[1] * q[0])


@kernel
def _blend(
    faces: Int32,
    opposite: Int32,
    number: Int32,
    nearest: Float32,
    image: Float64,  # [V, 2]
    values: Float64,  # [H, W, 4] before
    blended: Float64,  # [H, W, 4] a copy of them, changed
) -> None:
    """Blend each pixel with its right and its lower neighbour where a silhouette runs between them."""
    height, width = number.shape
    for row in range(height):
        for column in range(width):
            for down in range(2):
                row1, column1 = row + down, column + 1 - down
                if row1 == height or column1 == width or number[row, column] == number[row1, column1]:
                    continue
                n0, n1 = number[row, column], number[row1, column1]
                first = n1 == NOTHING or (n0 != NOTHING and nearest[row, column] > nearest[row1, column1])
                if first:
                    share = _share(faces[n0], opposite[n0], image, column + 0.5, row + 0.5, down, 1.0)
                else:
                    share = _share(faces[n1], opposite[n1], image, column1 + 0.5, row1 + 0.5, down, -1.0)
                # Positive: the first pixel takes this share of the second's colour; negative: the other way round.
                to_row, to_column = (row, column) if share > 0 else (row1, column1)
                for k in range(4):
                    blended[to_row, to_column, k] += share * (values[row1, column1, k] - values[row, column, k])


@kernel
def _share(corners: Int32, across: Int32, image: Float64, x: float, y: float, down: int, side: float) -> float:
    """How much a pixel takes of its neighbour: 1/2 minus the distance from the centre (x, y) to the silhouette.

    ``side`` is 1 where the triangle belongs to the first (left or upper) pixel, else -1.
    """
    best, result = -np.inf, 0.0
    turn = _turn(image[corners[0]], image[corners[1]], image[corners[2]])
    for k in range(3):
        start, end = image[corners[(k + 1) % 3]], image[corners[(k + 2) % 3]]
        # Along the line between the centres, and across it.
        p, q = (start[1] - y, start[0] - x) if down else (start[0] - x, start[1] - y)
        r, s = (end[1] - y, end[0] - x) if down else (end[0] - x, end[1] - y)
        if (q >= 0) == (s >= 0):
            continue  # the edge does not cross that line
        distance = side * (p - q * (r - p) / (s - q))
        if not distance > best:
            continue
        best, result = distance, 0.0
        is_outline = across[k] < 0 or (_turn(image[across[k]], start, end) >= 0) == (turn >= 0)
        if is_outline and abs(s - q) >= abs(r - p) and -REACH < distance < 1 + REACH:
            result = side * (0.5 - min(max(distance, 0.0), 1.0))
    return result


@inlined
def _turn(a: Float64, b: Float64, c: Float64) -> Number:
    """Twice the signed area of a triangle on the image."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
