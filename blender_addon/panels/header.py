"""What is running, in the 3D view's header: seen with the sidebar closed, too."""

from typing import Any

import bpy

from ..work import session
from ..work.hooks import Feature
from . import progress


def draw(header: Any, _context: bpy.types.Context) -> None:
    """The newest task: its share as a ring, and what it does."""
    tasks = session.get().tasks
    if not tasks:
        return
    task = tasks[-1]
    row = header.layout.row(align=True)
    share = task.progress.whole or task.progress.share
    row.progress(type="RING", factor=share, text=progress.short_words(task))


def start() -> None:
    """Show it in every 3D view."""
    bpy.types.VIEW3D_HT_header.append(draw)


def stop() -> None:
    """Show it no more."""
    bpy.types.VIEW3D_HT_header.remove(draw)


feature = Feature(start, stop)
