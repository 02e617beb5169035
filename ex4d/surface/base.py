"""A surface as meshes give it and rasterizers take it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ex4d_ground.arrays import Float32, Int32, UInt8
from ex4d_ground.errors import ShapeError


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


class SurfacePair(NamedTuple):
    """Two surfaces with the same grid, flags and sides, that are the same up to a vertex and a face."""

    one: Surface
    two: Surface
    same_vertices: int
    """So many of the first vertices..."""
    same_faces: int
    """...and of the first faces are the same in both."""


def grid_faces(height: int, width: int) -> Int32:  # [2 * (H - 1) * (W - 1), 3]
    """The grid's triangles by their corners: all upper left ones, then all lower right ones."""
    index = np.arange(height * width, dtype=np.int32).reshape(height, width)
    v00, v01 = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
    v10, v11 = index[1:, :-1].ravel(), index[1:, 1:].ravel()
    return np.concatenate([np.stack([v10, v00, v01], 1), np.stack([v10, v01, v11], 1)])


def cap_faces(height: int, width: int) -> Int32:  # [2, 3]
    """Two triangles that join the grid's four corners: where these lie far away, they close it behind the scene."""
    last = height * width - 1
    return np.array([[width - 1, 0, last], [last, 0, (height - 1) * width]], np.int32)
