"""Pictures in panels: the coverage graph and the takes' thumbnails."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews
import numpy as np

from ex4d_ground.arrays import Float32

_collection: Any = None


GRAPH, DICE = "coverage graph", "die"
_graph_key = ""


def graph(key: str, draw: Callable[[], Float32]) -> int:  # -> [S, S, 4] bottom row first
    """Icon id of the one graph, drawn anew when ``key`` changes."""
    global _graph_key
    preview = _all().get(GRAPH)
    if preview is None:
        preview, _graph_key = _all().new(GRAPH), ""
    if key != _graph_key:
        pixels, _graph_key = draw(), key
        preview.image_size = pixels.shape[1], pixels.shape[0]
        preview.image_pixels_float.foreach_set(np.ascontiguousarray(pixels, np.float32).ravel())
    return int(preview.icon_id)


def dice() -> int:
    """Icon id of a die that shows five, since Blender has none."""
    preview = _all().get(DICE)
    if preview is None:
        preview = _all().new(DICE)
        pixels = dice_pixels()
        preview.icon_size = pixels.shape[1], pixels.shape[0]
        preview.icon_pixels_float.foreach_set(pixels.ravel())
    return int(preview.icon_id)


def dice_pixels() -> Float32:  # [32, 32, 4] bottom row first
    """A light square with round corners and five holes, for dark and light themes."""
    y, x = np.mgrid[:32, :32].astype(np.float32) - np.float32(15.5)
    outside = np.hypot(np.maximum(np.abs(x) - 9, 0), np.maximum(np.abs(y) - 9, 0)) - 4
    alpha = np.clip(0.5 - outside, 0, 1)
    for column, row in ((0, 0), (-7, -7), (-7, 7), (7, -7), (7, 7)):
        alpha *= np.clip(np.hypot(x - column, y - row) - 2, 0, 1)
    out = np.full((32, 32, 4), 0.75, np.float32)
    out[..., 3] = alpha
    return out


def thumbnail(path: Path) -> int:
    """Icon id of an image file; 0 if there is none."""
    try:
        key = f"{path} {os.stat(path).st_mtime_ns}"  # noqa: PTH116 - called on every redraw; written anew is shown anew
    except OSError:
        return 0
    preview = _all().get(key)
    if preview is None:
        preview = _all().load(key, str(path), "IMAGE")
    return int(preview.icon_id)


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
