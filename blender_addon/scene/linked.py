"""Shots that come from another .blend: linked as they are, or as a library override.

Of a linked shot nothing can be changed here, for it would be gone with the next opening; what is made of it (guides,
takes) goes beside the file that is open. An override has its own camera, timing and coverage; its mesh stays the
library's.
"""

from pathlib import Path

import bpy

from ..work.errors import AddonError


def library_of(owner: bpy.types.ID) -> bpy.types.Library | None:
    """The file that ``owner``'s data comes from, linked or overridden; None if it is this one's own."""
    if owner.override_library is not None:
        return owner.override_library.reference.library
    return owner.library


def absolute(path: str, owner: bpy.types.ID) -> Path:
    """``path`` of a property of ``owner``: what begins with ``//`` is relative to the file it comes from."""
    return Path(bpy.path.abspath(path, library=library_of(owner)))


def modifier_path(path: str, owner: bpy.types.Object) -> Path:
    """``path`` of a modifier of ``owner``: Blender makes that of a new override relative to the open file."""
    here = Path(bpy.path.abspath(path))
    if owner.override_library is not None and here.exists():
        return here
    return absolute(path, owner)


def require_changeable(owner: bpy.types.ID) -> None:
    """Raise AddonError if ``owner`` is linked: what is changed in it here would not be saved."""
    if owner.library is not None:
        raise AddonError(
            f"'{owner.name}' is linked from {Path(owner.library.filepath).name}, so it cannot be changed here; make a "
            "library override of its collection, or open that file."
        )
