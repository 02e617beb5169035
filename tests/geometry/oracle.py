"""The slow rasterizer that is obviously right: every triangle is tested at every sample, in plain numpy.

It follows the rules of :mod:`ex4d.raster.base` to the letter and shares no code with the fast ones; tests hold those
against it. There is no guard band here: snapped coordinates are Python integers of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ex4d.raster.base import Camera, check_planes
from ex4d.raster.subpixels import SUBPIXELS
from ex4d.surface import QUAD_DROP, QUAD_HIDE_LOWER, QUAD_HIDE_UPPER, Surface
from ex4d_ground.arrays import Bool, Float64, Int32, UInt8
from ex4d_ground.options import RasterOptions


@dataclass(frozen=True)
class Samples:
    """What is known about each sample after all triangles were drawn."""

    nearest: Float64  # [H, W] 1 / z of the nearest surface, 0 where there is none
    second: Float64  # [H, W] 1 / z of the one behind it
    rgba: Float64  # [H, W, 4] of the nearest surface, 0..255
    covered: Int32  # [H, W] how many triangles cover the sample (at any depth up to far)


class OracleRasterizer:
    """Reference implementation; minutes for a large picture."""

    name = "oracle"

    def draw(
        self, surface: Surface, camera: Camera, options: RasterOptions = RasterOptions()
    ) -> tuple[UInt8, Bool]:  # [H, W, 3], [H, W]
        """Colour (zero outside the mask) and mask. Raises RasterError for planes that cannot be used."""
        samples = sample(surface, camera, options)
        mask = samples.rgba[..., 3] > options.mask_threshold
        colour = np.floor(samples.rgba[..., :3] + (1e-3 if options.round_colors_down else 0.5)).astype(np.uint8)
        return np.where(mask[..., None], colour, np.uint8(0)), mask


def sample(surface: Surface, camera: Camera, options: RasterOptions = RasterOptions()) -> Samples:
    """Draw everything, keeping the two nearest depths per sample. Raises RasterError for unusable planes."""
    check_planes(options)
    k = camera.intrinsics
    shape = (k.height, k.width)
    result = Samples(np.zeros(shape), np.zeros(shape), np.zeros((*shape, 4)), np.zeros(shape, np.int32))
    pose = camera.camera_from_world
    points = surface.vertices.astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]
    shows = [not hidden for _, hidden in _grid(surface)] + [True] * len(surface.faces)
    for face, shown in zip(all_faces(surface), shows, strict=True):
        corners = np.concatenate(
            [points[face], surface.colors[face].astype(np.float64)], axis=1
        )  # [3, 7] x, y, z, r, g, b, a
        if not shown:
            corners[:, 3:] = 0
        polygon = clip_near(corners, options.near)
        for n in range(1, len(polygon) - 1):
            _draw(polygon[[0, n, n + 1]], camera, options, surface.one_sided, result)
    return result


def all_faces(surface: Surface) -> Int32:  # [F, 3]
    """The grid's triangles, quad by quad and without dropped quads, then the further faces."""
    return np.concatenate(
        [np.array([corners for corners, _ in _grid(surface)], np.int32).reshape(-1, 3), surface.faces]
    )


def _grid(surface: Surface) -> Iterator[tuple[tuple[int, int, int], bool]]:
    """The grid's triangles, without dropped quads, and whether ``quad_flags`` hides each."""
    w = surface.grid_width
    for j, i in np.ndindex(max(surface.grid_height - 1, 0), max(w - 1, 0)):
        flag = 0 if surface.quad_flags is None else int(surface.quad_flags[j * (w - 1) + i])
        if not flag & QUAD_DROP:
            v = j * w + i
            yield (v + w, v, v + 1), bool(flag & QUAD_HIDE_UPPER)
            yield (v + w, v + 1, v + w + 1), bool(flag & QUAD_HIDE_LOWER)


def clip_near(corners: Float64, near: float) -> Float64:  # [N, 7] -> [M, 7], M in 0..4
    """The part of a convex polygon with z >= near."""
    kept = []
    for p, q in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if p[2] >= near:
            kept.append(p)
        if (p[2] >= near) != (q[2] >= near):
            # From the inside end, so that the neighbour across this edge gets the same point.
            inside, outside = (p, q) if p[2] >= near else (q, p)
            share = (inside[2] - near) / (inside[2] - outside[2])
            point = inside + share * (outside - inside)
            point[2] = max(point[2], near)
            kept.append(point)
    return np.array(kept).reshape(-1, corners.shape[1])


def _snapped(corner: Float64, camera: Camera) -> tuple[int, int]:
    k = camera.intrinsics
    x = k.fx * corner[0] / corner[2] + k.cx
    y = k.fy * corner[1] / corner[2] + k.cy
    return int(np.floor(x * SUBPIXELS + 0.5)), int(np.floor(y * SUBPIXELS + 0.5))


def _edge(a: tuple[int, int], b: tuple[int, int], height: int, width: int) -> np.ndarray:  # [H, W] of Python ints
    """Twice the signed area of (a, b, sample) for every sample, exactly."""
    px = np.array([SUBPIXELS * x + SUBPIXELS // 2 for x in range(width)], object)
    py = np.array([SUBPIXELS * y + SUBPIXELS // 2 for y in range(height)], object)
    return (b[0] - a[0]) * (py[:, None] - a[1]) - (b[1] - a[1]) * (px[None, :] - a[0])


def _inside(edge: np.ndarray, a: tuple[int, int], b: tuple[int, int]) -> Bool:  # [H, W]
    """Samples on the inner side of a -> b; those on the edge itself count for top and left edges only."""
    goes_up, level_right = b[1] < a[1], b[1] == a[1] and b[0] > a[0]
    return (edge > 0) | ((edge == 0) & (goes_up or level_right))


def _draw(corners: Float64, camera: Camera, options: RasterOptions, one_sided: bool, result: Samples) -> None:
    height, width = result.nearest.shape
    a, b, c = (_snapped(corner, camera) for corner in corners)
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if area == 0:
        return
    if area < 0:
        b, c, area = c, b, -area
        corners = corners[[0, 2, 1]]
        if one_sided:  # seen from behind
            corners[:, 3:] = 0
    edges = [_edge(b, c, height, width), _edge(c, a, height, width), _edge(a, b, height, width)]
    covered = _inside(edges[0], b, c) & _inside(edges[1], c, a) & _inside(edges[2], a, b)
    if not covered.any():
        return
    weights = np.stack([edge[covered].astype(np.float64) / area for edge in edges], axis=1)  # [S, 3]
    over_z = weights / corners[:, 2]
    inv_z = over_z.sum(axis=1)
    rgba = over_z @ corners[:, 3:] / inv_z[:, None]
    rows, columns = np.nonzero(covered)
    reached = inv_z >= 1.0 / options.far
    _keep_nearest(result, rows[reached], columns[reached], inv_z[reached], rgba[reached])


def _keep_nearest(result: Samples, rows: np.ndarray, columns: np.ndarray, inv_z: Float64, rgba: Float64) -> None:
    old = result.nearest[rows, columns]
    wins = inv_z > old
    result.covered[rows, columns] += 1
    result.second[rows, columns] = np.maximum(result.second[rows, columns], np.minimum(old, inv_z))
    result.nearest[rows[wins], columns[wins]] = inv_z[wins]
    result.rgba[rows[wins], columns[wins]] = rgba[wins]
