"""Sizes the model makes in one go, and how larger pictures are made: a first pass, then overlapping tiles.

No torch here: a panel asks what a size will cost where nothing is installed.
"""

import math
from dataclasses import dataclass

from ex4d.engines.wan.constants import SIDE
from ex4d_ground.errors import SettingError

NATIVE = (1280, 720)
"""The largest picture made in one go, as (long side, short side) in pixels."""
OVERLAP = 128
"""Pixels that neighbouring tiles share at least; they are blended over all they share."""
_LARGEST = 8192  # pixels of the longer side; nothing larger was ever thought about

Span = tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """A part of the picture in pixels; all edges lie on multiples of 16."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True)
class Layout:
    """How a picture of ``width`` x ``height`` (multiples of 16) is made."""

    width: int
    height: int
    first: tuple[int, int] | None
    """(width, height) of the first pass, None if the picture is made in one go."""
    tiles: tuple[Tile, ...]
    """What is made at once at full size: the whole picture, or tiles of one size."""
    overlap: int = OVERLAP
    """Pixels over which a tile fades into its neighbours."""

    @property
    def tile_size(self) -> tuple[int, int]:
        """(width, height) of every tile."""
        tile = self.tiles[0]
        return tile.right - tile.left, tile.bottom - tile.top


def padded(side: int) -> int:
    """The next multiple of 16."""
    return -(-side // SIDE) * SIDE


def layout(width: int, height: int, *, two_pass: bool = True) -> Layout:
    """The way to a picture of ``width`` x ``height`` pixels, which are padded to multiples of 16.

    Up to 1280x720 pixels (either way up) it is made in one go. Beyond, or rather than run the model at a size it was
    never trained for: a first pass at the largest such size of the same shape, then tiles. ``two_pass`` False makes any
    size in one go. Raises SettingError for a side beyond 8192 pixels.
    """
    if min(width, height) < 1 or max(width, height) > _LARGEST:
        raise SettingError(f"Pictures must be between 1 and {_LARGEST} pixels a side, got {width}x{height}.")
    width, height = padded(width), padded(height)
    if not two_pass or width * height <= NATIVE[0] * NATIVE[1]:
        return Layout(width, height, None, (Tile(0, height, 0, width),))
    limit = NATIVE if width >= height else NATIVE[::-1]
    columns, rows = spans(width, limit[0]), spans(height, limit[1])
    tiles = tuple(Tile(*row, *column) for row in rows for column in columns)
    return Layout(width, height, _first_size(width, height), tiles, OVERLAP)


def spans(
    length: int,  # multiple of 16
    largest: int,
) -> list[Span]:
    """As few equal spans of at most ``largest`` as cover ``length``, evenly spread, on multiples of 16."""
    if length <= largest:
        return [(0, length)]
    count = math.ceil((length - OVERLAP) / (largest - OVERLAP))
    size = padded(math.ceil((length + (count - 1) * OVERLAP) / count))
    starts = [round((length - size) * i / (count - 1) / SIDE) * SIDE for i in range(count)]
    return [(start, start + size) for start in starts]


def _first_size(width: int, height: int) -> tuple[int, int]:
    share = math.sqrt(NATIVE[0] * NATIVE[1] / (width * height))
    return tuple(max(SIDE, math.floor(side * share / SIDE) * SIDE) for side in (width, height))  # type: ignore[return-value]
