"""Pictures as Blender reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def read_rgba(bpy: Any, path: Path | str) -> np.ndarray:  # [H, W, 4] uint8
    """A picture's own numbers, from the top."""
    image = bpy.data.images.load(str(path), check_existing=False)
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    return np.round(values.reshape(height, width, 4)[::-1] * 255).astype(np.uint8)
