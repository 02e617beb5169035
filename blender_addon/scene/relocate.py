"""Paths of ours when a .blend is saved elsewhere: like Blender's own, they go on pointing at the same files.

Blender rewrites the ``//`` paths it knows (images, the mesh cache, strips) when Save As changes the folder. Paths in an
add-on's properties it does not know.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from ex4d_ground.errors import in_brief

from ..work import compat, files, session, unsaved
from ..work.errors import AddonError
from ..work.hooks import Listeners
from . import linked

SHOT_PATHS = ("folder", "video_path", "depth_path")
SCENE_PATHS = ("video_path", "depth_path")


@dataclass
class _Save:
    """The save under way: where the file was, and the paths that were rewritten for its new place."""

    old: str = ""
    changed: list[tuple[Any, str, str]] = field(default_factory=list)
    moved: dict[Path, Path] = field(default_factory=dict)
    """Folders of shots that had no .blend yet, and where their files are beside it."""


_save = _Save()


@bpy.app.handlers.persistent
def before_save(target: object = None, _unused: object = None) -> None:
    """Write our ``//`` paths for the folder that the file is about to be saved in."""
    _save.old, _save.changed, _save.moved = bpy.data.filepath, [], {}
    new = str(target or "")
    if not new or not hasattr(bpy.types.Scene, "ex4d"):
        return
    if _save.old and Path(_save.old).parent != Path(new).parent:
        _follow(new)
    _bring_unsaved(Path(new))


def _follow(new: str) -> None:
    for owner, name in _paths():
        path = getattr(owner, name)
        if path.startswith("//"):
            _save.changed.append((owner, name, path))
            setattr(owner, name, files.blender_path(Path(bpy.path.abspath(path)), new))


@bpy.app.handlers.persistent
def after_save(target: object = None, _unused: object = None) -> None:
    """After a saved copy, or a save that failed, the open file is still the old one: its paths come back."""
    if str(target or "") != bpy.data.filepath:
        _restore()
    elif not _save.old or _save.moved:
        unsaved.moved_to(list(_save.moved), bpy.data.filepath)
    _save.changed, _save.moved = [], {}


def _restore() -> None:
    for owner, name, path in _save.changed:
        setattr(owner, name, path)


@bpy.app.handlers.persistent
def after_failed_save(_target: object = None, _unused: object = None) -> None:
    """Nothing was saved: files that were brought beside it go again, and are where they were before."""
    _restore()
    for folder in _save.moved.values():
        shutil.rmtree(folder, ignore_errors=True)
    _save.changed, _save.moved = [], {}


def _bring_unsaved(blend: Path) -> None:
    """Have the files of shots that had no .blend yet beside ``blend``, and all paths lead there.

    Where that cannot be, or something still writes there, they stay where they are and the next save does it.
    """
    folders = {folder for owner, name in _paths() if (folder := unsaved.shot_in(_absolute(owner, name))) is not None}
    if not folders or not blend.parent.is_dir():
        return
    current = session.get()
    if current.tasks:
        current.tell(
            f"The shot's files stay in {unsaved.base()} until the next save: {current.tasks[0].title} goes on."
        )
        return
    beside = blend.parent
    try:
        beside = files.shot_folder(str(blend), "shot").parent
        for folder in sorted(folders):
            _save.moved[folder] = unsaved.take_along(folder, beside)
    except (AddonError, OSError) as error:
        for made in _save.moved.values():
            shutil.rmtree(made, ignore_errors=True)
        _save.moved = {}
        why = in_brief(error).rstrip(".")
        current.tell(
            f"The shot's files stay in {unsaved.base()}, for {beside} cannot be written: {why}.", is_error=True
        )
        return
    lead(_save.moved, str(blend), _save.changed)


def lead(moved: dict[Path, Path], blend: str, changed: list[tuple[Any, str, str]]) -> None:
    """Have every path below a key of ``moved`` lead to its new folder; what it was is added to ``changed``."""
    blenders = [(owner, name, "") for owner, name in _blender_paths()]  # it makes them relative itself
    for owner, name, beside in (*blenders, *((owner, name, blend) for owner, name in _paths())):
        path = _absolute(owner, name)
        for old, new in moved.items():
            if path == old or old in path.parents:
                changed.append((owner, name, getattr(owner, name)))
                setattr(owner, name, files.blender_path(new / path.relative_to(old), beside))


def _absolute(owner: Any, name: str) -> Path:
    return Path(bpy.path.abspath(getattr(owner, name)))


def _blender_paths() -> Iterator[tuple[Any, str]]:
    """Paths in Blender's own data that may lead into a shot's folder."""
    yield from ((image, "filepath") for image in bpy.data.images if image.library is None)
    yield from ((clip, "filepath") for clip in bpy.data.movieclips if clip.library is None)
    for obj in bpy.data.objects:
        if obj.library is None:
            yield from ((m, "filepath") for m in obj.modifiers if m.type == "MESH_CACHE")
    for scene in bpy.data.scenes:
        if scene.library is None and scene.sequence_editor is not None:
            for strip in compat.strips_of(scene.sequence_editor):
                names = {"IMAGE": "directory", "MOVIE": "filepath"}
                if strip.type in names:
                    yield strip, names[strip.type]


@bpy.app.handlers.persistent
def after_load(_path: object = None) -> None:
    """Another file is open."""
    unsaved.forget()


listeners = Listeners(
    ("save_pre", before_save),
    ("save_post", after_save),
    ("save_post_fail", after_failed_save),
    ("load_post", after_load),
)


def _paths() -> Iterator[tuple[Any, str]]:
    for obj in bpy.data.objects:
        if obj.ex4d.is_shot and linked.library_of(obj) is None:
            yield from ((obj.ex4d, name) for name in SHOT_PATHS)
    for scene in bpy.data.scenes:
        if scene.library is None:
            yield from ((scene.ex4d, name) for name in SCENE_PATHS)
            yield from ((take, "folder") for take in scene.ex4d.takes)
