"""Guides as two videos on disk: written, and read back at the size and length a model is to make."""

from pathlib import Path
from typing import Unpack

import cv2
import numpy as np

from ex4d.clip import read_video, write_video
from ex4d.progress import Watch
from ex4d.types import Guides
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import SettingError
from ex4d_ground.remedies import larger_picture

LEAST = 16
"""Pixels along each side of the model's smallest picture: a 2x2 patch of latents of 8 pixels."""


def write_guides(folder: Path, guides: Guides, name: str, *, fps: float, **watch: Unpack[Watch]) -> None:
    """Write color_NAME.mp4 and mask_NAME.mp4, as EX-4D calls them. Raises OutputError, Cancelled."""
    for what, frames in (("color", guides.colour), ("mask", guides.mask)):
        metadata = {"comment": f"EX-4D {what} guide, camera {name}"}
        write_video(folder / f"{what}_{name}.mp4", frames, fps=fps, metadata=metadata, **watch)


def read_guides(
    colour: Path,
    mask: Path,
    *,
    num_frames: int | None = None,
    size: tuple[int, int] | None = None,
    **watch: Unpack[Watch],
) -> tuple[Guides, float]:
    """Colour and mask guides, and their frame rate.

    ``num_frames`` frames are picked evenly from each video (the last one is repeated if it is shorter), ``size`` is
    (width, height); None keeps the colour video's own. A mask pixel counts as visible above half. EX-4D picks and
    resizes in the same way. Raises ClipError for an unreadable video, SettingError for a number that makes no sense.
    """
    if num_frames is not None and num_frames < 1:
        raise SettingError(f"At least one frame is needed, got {num_frames}.")
    if size is not None:
        _check_size(size)
    colours, fps = read_video(colour, **watch)
    masks, _ = read_video(mask, **watch)
    count = num_frames or len(colours)
    if size is None:
        size = (colours.shape[2], colours.shape[1])
        _check_size(size)
    shown = _fitted(masks, count, size).max(axis=3) > 127
    fitted = _fitted(colours, count, size)
    return Guides(np.where(shown[..., None], fitted, np.uint8(0)), shown), fps


def _check_size(size: tuple[int, int]) -> None:
    if min(size) < LEAST:
        text = f"A picture of {size[0]}x{size[1]} pixels is too small for the model."
        raise SettingError(text, remedy=larger_picture(LEAST))


def _fitted(frames: UInt8, count: int, size: tuple[int, int]) -> UInt8:  # [T, H, W, 3] -> [count, height, width, 3]
    picked = np.linspace(0, len(frames) - 1, count).astype(int) if len(frames) >= count else np.arange(len(frames))
    resized = [cv2.resize(frames[i], size) for i in picked]
    resized += [resized[-1]] * (count - len(resized))
    return np.stack(resized).astype(np.uint8, copy=False)
