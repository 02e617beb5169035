"""EX-4D for Blender, the library: clips, DW-meshes, cameras, guides, engines. No Blender, no sockets."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ex4d.types import Clip, Guides, Intrinsics, MeshOptions, RasterOptions, Take, Trajectory

__version__ = "0.1.0"

__all__ = [
    "Clip",
    "Guides",
    "Intrinsics",
    "MeshOptions",
    "RasterOptions",
    "Take",
    "Trajectory",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # numpy takes a good part of the start of `ex4d --help`; it is loaded with the first type that is asked for.
    if name in __all__:
        return getattr(importlib.import_module("ex4d.types"), name)
    raise AttributeError(f"module 'ex4d' has no attribute {name!r}")
