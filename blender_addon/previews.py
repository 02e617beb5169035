"""Pictures in panels: the coverage graph and the takes' thumbnails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews
import numpy as np
from numpy.typing import NDArray

_collection: Any = None


def graph(key: str, pixels: NDArray[np.float32]) -> int:  # [S, S, 4] bottom row first
    """Icon id of a picture made of numbers; the same ``key`` is drawn once."""
    found = _all().get(key)
    if found is None:
        found = _all().new(key)
        found.image_size = pixels.shape[1], pixels.shape[0]
        found.image_pixels_float.foreach_set(np.ascontiguousarray(pixels, np.float32).ravel())
    return int(found.icon_id)


def thumbnail(path: Path) -> int:
    """Icon id of an image file; 0 if there is none."""
    key = str(path)
    found = _all().get(key)
    if found is None:
        if not path.exists():
            return 0
        found = _all().load(key, key, "IMAGE")
    return int(found.icon_id)


def clear() -> None:
    """Free all pictures (before the add-on goes)."""
    global _collection
    if _collection is not None:
        bpy.utils.previews.remove(_collection)
        _collection = None


def _all() -> Any:
    global _collection
    if _collection is None:
        _collection = bpy.utils.previews.new()
    return _collection
