"""Paths of ours when a .blend is saved elsewhere: like Blender's own, they go on pointing at the same files.

Blender rewrites the ``//`` paths it knows (images, the mesh cache, strips) when Save As changes the folder. Paths in an
add-on's properties it does not know.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from ..work import files
from ..work.hooks import Listeners
from . import linked

SHOT_PATHS = ("folder", "video_path", "depth_path")
SCENE_PATHS = ("video_path", "depth_path")


@dataclass
class _Save:
    """The save under way: where the file was, and the paths that were rewritten for its new place."""

    old: str = ""
    changed: list[tuple[Any, str, str]] = field(default_factory=list)


_save = _Save()


@bpy.app.handlers.persistent
def before_save(target: object = None, _unused: object = None) -> None:
    """Write our ``//`` paths for the folder that the file is about to be saved in."""
    _save.old, _save.changed = bpy.data.filepath, []
    new = str(target or "")
    if not _save.old or not new or Path(_save.old).parent == Path(new).parent or not hasattr(bpy.types.Scene, "ex4d"):
        return
    for owner, name in _paths():
        path = getattr(owner, name)
        if path.startswith("//"):
            _save.changed.append((owner, name, path))
            setattr(owner, name, files.blender_path(Path(bpy.path.abspath(path)), new))


@bpy.app.handlers.persistent
def after_save(_target: object = None, _unused: object = None) -> None:
    """After a saved copy, or a save that failed, the open file is still the old one: its paths come back."""
    if bpy.data.filepath == _save.old:
        for owner, name, path in _save.changed:
            setattr(owner, name, path)
    _save.changed = []


listeners = Listeners(("save_pre", before_save), ("save_post", after_save), ("save_post_fail", after_save))  # from 3.6


def _paths() -> Iterator[tuple[Any, str]]:
    for obj in bpy.data.objects:
        if obj.ex4d.is_shot and linked.library_of(obj) is None:
            yield from ((obj.ex4d, name) for name in SHOT_PATHS)
    for scene in bpy.data.scenes:
        if scene.library is None:
            yield from ((scene.ex4d, name) for name in SCENE_PATHS)
            yield from ((take, "folder") for take in scene.ex4d.takes)
