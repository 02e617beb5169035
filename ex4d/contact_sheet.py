"""Contact sheets: source, guide, mask and result of a take side by side at a few moments, on one dark page."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ex4d.frames import Frames
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import SettingError, ShapeError
from ex4d_ground.files import atomic_path

_PAGE = (32, 32, 34)
_HOLE = (58, 58, 62)
_TEXT = (222, 222, 224)
_QUIET = (150, 150, 154)
_GAP = 10
_MARGIN = 22
_LABEL = 84


def contact_sheet(
    source: Frames,  # [N, H, W, 3]
    guide: Frames,  # [N, H, W, 3]
    mask: Frames,  # [N, H, W]
    result: Frames,  # [N, H, W, 3]
    path: Path | str,
    *,
    frames: Sequence[int] | None = None,
    columns: int = 5,
    tile_width: int = 288,
    title: str = "",
) -> None:
    """Write a PNG with rows source, guide, mask, result and one column per chosen frame.

    ``frames`` chooses the columns (0-based); without it ``columns`` frames spread evenly from first to last. ``source``
    may have another size than the rest. Raises ShapeError for lengths that differ, SettingError for a frame that does
    not exist, OutputError.
    """
    if not len(source) == len(guide) == len(mask) == len(result) or len(guide) == 0:
        raise ShapeError(
            f"A contact sheet needs as many source, guide, mask and result frames, got {len(source)}, {len(guide)}, "
            f"{len(mask)} and {len(result)}."
        )
    chosen = _chosen(frames, columns, len(guide))
    coverage = {i: float(mask[i].mean()) for i in chosen}
    shown_guide = [np.where(mask[i][..., None], guide[i], np.array(_HOLE, np.uint8)) for i in chosen]
    grey = [np.repeat(mask[i][..., None].astype(np.uint8) * np.uint8(235), 3, axis=2) for i in chosen]
    rows = {
        "Source": [source[i] for i in chosen],
        "Guide": shown_guide,
        "Mask": grey,
        "Result": [result[i] for i in chosen],
    }
    heads = [(f"Frame {i + 1}", f"{100 * coverage[i]:.0f}% seen") for i in chosen]
    page = _page(rows, heads, tile_width, title)
    with atomic_path(Path(path).with_suffix(".png")) as temporary:
        page.save(temporary, optimize=True)


def _chosen(frames: Sequence[int] | None, columns: int, count: int) -> list[int]:
    if frames is None:
        if columns < 1:
            raise SettingError(f"A contact sheet needs at least one column, got {columns}.")
        return sorted({round(float(i)) for i in np.linspace(0, count - 1, min(columns, count))})
    wrong = [i for i in frames if not 0 <= i < count]
    if wrong or not frames:
        raise SettingError(f"A contact sheet's frames must be among 0 to {count - 1}, got {list(frames)}.")
    return list(frames)


def _high(tile: UInt8, width: int) -> int:
    return max(round(width * tile.shape[0] / tile.shape[1]), 1)


def _page(rows: dict[str, list[UInt8]], heads: list[tuple[str, str]], tile_width: int, title: str) -> Image.Image:
    heights = {name: _high(tiles[0], tile_width) for name, tiles in rows.items()}
    top = _MARGIN + (34 if title else 0) + 26
    width = 2 * _MARGIN + _LABEL + len(heads) * (tile_width + _GAP) - _GAP
    page = Image.new("RGB", (width, top + sum(heights.values()) + (len(rows) - 1) * _GAP + _MARGIN), _PAGE)
    draw = ImageDraw.Draw(page)
    if title:
        draw.text((_MARGIN, _MARGIN), title, fill=_TEXT, font=ImageFont.load_default(20), anchor="la")
    left = _MARGIN + _LABEL
    for column, (name, note) in enumerate(heads):
        x = left + column * (tile_width + _GAP)
        draw.text((x, top - 8), name, fill=_TEXT, font=ImageFont.load_default(15), anchor="ls")
        draw.text((x + tile_width, top - 8), note, fill=_QUIET, font=ImageFont.load_default(13), anchor="rs")
    y = top
    for name, tiles in rows.items():
        middle = y + heights[name] // 2
        draw.text((_MARGIN, middle), name, fill=_TEXT, font=ImageFont.load_default(17), anchor="lm")
        for column, tile in enumerate(tiles):
            size = (tile_width, heights[name])
            small = cv2.resize(np.ascontiguousarray(tile), size, interpolation=cv2.INTER_AREA)
            page.paste(Image.fromarray(small), (left + column * (tile_width + _GAP), y))
        y += heights[name] + _GAP
    return page
