"""Mattes: what of each frame moves by itself, as white in a video or in a sequence of pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Unpack

import cv2
import numpy as np

from ex4d.clip.video import read_frames
from ex4d.progress import Watch
from ex4d.types import Clip
from ex4d_ground.arrays import Bool
from ex4d_ground.errors import ClipError

WHITE = 127
"""Level (of 255) above which a matte says that something moves."""


def read_matte(path: Path, clip: Clip, **watch: Unpack[Watch]) -> Callable[[int], Bool]:  # frame -> [H, W]
    """A matte of the clip's frames, white where something moves by itself, brought to the clip's size.

    Raises ClipError for what cannot be read, has fewer frames than the clip, or another shape; Cancelled.
    """
    frames, _ = read_frames(path, **watch)
    if len(frames) < clip.num_frames:
        raise ClipError(
            f"The matte {path} has {len(frames)} frames, the clip {clip.num_frames}; give one for each frame."
        )
    height, width = frames.shape[1:3]
    if abs(width * clip.height / (height * clip.width) - 1) > 0.02:
        raise ClipError(
            f"The matte {path} is {width}x{height}, which is not the shape of the clip's {clip.width}x{clip.height}; "
            "make it of the clip's pictures."
        )

    def of(t: int) -> Bool:
        white = (np.asarray(frames[t]).max(axis=2) > WHITE).astype(np.uint8)
        if white.shape != (clip.height, clip.width):
            white = cv2.resize(white, (clip.width, clip.height), interpolation=cv2.INTER_NEAREST)
        return white.astype(np.bool_)

    return of
