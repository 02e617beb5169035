"""Whether a clip's picture moves as a whole, as one does whose camera moved: a guess, from a few frames."""

from pathlib import Path

import bpy
import numpy as np

from ex4d_ground.arrays import Float32
from ex4d_ground.files import frame_name

from ..work import files
from . import shot as shots

BLOCKS = 32
"""Blocks a side, over which noise evens out."""
CHANGES = 0.012
"""Change of brightness, 0 to 1, that half of a still camera's picture does not reach."""


def picture_moves(shot: bpy.types.Object) -> bool:
    """Whether more than half of the picture is another later on; False where the frames are not at hand as pictures."""
    last = shot.ex4d.num_frames - 1
    folder = shots.folder_of(shot) / files.COLOUR_FOLDER
    seen = [_blocks(folder, t) for t in sorted({0, last // 3, 2 * last // 3, last})]
    there = [each for each in seen if each is not None]
    return any(float(np.median(np.abs(each - there[0]))) > CHANGES for each in there[1:])


def _blocks(folder: Path, t: int) -> Float32 | None:  # [BLOCKS, BLOCKS] mean brightness
    path = next((found for suffix in (".png", ".jpg") if (found := folder / frame_name(t, suffix)).exists()), None)
    if path is None:
        return None
    image = bpy.data.images.load(str(path), check_existing=False)
    try:
        width, height = image.size
        if min(width, height) < BLOCKS:
            return None
        values = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(values)
    finally:
        bpy.data.images.remove(image)
    grey = values.reshape(height, width, 4)[..., :3].mean(axis=2)
    tall, wide = height // BLOCKS, width // BLOCKS
    return grey[: tall * BLOCKS, : wide * BLOCKS].reshape(BLOCKS, tall, BLOCKS, wide).mean(axis=(1, 3))
