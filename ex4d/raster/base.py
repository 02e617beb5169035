"""What every rasterizer takes and gives.

The rules all implementations share, so that they agree pixel for pixel:

- Image coordinates are continuous with the origin at the image's top-left corner; pixel (row i, column j) is sampled
  at its centre (j + 0.5, i + 0.5).
- Projected vertices are snapped to 1/256 pixel (halves go right and down). Coverage is then decided
  in integers with the top-left rule, so a sample on a shared edge or vertex belongs to exactly one triangle, and
  neighbouring triangles neither overlap nor leave a crack.
- Triangles are drawn whichever way round they are. The nearest wins, whether it shows colour or not.
- What lies nearer than ``near`` is cut away; samples farther than ``far`` are not drawn, and not blocked either.
- RGBA is interpolated perspective-correctly; a pixel is set where alpha > ``mask_threshold``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ex4d.errors import RasterError, ShapeError
from ex4d.types import Bool, Float32, Float64, Int32, Intrinsics, RasterOptions, Trajectory, UInt8

SUBPIXELS = 256
"""Steps per pixel that projected vertices are snapped to."""
QUAD_HIDE_UPPER, QUAD_HIDE_LOWER, QUAD_DROP = 1, 2, 4
"""Bits of ``Surface.quad_flags``."""


@dataclass(frozen=True)
class Surface:
    """A coloured triangle surface: a regular grid of vertices, and further faces beside it.

    The first ``grid_height * grid_width`` vertices form the grid; each 2x2 block is two triangles split along the
    diagonal from bottom left to top right. ``faces`` are drawn besides; they may use any vertex. A surface without
    a grid has ``grid_height = grid_width = 0``.

    ``quad_flags`` says what becomes of each 2x2 block: drawn, dropped, or its upper left or lower right triangle hidden
    (it blocks without showing colour). On a ``one_sided`` surface, so is every triangle seen from behind; the front is
    where the corners run clockwise on the image (y down).
    """

    vertices: Float32  # [V, 3] world coordinates
    colors: UInt8  # [V, 4] RGBA
    faces: Int32  # [F, 3] triangles that are not part of the grid
    grid_height: int = 0
    grid_width: int = 0
    quad_flags: UInt8 | None = None  # [(grid_height - 1) * (grid_width - 1)] of QUAD_* bits
    one_sided: bool = False

    def __post_init__(self) -> None:
        v, c, f = self.vertices, self.colors, self.faces
        if v.ndim != 2 or v.shape[1] != 3 or v.dtype != np.float32:
            raise ShapeError(f"Surface vertices must be [V, 3] float32, got {v.shape} {v.dtype}.")
        if c.shape != (len(v), 4) or c.dtype != np.uint8:
            raise ShapeError(f"Surface colours must be [{len(v)}, 4] uint8, got {c.shape} {c.dtype}.")
        if f.ndim != 2 or f.shape[1] != 3 or f.dtype != np.int32:
            raise ShapeError(f"Surface faces must be [F, 3] int32, got {f.shape} {f.dtype}.")
        if f.size and (int(f.min()) < 0 or int(f.max()) >= len(v)):
            raise ShapeError(f"Surface faces refer to vertices {f.min()}..{f.max()}, but there are {len(v)}.")
        if self.grid_height * self.grid_width > len(v):
            raise ShapeError(f"A grid of {self.grid_height}x{self.grid_width} needs more than {len(v)} vertices.")
        quads = max(self.grid_height - 1, 0) * max(self.grid_width - 1, 0)
        q = self.quad_flags
        if q is not None and (q.shape != (quads,) or q.dtype != np.uint8):
            raise ShapeError(f"Surface quad flags must be [{quads}] uint8, got {q.shape} {q.dtype}.")


@dataclass(frozen=True)
class Camera:
    """One view: a rigid pose and a pinhole (OpenCV axes: x right, y down, z forward)."""

    camera_from_world: Float64  # [4, 4]
    intrinsics: Intrinsics

    @classmethod
    def of(cls, trajectory: Trajectory, i: int) -> Camera:
        """The camera of output frame ``i``."""
        return cls(np.linalg.inv(trajectory.world_from_camera[i]), trajectory.frame_intrinsics(i))


class Rasterizer(Protocol):
    """Draws surfaces. An instance keeps scratch memory: use it from one thread at a time."""

    name: str

    def draw(
        self,
        surface: Surface,
        camera: Camera,
        options: RasterOptions = RasterOptions(),
    ) -> tuple[UInt8, Bool]:  # [H, W, 3], [H, W]
        """Colour (zero outside the mask) and mask. Raises RasterError for planes that cannot be used."""
        ...


def check_planes(options: RasterOptions) -> None:
    """Raise RasterError unless 0 < near < far, both finite."""
    near, far = options.near, options.far
    if not (math.isfinite(near) and math.isfinite(far) and 0 < near < far):
        raise RasterError(f"Clipping planes must satisfy 0 < near < far, got near={near}, far={far}.")
