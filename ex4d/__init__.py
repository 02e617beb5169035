"""EX-4D for Blender, the library: clips, DW-meshes, cameras, guides, engines. No Blender, no sockets.

What is used most stands here; the modules hold the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ex4d.compiled_cache import choose_cache_folder

if TYPE_CHECKING:
    from ex4d.clip import load_clip as load_clip
    from ex4d.depth import estimate_depth as estimate_depth
    from ex4d.depth import list_estimators as list_estimators
    from ex4d.dwmesh import DWMesh as DWMesh
    from ex4d.engines import list_engines as list_engines
    from ex4d.guides import render_guides as render_guides
    from ex4d.shots.options import ShotOptions as ShotOptions
    from ex4d.shots.take import generate as generate
    from ex4d.takes import read_take as read_take
    from ex4d.takes import save_take as save_take
    from ex4d.trajectory import preset as preset
    from ex4d.types import Clip as Clip
    from ex4d.types import Guides as Guides
    from ex4d.types import Take as Take
    from ex4d_ground.camera_files import load_camera as load_camera
    from ex4d_ground.camera_files import save_camera as save_camera
    from ex4d_ground.cameras import Intrinsics as Intrinsics
    from ex4d_ground.cameras import Trajectory as Trajectory
    from ex4d_ground.errors import Cancelled as Cancelled
    from ex4d_ground.errors import Ex4dError as Ex4dError
    from ex4d_ground.options import MeshOptions as MeshOptions
    from ex4d_ground.options import RasterOptions as RasterOptions

__version__ = "0.1.0"

choose_cache_folder()  # before anything compiles

_HOMES = {
    "ex4d.clip": "load_clip",
    "ex4d.depth": "estimate_depth list_estimators",
    "ex4d.dwmesh": "DWMesh",
    "ex4d.engines": "list_engines",
    "ex4d.guides": "render_guides",
    "ex4d.shots.options": "ShotOptions",
    "ex4d.shots.take": "generate",
    "ex4d.takes": "read_take save_take",
    "ex4d.trajectory": "preset",
    "ex4d.types": "Clip Guides Take",
    "ex4d_ground.camera_files": "load_camera save_camera",
    "ex4d_ground.cameras": "Intrinsics Trajectory",
    "ex4d_ground.errors": "Cancelled Ex4dError",
    "ex4d_ground.options": "MeshOptions RasterOptions",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    # numpy takes a good part of the start of `ex4d --help`; nothing is loaded before it is asked for.
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'ex4d' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
