"""What happens when a file is opened: finished takes that it does not know are listed."""

from __future__ import annotations

import logging

import bpy

from . import resume, session

log = logging.getLogger(__package__)


@bpy.app.handlers.persistent
def after_load(_path: object = None) -> None:
    """List finished takes of the opened file's shots that were not there when it was saved."""
    if not hasattr(bpy.types.Scene, "ex4d"):
        return
    found = [name for scene in bpy.data.scenes for name in resume.find_unlisted(scene)]
    if found:
        session.get().tell(f"Found takes that were finished meanwhile: {', '.join(found)}.")


def start() -> None:
    """Listen for files being opened."""
    if after_load not in bpy.app.handlers.load_post:
        bpy.app.handlers.load_post.append(after_load)


def stop() -> None:
    """Stop listening."""
    if after_load in bpy.app.handlers.load_post:
        bpy.app.handlers.load_post.remove(after_load)
