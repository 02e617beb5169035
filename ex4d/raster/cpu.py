"""The CPU rasterizer: an integer-exact z-buffer in numba, built around the grid's structure."""

from __future__ import annotations

import numpy as np

from ex4d.raster.bands import Split, serial
from ex4d.raster.base import Camera, Surface, check_planes
from ex4d.raster.faces import draw_faces, num_runs, run_rows
from ex4d.raster.grid import draw_grid
from ex4d.raster.kernels import DARKER, Projected, Target, View, project, row_bounds
from ex4d.types import Bool, Int32, RasterOptions, UInt8

_NO_FLAGS = np.empty((0, 0), np.uint8)


class CpuRasterizer:
    """Draws with compiled loops; scratch memory is kept between calls (about 13 bytes a vertex, 4 a pixel).

    ``split`` shares one picture's rows among threads, for a single frame as soon as possible; for a whole clip it is
    faster to give each thread its own rasterizer and its own frames. The picture is the same.
    """

    name = "cpu"

    def __init__(self, split: Split = serial) -> None:
        self._split = split
        self._scratch: dict[str, np.ndarray] = {}

    def draw(
        self,
        surface: Surface,
        camera: Camera,
        options: RasterOptions = RasterOptions(),
    ) -> tuple[UInt8, Bool]:  # [H, W, 3], [H, W]
        """Colour (zero outside the mask) and mask. Raises RasterError for planes that cannot be used."""
        check_planes(options)
        k = camera.intrinsics
        colour = np.zeros((k.height, k.width, 3), np.uint8)
        mask = np.zeros((k.height, k.width), np.uint8)
        nearest = self._buffer("nearest", (k.height, k.width), np.float32)
        rounding = DARKER if options.round_colors_down else 0.5
        limits = (1.0 / options.far, float(options.mask_threshold), rounding)
        view, points, bounds = self._project(surface, camera, options)
        rows = self._buffer("rows", (num_runs(surface.faces), 2), np.int32)
        self._split(len(rows), lambda a, b: run_rows(surface.faces, points.sy, view.state, a, b, rows))
        flags = _NO_FLAGS
        if surface.quad_flags is not None:
            flags = surface.quad_flags.reshape(surface.grid_height - 1, surface.grid_width - 1)

        def draw_rows(first: int, last: int) -> None:
            nearest[first:last] = 0
            target = Target(first, last, nearest, colour, mask, limits, surface.one_sided)
            if surface.grid_height > 1:
                draw_grid(surface.grid_height, surface.grid_width, flags, bounds, points, view, target)
            draw_faces(surface.faces, rows, points, view, target)

        self._split(k.height, draw_rows)
        return colour, mask.view(np.bool_)

    @property
    def inverse_depth(self) -> np.ndarray:  # [H, W] float32
        """1 / z of what the last picture shows or is hidden by, 0 where there is nothing; valid until the next one."""
        return self._scratch["nearest"]

    def _buffer(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        held = self._scratch.get(name)
        if held is None or held.shape != shape:
            held = self._scratch[name] = np.empty(shape, dtype)
        return held

    def _project(
        self, surface: Surface, camera: Camera, options: RasterOptions
    ) -> tuple[View, Projected, Int32]:  # bounds [H, 6]
        n, height, width = len(surface.vertices), surface.grid_height, surface.grid_width
        k = camera.intrinsics
        pose = np.ascontiguousarray(camera.camera_from_world[:3], np.float64)
        lens = np.array([k.fx, k.fy, k.cx, k.cy, options.near], np.float64)
        sx, sy = self._buffer("sx", (n,), np.int32), self._buffer("sy", (n,), np.int32)
        inv_z, state = self._buffer("inv_z", (n,), np.float32), self._buffer("state", (n,), np.uint8)
        bounds = self._buffer("bounds", (height, 6), np.int32)

        def project_rows(first: int, last: int) -> None:
            project(surface.vertices, pose, lens, first * width, last * width, sx, sy, inv_z, state)
            row_bounds(sx, sy, state, width, first, last, bounds)

        self._split(height, project_rows)
        project(surface.vertices, pose, lens, height * width, n, sx, sy, inv_z, state)
        return View(surface.vertices, state, pose, lens), Projected(sx, sy, inv_z, surface.colors), bounds
