"""Pictures for people: several videos side by side on one sheet, and holes shown as what is not there."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ex4d.clip.writing import as_rgb
from ex4d.errors import ShapeError
from ex4d.types import Bool, UInt8

_GAP, _TITLE, _MARGIN = 8, 26, 44
_PAPER, _INK = (250, 250, 248), (40, 40, 40)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def checkered(colour: UInt8, mask: Bool, *, cell: int | None = None) -> UInt8:  # [H, W, 3], [H, W] -> [H, W, 3]
    """``colour`` with a grey checker pattern where ``mask`` is false, as image editors show what is not there."""
    height, width = mask.shape
    size = cell or max(4, min(height, width) // 32)
    rows, columns = np.indices((height, width)) // size
    board = np.where((rows + columns) % 2 == 0, 96, 64).astype(np.uint8)
    return np.where(mask[..., None], colour, board[..., None])


def picture_grid(
    columns: Sequence[tuple[str, UInt8 | Bool]],  # title, [N, H, W, 3] or [N, H, W]
    *,
    rows: int = 5,
    tile_height: int = 180,
) -> UInt8:  # [h, w, 3]
    """Lay out the same frames of several videos, one video a column, ``rows`` frames from first to last.

    Videos of other sizes are scaled to ``tile_height``. Raises ShapeError if their lengths differ.
    """
    lengths = {len(video) for _, video in columns}
    if len(lengths) != 1 or 0 in lengths:
        raise ShapeError(f"A picture grid needs videos of one length, got lengths {sorted(lengths)}.")
    count = lengths.pop()
    picked = np.unique(np.linspace(0, count - 1, min(rows, count)).round().astype(int))
    tiles = [[_tile(video[i], tile_height) for _, video in columns] for i in picked]
    widths = [tile.shape[1] for tile in tiles[0]]
    sheet = np.full(
        (_TITLE + (tile_height + _GAP) * len(picked), _MARGIN + sum(widths) + _GAP * len(widths), 3), _PAPER, np.uint8
    )
    x = _MARGIN
    for column, (title, _) in enumerate(columns):
        _text(sheet, title, (x, _TITLE - 9), 0.5)
        for row, tile_row in enumerate(tiles):
            y = _TITLE + row * (tile_height + _GAP)
            sheet[y : y + tile_height, x : x + widths[column]] = tile_row[column]
        x += widths[column] + _GAP
    for row, i in enumerate(picked):
        _text(sheet, str(i), (10, _TITLE + row * (tile_height + _GAP) + tile_height // 2), 0.45)
    return sheet


def _tile(frame: UInt8 | Bool, height: int) -> UInt8:
    image = as_rgb(frame)
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    method = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


def _text(image: UInt8, text: str, at: tuple[int, int], scale: float) -> None:
    cv2.putText(image, text, at, _FONT, scale, _INK, 1, cv2.LINE_AA)
