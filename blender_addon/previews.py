"""Pictures in panels: the coverage graph and the takes' thumbnails."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews
import numpy as np
from numpy.typing import NDArray

_collection: Any = None


GRAPH = "coverage graph"
_graph_key = ""


def graph(key: str, draw: Callable[[], NDArray[np.float32]]) -> int:  # -> [S, S, 4] bottom row first
    """Icon id of the one graph, drawn anew when ``key`` changes."""
    global _graph_key
    found = _all().get(GRAPH)
    if found is None:
        found, _graph_key = _all().new(GRAPH), ""
    if key != _graph_key:
        pixels, _graph_key = draw(), key
        found.image_size = pixels.shape[1], pixels.shape[0]
        found.image_pixels_float.foreach_set(np.ascontiguousarray(pixels, np.float32).ravel())
    return int(found.icon_id)


def thumbnail(path: Path) -> int:
    """Icon id of an image file; 0 if there is none."""
    try:
        key = f"{path} {os.stat(path).st_mtime_ns}"  # noqa: PTH116 - called on every redraw; written anew is shown anew
    except OSError:
        return 0
    found = _all().get(key)
    if found is None:
        found = _all().load(key, str(path), "IMAGE")
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
