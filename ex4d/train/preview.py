"""Simulated masks to look at: a contact sheet and a video, before a night is spent on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ex4d.clip import load_clip, write_video
from ex4d.progress import Watch, reported
from ex4d.train.degrade import degraded
from ex4d.train.footage import DEPTH_ENDINGS, depth_beside
from ex4d.train.masks import ClipMasks, MaskRecipe, SimulatedMask, mask_renderer, masked
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import ClipError, DepthError
from ex4d_ground.files import atomic_path
from ex4d_ground.sequences import is_named

STAGE = "masks"
_COLUMNS, _TILE, _HOLE = 5, 240, (200, 40, 90)


@dataclass(frozen=True)
class Preview:
    """What was drawn and where it lies."""

    masks: list[SimulatedMask]
    sheet: Path
    video: Path


def preview(
    clip: Path,
    folder: Path,
    *,
    depth: Path | None = None,
    recipe: MaskRecipe | None = None,
    seeds: Sequence[int] = range(8),
    num_frames: int = 49,
    degrade: bool = False,
    **watch: Unpack[Watch],
) -> Preview:
    """Draw masks of ``clip`` into ``folder``: ``masks.png`` and ``masks.mp4``, a row of masks per seed.

    Raises ClipError, DepthError (no depth beside the clip), OutputError, Cancelled.
    """
    if not is_named(clip):
        raise ClipError(f"There is no file or folder {clip}; check the path of the video.")
    found = depth or depth_beside(clip)
    if found is None:
        names = ", ".join(f"{clip.stem}{end}" for end in DEPTH_ENDINGS)
        raise DepthError(f"{clip.name} has no depth beside it ({names}); make it with ex4d depth, or name the file.")
    loaded = load_clip(clip, found, num_frames=num_frames, **watch)
    maker = ClipMasks(loaded, recipe or MaskRecipe(), renderer=mask_renderer(loaded), **watch)
    masks = [maker.draw(seed) for seed in reported(list(seeds), STAGE, len(seeds), **watch)]
    frames = np.asarray(loaded.frames)
    shown = [_shown(degraded(loaded, m.mask, m.seed) if degrade else masked(frames, m.mask), m) for m in masks]
    sheet, video = folder / "masks.png", folder / "masks.mp4"
    with atomic_path(sheet) as temporary:
        _page(masks, shown).save(temporary)
    write_video(video, np.concatenate([_wall([s[t] for s in shown])[None] for t in range(len(frames))]), fps=loaded.fps)
    return Preview(masks, sheet, video)


def _shown(condition: UInt8, mask: SimulatedMask) -> UInt8:
    """Holes in a colour that no footage has."""
    return np.where(mask.mask[..., None], condition, np.array(_HOLE, np.uint8))


def _wall(pictures: Sequence[UInt8]) -> UInt8:
    """Pictures side by side in about a square."""
    columns = int(np.ceil(np.sqrt(len(pictures))))
    blank = np.zeros_like(pictures[0])
    filled = [*pictures, *[blank] * (-len(pictures) % columns)]
    rows = [np.concatenate(filled[i : i + columns], axis=1) for i in range(0, len(filled), columns)]
    return np.concatenate(rows, axis=0)


def _page(masks: Sequence[SimulatedMask], shown: Sequence[UInt8]) -> Image.Image:
    count, height, width = shown[0].shape[:3]
    high = max(round(_TILE * height / width), 1)
    page = Image.new("RGB", (_COLUMNS * (_TILE + 6) + 6, len(masks) * (high + 24) + 6), (32, 32, 34))
    draw = ImageDraw.Draw(page)
    for row, (mask, frames) in enumerate(zip(masks, shown, strict=True)):
        top = 6 + row * (high + 24)
        text = f"seed {mask.seed}  {mask.kind}  {mask.hidden:.0%} hidden  ({mask.about})"
        draw.text((6, top), text, fill=(222, 222, 224), font=ImageFont.load_default(13))
        for column, t in enumerate(np.linspace(0, count - 1, _COLUMNS).round().astype(int)):
            tile = Image.fromarray(frames[t]).resize((_TILE, high))
            page.paste(tile, (6 + column * (_TILE + 6), top + 18))
    return page
