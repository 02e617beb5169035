"""What an estimated camera explains of the picture, and what it does not, to be looked at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ex4d.solve.bundle import Observations
from ex4d.solve.solve import Solved
from ex4d.types import Clip
from ex4d_ground.arrays import UInt8
from ex4d_ground.files import atomic_path

COLUMNS, ROWS = 3, 2
TILE = 480
_FITS, _MOVES = (80, 230, 120), (255, 70, 60)
_PAGE, _TEXT = (32, 32, 34), (222, 222, 224)
_HEAD = 40
TRAIL = 8
"""Frames that a point's way is drawn of."""


def residual_picture(clip: Clip, solved: Solved, path: Path | str) -> None:
    """Write :func:`residual_page` as a PNG. Raises OutputError."""
    with atomic_path(Path(path).with_suffix(".png")) as temporary:
        Image.fromarray(residual_page(clip, solved)).save(temporary)


def residual_page(clip: Clip, solved: Solved) -> UInt8:  # [H, W, 3]
    """A few frames with the followed points: green where the camera explains them, red where not.

    Each point has the way it came in the frames before.
    """
    chosen = sorted({round(i) for i in np.linspace(0, clip.num_frames - 1, COLUMNS * ROWS)})
    tile_height = max(round(TILE * clip.height / clip.width), 1)
    columns = min(COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    page = Image.new("RGB", (columns * TILE, _HEAD + rows * tile_height), _PAGE)
    draw = ImageDraw.Draw(page)
    words = " ".join(solved.verdict.lines())
    draw.text((10, _HEAD // 2), f"Green fits, red goes its own way. {words}", _TEXT, ImageFont.load_default(15), "lm")
    for i, t in enumerate(chosen):
        tile = _tile(clip.frames[t], solved.seen, solved.fits, t, tile_height)
        corner = (i % columns) * TILE, _HEAD + (i // columns) * tile_height
        page.paste(Image.fromarray(tile), corner)
        draw.text((corner[0] + 8, corner[1] + 8), f"Frame {t + 1}", _TEXT, ImageFont.load_default(15), "la")
    return np.asarray(page, np.uint8)


def _tile(frame: UInt8, seen: Observations, fits: np.ndarray, t: int, height: int) -> UInt8:  # [height, TILE, 3]
    scale = TILE / frame.shape[1]
    picture = cv2.resize(np.ascontiguousarray(frame), (TILE, height), interpolation=cv2.INTER_AREA)
    picture = (picture * 0.55).astype(np.uint8)
    now = seen.frame == t
    recent = (seen.frame > t - TRAIL) & (seen.frame <= t) & np.isin(seen.point, seen.point[now])
    order = np.flatnonzero(recent)[np.lexsort((seen.frame[recent], seen.point[recent]))]
    places = np.round(seen.xy[order] * scale * 16).astype(np.int32)
    fit_of = dict(zip(seen.point[now].tolist(), fits[now].tolist(), strict=True))
    for rows in np.split(np.arange(len(order)), np.flatnonzero(np.diff(seen.point[order])) + 1):
        if not len(rows):
            continue
        way, colour = places[rows], _FITS if fit_of[int(seen.point[order[rows[0]]])] else _MOVES
        cv2.polylines(picture, [way.reshape(-1, 1, 2)], False, colour, 1, cv2.LINE_AA, 4)
        cv2.circle(picture, (int(way[-1, 0]), int(way[-1, 1])), 32, colour, -1, cv2.LINE_AA, 4)
    return np.asarray(picture, np.uint8)
