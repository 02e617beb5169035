"""How a grid's vertices are joined, in numpy alone: what Blender would take long to find out by itself."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ex4d_ground.arrays import Float32, Int32
from ex4d_ground.grids import grid_of

from .axes import grid_uv

NUM_CAPS = 2
"""The last faces close the mesh behind its border; they show nothing."""


@dataclass(frozen=True)
class Topology:
    """Faces as the backend sends them, with what Blender keeps beside them. E edges, F faces."""

    faces: Int32  # [F, 3]
    edges: Int32  # [E, 2] vertices
    corner_edges: Int32  # [F, 3] the edge from each corner to the next
    uv: Float32  # [F * 3, 2] of every corner


def topology(width: int, height: int, side: int) -> Topology:
    """Of the grid with ``side`` vertices along the long side of a clip of this size."""
    *_, last = steps(width, height, side)
    assert last is not None
    return last


def steps(width: int, height: int, side: int) -> Iterator[Topology | None]:
    """The same, a part at a time: None until the last."""
    grid = grid_of(width, height, side)
    index = np.arange(grid.num_vertices, dtype=np.int32).reshape(grid.height, grid.width)
    upper_left, upper_right = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
    lower_left, lower_right = index[1:, :-1].ravel(), index[1:, 1:].ravel()
    first, right, last, left = (int(index[j, i]) for j, i in ((0, 0), (0, -1), (-1, -1), (-1, 0)))
    faces = np.concatenate(
        [
            np.stack([lower_left, upper_left, upper_right], 1),
            np.stack([lower_left, upper_right, lower_right], 1),
            np.array([[right, first, last], [last, first, left]], np.int32),
        ]
    )
    yield None
    edges, corner_edges = _edges(index, (first, right, last, left))
    yield None
    yield Topology(faces, edges, corner_edges, grid_uv(width, height, side)[faces.ravel()])


def _edges(index: Int32, corners: tuple[int, int, int, int]) -> tuple[Int32, Int32]:  # [E, 2], [F, 3]
    """Edges along the rows, along the columns, across each 2x2 block, and the caps' own five."""
    height, width = index.shape
    first, right, last, left = corners
    counts = (height * (width - 1), (height - 1) * width, (height - 1) * (width - 1))
    rows = np.arange(counts[0], dtype=np.int32).reshape(height, width - 1)
    columns = counts[0] + np.arange(counts[1], dtype=np.int32).reshape(height - 1, width)
    across = counts[0] + counts[1] + np.arange(counts[2], dtype=np.int32).reshape(height - 1, width - 1)
    cap = sum(counts)
    edges = [
        np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], 1),
        np.stack([index[:-1].ravel(), index[1:].ravel()], 1),
        np.stack([index[1:, :-1].ravel(), index[:-1, 1:].ravel()], 1),
        np.array([[right, first], [first, last], [last, right], [first, left], [left, last]], np.int32),
    ]
    corner_edges = [
        np.stack([columns[:, :-1], rows[:-1], across], -1).reshape(-1, 3),
        np.stack([across, columns[:, 1:], rows[1:]], -1).reshape(-1, 3),
        np.array([[cap, cap + 1, cap + 2], [cap + 1, cap + 3, cap + 4]], np.int32),
    ]
    return np.concatenate(edges), np.concatenate(corner_edges)
