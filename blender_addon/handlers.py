"""What happens when a file is opened (takes it does not know are listed) or a step is undone (the mask follows)."""

from __future__ import annotations

import logging

import bpy

from . import relocate, resume, session, visible

log = logging.getLogger(__package__)


@bpy.app.handlers.persistent
def after_load(_path: object = None) -> None:
    """List finished takes of the opened file's shots that were not there when it was saved."""
    visible.forget()
    if not hasattr(bpy.types.Scene, "ex4d"):
        return
    found = [name for scene in bpy.data.scenes for name in resume.find_unlisted(scene)]
    if found:
        session.get().tell(f"Found takes that this file did not list: {', '.join(found)}.")


@bpy.app.handlers.persistent
def after_undo(_scene: object = None) -> None:
    """Undo and redo may bring edits back or take them away."""
    visible.edited()


def start() -> None:
    """Listen for files being opened and steps being undone or redone."""
    for handler, found in _LISTENERS:
        if handler not in found:
            found.append(handler)


def stop() -> None:
    """Stop listening."""
    for handler, found in _LISTENERS:
        if handler in found:
            found.remove(handler)
    visible.forget()


_LISTENERS = (
    (after_load, bpy.app.handlers.load_post),
    (after_undo, bpy.app.handlers.undo_post),
    (after_undo, bpy.app.handlers.redo_post),
    (relocate.before_save, bpy.app.handlers.save_pre),
    (relocate.after_save, bpy.app.handlers.save_post),
    (relocate.after_save, getattr(bpy.app.handlers, "save_post_fail", bpy.app.handlers.save_post)),  # from 3.6
)
