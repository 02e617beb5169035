"""Where a shot's files live, and writing them whole or not at all.

Everything of a shot lies below ``<blend folder>/<blend name>_ex4d/<shot>/``: ``mesh.pc2``, ``colour/`` and
``visible/`` (numbered PNGs), ``guides/`` and one ``take_NNN/`` per take. Blender sees these as ``//`` paths, so the
.blend and its folder can be moved together.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from .errors import AddonError, StorageError

CACHE_FILE = "mesh.pc2"
DEPTH_FILE = "depth.npy"
"""Depth that the backend has estimated."""
COLOUR_FOLDER = "colour"
VISIBLE_FOLDER = "visible"
MASK_FOLDER = "mask"
GUIDES_FOLDER = "guides"
TAKE_FILE = "take.json"
"""Written last: a take folder without it is unfinished."""
PARTIAL_FILE = "partial.json"
"""Written first: what an unfinished take would have been."""


def frame_name(index: int) -> str:
    """File name of a sequence's ``index``-th frame (0-based): numbering starts at 1, as in Blender."""
    return f"frame_{index + 1:04d}.png"


def safe_name(name: str) -> str:
    """``name`` as a folder name on every system; "shot" if nothing usable remains."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:48] or "shot"


def shot_folder(blend_path: str, shot: str, explicit: str = "") -> Path:
    """Folder for a shot's files.

    Raises AddonError if the .blend was never saved and no folder is given: there would be no place beside it.
    """
    if explicit:
        return Path(explicit).absolute() / safe_name(shot)
    if not blend_path:
        raise AddonError("This .blend has not been saved yet, so its files have no place; save it first (Ctrl+S).")
    blend = Path(blend_path)
    return blend.parent / f"{blend.stem}_ex4d" / safe_name(shot)


def free_folder(parent: Path, stem: str) -> Path:
    """The first of ``stem_001``, ``stem_002``, ... that does not exist below ``parent``."""
    number = 1
    while (parent / f"{stem}_{number:03d}").exists():
        number += 1
    return parent / f"{stem}_{number:03d}"


def blender_path(path: Path, blend_path: str) -> str:
    """``path`` as Blender stores it: ``//`` and relative to the .blend, absolute if there is none or across drives."""
    if not blend_path:
        return str(path)
    try:
        relative = os.path.relpath(path, Path(blend_path).parent)
    except ValueError:  # another drive on Windows
        return str(path)
    return "//" + relative.replace(os.sep, "/")


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``path`` so that the file is either complete or absent. Raises StorageError."""
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(
            f"Cannot write {path}: {error.strerror or error}; free some space or choose another folder."
        ) from error
