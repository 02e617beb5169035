"""The proxy grid: which of a clip's pixels are vertices of the coarser mesh that is edited in the place of all of them.

Client and server make it from three whole numbers, by the rule of SPEC.md, so it never travels.
"""

from dataclasses import dataclass

import numpy as np

from .arrays import Int64

PROXY_SIDE = 640
"""Vertices along the long side unless a person chooses another number."""
_FEWEST = 4
"""Lines that a side keeps: the border's two, and two within."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Columns and rows of a clip whose crossings are the vertices, row by row; the outermost are always among them."""

    columns: Int64  # [width] of the clip's, rising
    rows: Int64  # [height]

    @property
    def width(self) -> int:
        """Vertices in a row."""
        return len(self.columns)

    @property
    def height(self) -> int:
        """Vertices in a column."""
        return len(self.rows)

    @property
    def num_vertices(self) -> int:
        """All of them."""
        return self.width * self.height

    @property
    def num_faces(self) -> int:
        """Two triangles for each 2x2 block of vertices, and the two caps."""
        return 2 * (self.width - 1) * (self.height - 1) + 2


def grid_of(width: int, height: int, side: int) -> Grid:
    """The grid with ``side`` vertices along the long side of a clip of ``width`` x ``height`` pixels.

    0, or a side that is not shorter than the clip's, is the full grid: one vertex per pixel.
    """
    longest = max(width, height)
    if is_full(width, height, side):
        return Grid(np.arange(width), np.arange(height))
    return Grid(
        *(_lines(pixels, max((2 * pixels * side + longest) // (2 * longest), _FEWEST)) for pixels in (width, height))
    )


def is_full(width: int, height: int, side: int) -> bool:
    """Whether the grid of this ``side`` has one vertex per pixel."""
    return side <= 0 or side >= max(width, height)


def _lines(pixels: int, count: int) -> Int64:  # [count]
    """The ``count`` of 0..pixels-1 that lie most evenly, both ends among them."""
    count = min(count, pixels)
    if count < 2:
        return np.arange(count)
    return (2 * np.arange(count) * (pixels - 1) + count - 1) // (2 * (count - 1))
