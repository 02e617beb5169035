"""Edits that were made on a proxy grid, brought to the full one: see :mod:`ex4d_ground.grids` for the grid.

A vertex of the proxy grid is a vertex of the full grid, to the bit. What moved it is told apart into a scale along its
viewing ray and an offset, each interpolated between the four grid vertices around a pixel. So a change of depth
by a factor and a shift are both exact, however much detail lies between the grid's lines. A grid vertex counts only as
far as it lies on the pixel's own surface: a plane is linear in inverse depth over the picture, so the surface is
continued by its own step, and what misses that belongs to something else. Edges stay where they are.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np

from ex4d.dwmesh.mesh import DWMesh
from ex4d.dwmesh.proxy_kernels import move_pixels, spread_values
from ex4d.surface import cap_faces, grid_faces
from ex4d.types import Clip
from ex4d_ground.arrays import Float32, Float64, Int8, Int32, Int64
from ex4d_ground.errors import ShapeError
from ex4d_ground.grids import Grid, grid_of

ON_RAY_PX = 0.02
"""A vertex that stays within so much of its pixel has moved along its viewing ray."""


class ProxyGrid:
    """The proxy grid of a mesh, and what edits of it mean for the mesh. Safe to use from several threads."""

    def __init__(self, mesh: DWMesh, side: int) -> None:
        """``side``: vertices along the clip's long side, see :func:`ex4d_ground.grids.grid_of`."""
        self.mesh = mesh
        self.grid: Grid = grid_of(mesh.width, mesh.height, side)
        self._at = (self.grid.rows[:, None] * mesh.width + self.grid.columns).ravel()
        cells = (_within(self.grid.rows, np.arange(mesh.height)), _within(self.grid.columns, np.arange(mesh.width)))
        self._pixels = (self.grid.rows, self.grid.columns, *cells[0], *cells[1])
        """What the compiled loops want to know of the grid."""

    def frame(
        self, t: int, edited: Float32 | None = None, flags: Int8 | None = None, *, coloured: bool = True
    ) -> DWMesh:
        """Frame ``t`` of the grid as an endless mesh of its own of one frame, with the grid's edits.

        Its vertices are those of the full mesh; not ``coloured``, all are black and no picture is read. Raises
        ShapeError for edits that do not fit.
        """
        mesh, (rows, columns) = self.mesh, (self.grid.rows, self.grid.columns)
        clip, at = mesh.clip, np.ix_(rows, columns)
        size = {"width": self.grid.width, "height": self.grid.height}
        small = Clip(
            (clip.frames[t][at] if coloured else np.zeros((self.grid.height, self.grid.width, 3), np.uint8))[None],
            clip.depth[t][at][None],
            clip.intrinsics.resized(**size),
            sky_from=float("inf"),
        )
        overrides = {} if edited is None else {0: edited}
        made = DWMesh(small, mesh.options, vertex_overrides=overrides, face_flags={} if flags is None else {0: flags})
        x, y = mesh.rays(t)
        made.ray_x, made.ray_y = x[columns], y[rows]
        vars(made)["faces"] = self.faces  # those of every frame
        return made

    @cached_property
    def faces(self) -> Int32:  # [F, 3]
        """The grid's faces, in the order of a mesh's."""
        height, width = self.grid.height, self.grid.width
        faces = np.concatenate([grid_faces(height, width), cap_faces(height, width)])
        faces.setflags(write=False)
        return faces

    def edited(
        self, positions: Mapping[int, Float32], flags: Mapping[int, Int8], thickness_map: Float32 | None = None
    ) -> DWMesh:
        """The full mesh with edits of the grid; ``thickness_map`` is at full size already.

        Positions are scaled when a frame is asked for. Raises ShapeError, SettingError for a frame that is not there.
        """
        scaled = {id(values): self.flags(values) for values in flags.values()}
        full = {t: scaled[id(values)] for t, values in flags.items()}
        made = DWMesh(self.mesh.clip, self.mesh.options, face_flags=full, thickness_map=thickness_map)
        made.vertex_overrides = ScaledEdits(self, positions)
        return made

    def positions(self, t: int, edited: Float32) -> Float32:  # [grid vertices, 3] -> [H * W, 3]
        """The full mesh's vertices of frame ``t`` for ``edited`` positions of the grid's.

        Vertices between grid vertices that did not move stay to the bit. Raises ShapeError.
        """
        self.check(t, edited)
        out = self.mesh.lifted(t)
        before = out[self._at]
        moved = (edited != before).any(axis=1)
        if not moved.any():
            return out
        k = self.mesh.clip.lens(t)
        motion = _motion(before.astype(np.float64), edited.astype(np.float64), k.fx, k.fy)
        inverse = 1 / out[:, 2].astype(np.float64).reshape(self.mesh.height, self.mesh.width)
        move_pixels(inverse, *self._pixels, motion, moved, out)
        out[self._at] = edited
        return out

    def check(self, t: int, edited: Float32) -> None:
        """Raise ShapeError for edited positions that do not fit or are not finite, SettingError for another frame."""
        self.mesh.check_frame(t)
        _require(edited.shape == (self.grid.num_vertices, 3), "Edited vertices", edited, self.grid)
        if not np.isfinite(edited).all():
            raise ShapeError(f"Edited vertices of frame {t + 1} hold NaN or infinity; undo it.")

    def flags(self, flags: Int8) -> Int8:  # [grid faces] -> [F]
        """Each face of the full mesh has the flag of the grid's face that its middle lies in. Raises ShapeError."""
        _require(flags.shape == (self.grid.num_faces,), "Face flags", flags, self.grid)
        height, width = self.mesh.height, self.mesh.width
        upper, lower = flags[:-2].reshape(2, self.grid.height - 1, self.grid.width - 1)
        out: list[Int8] = []
        for middle in (1 / 3, 2 / 3):
            (column, u), (row, v) = (
                _within(lines, np.arange(pixels - 1) + middle)
                for lines, pixels in ((self.grid.columns, width), (self.grid.rows, height))
            )
            cell = np.ix_(row, column)
            out.append(np.where(u[None] + v[:, None] < 1, upper[cell], lower[cell]).ravel())
        return np.concatenate([*out, flags[-2:]])

    def thickness(self, painted: Float32, t: int | None) -> Float32:  # [grid vertices], NaN: unpainted -> [H, W]
        """Painted thickness of frame ``t`` for each pixel; NaN where the grid vertices of its surface are not painted.

        None is a map for all frames: what is painted then reaches to the next unpainted grid vertex. Raises ShapeError.
        """
        _require(painted.size == self.grid.num_vertices, "Painted thickness", painted, self.grid)
        size = (self.mesh.height, self.mesh.width)
        inverse = np.empty((0, 0)) if t is None else 1 / self.mesh.lifted(t)[:, 2].astype(np.float64).reshape(size)
        out = np.empty(size, np.float32)
        values = painted.reshape(-1).astype(np.float64)
        spread_values(inverse, *self._pixels, values, out)
        return out


class ScaledEdits(Mapping[int, Float32]):
    """Edited frames of a proxy grid as positions of the full one, made when asked for; the last few are kept."""

    def __init__(self, proxy: ProxyGrid, edited: Mapping[int, Float32], *, keep: int = 3) -> None:
        for t, positions in edited.items():
            proxy.check(t, positions)
        self._proxy, self._edited, self._keep = proxy, edited, keep
        self._made: dict[int, Float32] = {}
        self._lock = Lock()

    def __getitem__(self, t: int) -> Float32:
        edited = self._edited[t]
        with self._lock:
            found = self._made.pop(t, None)
        if found is None:
            found = self._proxy.positions(t, np.ascontiguousarray(edited))
        with self._lock:
            self._made[t] = found
            while len(self._made) > self._keep:
                del self._made[next(iter(self._made))]
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(self._edited)

    def __len__(self) -> int:
        return len(self._edited)

    def __contains__(self, t: object) -> bool:
        return t in self._edited


def _within(lines: Int64, places: Float64 | Int64) -> tuple[Int64, Float64]:
    """The line before each place (never the last), and how far behind it the place lies as a share of the gap."""
    before = np.clip(np.searchsorted(lines, places, side="right") - 1, 0, len(lines) - 2)
    start, end = lines[before].astype(np.float64), lines[before + 1].astype(np.float64)
    return before, (places.astype(np.float64) - start) / (end - start)


def _motion(before: Float64, after: Float64, fx: float, fy: float) -> Float64:  # [V, 3] twice -> [V, 4]
    """What moved each vertex: its scale along the viewing ray less 1 where it stayed on that; the rest as offset."""
    with np.errstate(divide="ignore", invalid="ignore"):
        slid = [f * np.abs(after[:, i] / after[:, 2] - before[:, i] / before[:, 2]) for i, f in ((0, fx), (1, fy))]
    along = (after[:, 2] > 0) & (slid[0] < ON_RAY_PX) & (slid[1] < ON_RAY_PX)
    scale = np.where(along, after[:, 2] / before[:, 2], 1.0)
    moved = np.column_stack([scale - 1, after - before * scale[:, None]])
    return moved.astype(np.float64, copy=False)


def _require(fits: bool, what: str, values: Any, grid: Grid) -> None:
    if not fits:
        raise ShapeError(
            f"{what} of shape {tuple(values.shape)} do not fit a proxy grid of {grid.width}x{grid.height} vertices; "
            "import the clip again."
        )
