"""The CPU rasterizer: an integer-exact z-buffer in numba, built around the grid's structure."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ex4d.bands import Pause, Split, no_pause
from ex4d.compiled.arrays import plain
from ex4d.raster.antialias import draw_antialiased
from ex4d.raster.base import Camera, check_planes
from ex4d.raster.faces import RUN, draw_faces, num_runs, run_rows
from ex4d.raster.grid import draw_grid
from ex4d.raster.kernels import DARKER, Projected, Target, View, project, row_bounds, unpack_rows
from ex4d.surface import Surface, SurfacePair
from ex4d_ground.arrays import Bool, Float32, Int32, UInt8
from ex4d_ground.options import RasterOptions

_OF_VERTICES = ("state", "sx", "sy", "inv_z")
_NO_FLAGS = np.empty((0, 0), np.uint8)
NO_ROWS = np.empty((0, 2), np.int32)
ROWS_PER_PART, RUNS_PER_PART = 32, 128
"""Rows of a grid, and runs of faces, that are drawn in one go: vertices of the former fit into a core's own cache."""


class CpuRasterizer:
    """Draws with compiled loops; scratch memory is kept between calls: 8 bytes a pixel, and 13 a vertex with ``split``.

    ``split`` shares one picture's rows among threads, for a single frame as soon as possible; for a whole clip it is
    faster to give each thread its own rasterizer and its own frames. The picture is the same. Without a split,
    ``pause`` is called several times a picture, and may raise to end it.
    """

    name = "cpu"

    def __init__(self, split: Split | None = None, pause: Pause = no_pause) -> None:
        self._split, self._pause = split, pause
        self._scratch: dict[str, np.ndarray] = {}

    def draw(
        self, surface: Surface, camera: Camera, options: RasterOptions = RasterOptions()
    ) -> tuple[UInt8, Bool]:  # [H, W, 3], [H, W]
        """Colour (zero outside the mask) and mask. Raises RasterError for planes that cannot be used."""
        check_planes(options)
        k = camera.intrinsics
        colour, mask = np.empty((k.height, k.width, 3), np.uint8), np.empty((k.height, k.width), np.uint8)
        self._buffer("nearest", (k.height, k.width), np.float32)
        self._buffer("picture", (k.height, k.width), np.int32)
        if options.antialias:
            return self._draw_antialiased(surface, camera, options)
        if self._split is None:
            self._draw_whole(surface, camera, options, colour, mask)
            self._let_go_of_vertices()
        else:
            self._draw_split(surface, camera, options, colour, mask, self._split)
        return colour, mask.view(np.bool_)

    @property
    def inverse_depth(self) -> np.ndarray:  # [H, W] float32
        """1 / z of what the last picture shows or is hidden by, 0 where there is nothing; valid until the next one."""
        return self._scratch["nearest"]

    def _draw_antialiased(
        self, surface: Surface, camera: Camera, options: RasterOptions
    ) -> tuple[UInt8, Bool]:  # [H, W, 3], [H, W]
        drawing = _Drawing(surface, camera, options, self._buffer)
        drawing.project_rows(0, surface.grid_height)
        drawing.project_others()
        nearest = self._scratch["nearest"]
        return draw_antialiased(surface, camera, options, drawing.points, drawing.view, nearest, self._pause)

    def draw_pair(
        self, pair: SurfacePair, camera: Camera, options: RasterOptions = RasterOptions()
    ) -> tuple["Drawn", "Drawn"]:
        """What each of two surfaces would be drawn as alone; what they share is drawn once.

        In this thread, and never antialiased. Raises RasterError for planes that cannot be used.
        """
        check_planes(options)
        k = camera.intrinsics
        room = max(len(pair.one.vertices), len(pair.two.vertices))
        one = _Drawing(pair.one, camera, options, self._buffer, room=room)
        target = one.clear(0, k.height)
        self._draw_grid(one, target)
        one.project_others()
        shared = pair.same_faces // RUN  # in whole runs, because what is drawn last in one may be drawn first alone
        self._draw_runs(one, target, 0, shared)
        two = _Drawing(pair.two, camera, options, self._buffer, room=room)
        twice = two.copied(target)
        self._draw_runs(one, target, shared, num_runs(one.faces))
        two.project_others(pair.same_vertices)
        self._draw_runs(two, twice, shared, num_runs(two.faces))
        self._let_go_of_vertices()
        return _drawn(target), _drawn(twice)

    def _draw_whole(self, surface: Surface, camera: Camera, options: RasterOptions, colour: UInt8, mask: UInt8) -> None:
        """In this thread."""
        drawing = _Drawing(surface, camera, options, self._buffer)
        target = drawing.clear(0, len(mask))
        self._draw_grid(drawing, target)
        drawing.project_others()
        self._draw_runs(drawing, target, 0, num_runs(surface.faces))
        unpack_rows(target.picture, 0, len(mask), colour, mask)

    def _draw_grid(self, drawing: "_Drawing", target: Target) -> None:
        """Rows are projected and drawn while what was projected is still at hand."""
        height, projected = drawing.grid_height, 0
        for top in range(0, max(height - 1, 0), ROWS_PER_PART):
            self._pause()
            bottom = min(top + ROWS_PER_PART, height - 1)
            drawing.project_rows(projected, bottom + 1)
            projected = bottom + 1
            drawing.draw_grid(target, top, bottom)
        drawing.project_rows(projected, height)

    def _draw_runs(self, drawing: "_Drawing", target: Target, begin: int, end: int) -> None:
        for first in range(begin, end, RUNS_PER_PART):
            self._pause()
            drawing.draw_faces(target, NO_ROWS, first, min(first + RUNS_PER_PART, end))

    def _draw_split(
        self, surface: Surface, camera: Camera, options: RasterOptions, colour: UInt8, mask: UInt8, split: Split
    ) -> None:
        """Each part draws the whole surface into its rows of the picture."""
        drawing = _Drawing(surface, camera, options, self._buffer)
        split(surface.grid_height, drawing.project_rows)
        drawing.project_others()
        runs = num_runs(surface.faces)
        rows = self._buffer("rows", (runs, 2), np.int32)
        split(runs, lambda a, b: run_rows(drawing.faces, drawing.points.sy, drawing.view.state, a, b, rows))

        def draw_rows(first: int, last: int) -> None:
            target = drawing.clear(first, last)
            drawing.draw_grid(target, 0, surface.grid_height - 1)
            drawing.draw_faces(target, rows, 0, runs)
            unpack_rows(target.picture, first, last, colour, mask)

        split(mask.shape[0], draw_rows)

    def _let_go_of_vertices(self) -> None:
        """Leave the memory of projected vertices to the next surface while that is built: as much as it takes itself.

        Where that memory stays in the process, this costs nothing (:func:`ex4d.allocation.keep_blocks_of_frames`).
        """
        for name in _OF_VERTICES:
            self._scratch.pop(name, None)

    def _buffer(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        held = self._scratch.get(name)
        if held is None or held.shape != shape:
            held = self._scratch[name] = np.empty(shape, dtype)
        return held


class Drawn(NamedTuple):
    """A picture, and what its pixels show or are hidden by; the latter is valid until the next one is drawn."""

    colour: UInt8  # [H, W, 3]
    mask: Bool  # [H, W]
    inverse_depth: Float32  # [H, W] 1 / z, 0 where there is nothing


def _drawn(target: Target) -> Drawn:
    rows, columns = target.picture.shape
    colour, mask = np.empty((rows, columns, 3), np.uint8), np.empty((rows, columns), np.uint8)
    unpack_rows(target.picture, 0, rows, colour, mask)
    return Drawn(colour, mask.view(np.bool_), target.nearest)


class _Drawing:
    """One picture: the steps, with what they all need in the form that compiled code takes."""

    def __init__(
        self,
        surface: Surface,
        camera: Camera,
        options: RasterOptions,
        buffer: Callable[[str, tuple[int, ...], type], np.ndarray],
        *,
        room: int = 0,
    ) -> None:
        """With ``room`` for so many vertices in what is kept of them, another with the same finds them there."""
        n, k = len(surface.vertices), camera.intrinsics
        room, self._buffer = max(room, n), buffer
        pose = plain(np.asarray(camera.camera_from_world[:3], np.float64))
        lens = np.array([k.fx, k.fy, k.cx, k.cy, options.near], np.float64)
        state = buffer("state", (room,), np.uint8)[:n]
        self.view = View(plain(surface.vertices), state, pose, lens)
        kinds = (("sx", np.int32), ("sy", np.int32), ("inv_z", np.float32))
        sx, sy, inv_z = (buffer(name, (room,), kind)[:n] for name, kind in kinds)
        self.points = Projected(sx, sy, inv_z, plain(surface.colors))
        self.faces = plain(surface.faces)
        self.grid_height = surface.grid_height
        self._surface, self._all_in_front = surface, False
        self._rgba = self.points.colors.view(np.int32).reshape(-1)
        self._bounds: Int32 = buffer("bounds", (surface.grid_height, 6), np.int32)
        self._nearest, self._picture = (
            buffer(name, (k.height, k.width), kind) for name, kind in (("nearest", np.float32), ("picture", np.int32))
        )
        self._limits = (1.0 / options.far, float(options.mask_threshold), DARKER if options.round_colors_down else 0.5)
        self._flags = _NO_FLAGS
        if surface.quad_flags is not None:
            self._flags = plain(surface.quad_flags).reshape(surface.grid_height - 1, surface.grid_width - 1)

    def project_rows(self, first: int, last: int) -> None:
        """Project rows of the grid."""
        width, p = self._surface.grid_width, self.points
        self._project(first * width, last * width)
        row_bounds(p.sx, p.sy, self.view.state, width, first, last, self._bounds)

    def project_others(self, first: int | None = None) -> None:
        """Project the vertices behind the grid's, as the last; or those from ``first`` on, where others are there."""
        grid = self.grid_height * self._surface.grid_width
        self._project(grid if first is None else first, len(self._surface.vertices))
        self._all_in_front = not self.view.state.any()

    def _project(self, first: int, last: int) -> None:
        v, p = self.view, self.points
        project(v.vertices, v.pose, v.lens, first, last, p.sx, p.sy, p.inv_z, v.state)

    def clear(self, first: int, last: int) -> Target:
        """Rows ``first..last-1`` of the picture, empty."""
        for array in (self._nearest, self._picture):
            array[first:last].view(np.uint8)[...] = 0  # of bytes numpy makes one call to clear them
        return Target(first, last, self._nearest, self._picture, self._limits, self._surface.one_sided)

    def copied(self, target: Target) -> Target:
        """What is drawn so far, to go on with beside it."""
        nearest = self._buffer("nearest, twice", target.nearest.shape, np.float32)
        picture = self._buffer("picture, twice", target.picture.shape, np.int32)
        nearest[...], picture[...] = target.nearest, target.picture
        return target._replace(nearest=nearest, picture=picture)

    def draw_grid(self, target: Target, top: int, bottom: int) -> None:
        """Draw rows of the grid's quads."""
        width = self._surface.grid_width
        if bottom > top:
            draw_grid(width, self._flags, self._bounds, self._rgba, self.points, self.view, target, top, bottom)

    def draw_faces(self, target: Target, rows: Int32, first: int, last: int) -> None:
        """Draw runs of the other faces; ``rows`` as of :func:`run_rows`, or empty."""
        in_front = self._all_in_front
        draw_faces(self.faces, rows, first, last, in_front, self._rgba, self.points, self.view, target)
