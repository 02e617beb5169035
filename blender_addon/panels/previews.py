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


GRAPH = "coverage graph"
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
