"""Where a shot's files live, and writing them whole or not at all.

Everything of a shot lies below ``<blend folder>/<blend name>_ex4d/<shot>/``: ``mesh.pc2``, ``colour/`` and
``visible/`` (numbered PNGs), ``guides/`` and one ``take_NNN/`` per take. Blender sees these as ``//`` paths, so the
.blend and its folder can be moved together.
"""

import contextlib
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from itertools import chain, count
from pathlib import Path
from typing import Any

from ex4d_ground.errors import OutputError
from ex4d_ground.files import atomic_path, output_error, shown_path

from .errors import StorageError

CACHE_FILE = "mesh.pc2"
DEPTH_FILE = "depth.npy"
DEPTH_CAMERA_FILE = "depth_camera.npz"
"""How the camera moved by what estimated the depth, if it says so."""
"""Depth that the backend has estimated."""
# Folders of pictures are called what the backend calls their items.
COLOUR_FOLDER = "colour"
VISIBLE_FOLDER = "visible"
MASK_FOLDER = "mask"
GUIDES_FOLDER = "guides"
UNFINISHED = ".ex4d-export"
"""How folders begin that hold an export which is not whole."""


_LONGEST_PATH = 1023
"""Bytes of a path in Blender (FILE_MAX without its end)."""
INSIDE = 64
"""Bytes that the names below a shot's folder may need."""
_LONGEST_NAME = 96
"""Bytes: file systems allow 255, and the .blend's own folders stand before it."""
_NO_FILE_NAMES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
"""Names that Windows keeps for devices, whatever their ending."""


def safe_name(name: str) -> str:
    """``name`` as a folder name on every system, letters of every script kept; "shot" if nothing usable remains."""
    plain = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", name)).strip("_")
    while len(plain.encode()) > _LONGEST_NAME:
        plain = plain[:-1]
    return f"{plain}_" if _NO_FILE_NAMES.fullmatch(plain) else plain or "shot"


def shot_folder(blend_path: str, shot: str, explicit: str = "") -> Path:
    """Folder for a shot's files: below ``explicit``, else beside the .blend, which has been saved then.

    Raises AddonError if its path is too long for Blender. Of a scene without a .blend: see :mod:`.unsaved`.
    """
    if explicit:
        return require_short(Path(explicit).absolute() / safe_name(shot))
    blend = Path(blend_path)
    return require_short(blend.parent / f"{blend.stem}_ex4d" / safe_name(shot))


def free_folder(parent: Path, stem: str) -> Path:
    """The first of ``stem_001``, ``stem_002``, ... that does not exist below ``parent``."""
    return next(path for number in count(1) if not (path := parent / f"{stem}_{number:03d}").exists())


def free_path(path: Path) -> Path:
    """``path``, or with _2, _3, ... at its end if that is taken: what is there is not written over."""
    taken = (path.with_name(f"{path.name}_{number}") for number in count(2))
    return next(candidate for candidate in chain((path,), taken) if not os.path.lexists(candidate))


def with_ending(path: Path, ending: str, *, others: Iterable[str] = ()) -> Path:
    """``path`` with ``ending``: appended, unless it has it, or in place of one of the ``others``.

    What follows a dot in a name like shot_v1.3 is part of the name.
    """
    name, lower = path.name, path.name.lower()
    endings = (ending, *others)
    other = next((each for each in endings if each and lower.endswith(each) and len(name) > len(each)), "")
    return path.with_name(name[: len(name) - len(other)] + ending)


def blender_path(path: Path, blend_path: str) -> str:
    """``path`` as Blender stores it: ``//`` and relative to the .blend, absolute if there is none or across drives."""
    if not blend_path:
        return str(path)
    try:
        relative = os.path.relpath(path, Path(blend_path).parent)
    except ValueError:  # another drive on Windows
        return str(path)
    return "//" + relative.replace(os.sep, "/")


@contextlib.contextmanager
def writing(path: Path, *, what: str = "") -> Iterator[None]:
    """Raise StorageError, naming ``path`` (and ``what`` it is), for what the system says against writing it."""
    try:
        yield
    except OutputError as error:
        raise StorageError(str(error)) from error
    except OSError as error:
        raise StorageError(str(output_error(path, error, what=what))) from error


def require_short(folder: Path, below: str = "") -> Path:
    """``folder``, unless Blender cannot open files of it that are named like ``below``, or up to :data:`INSIDE` bytes.

    Raises StorageError.
    """
    length, most = len(os.fsencode(folder)), _LONGEST_PATH - (len(os.fsencode(below)) + 1 if below else INSIDE)
    if length > most:
        raise StorageError(
            f"The path {shown_path(folder)} has {length} bytes, and Blender can use no more than {most} here; "
            "choose a folder with a shorter path."
        )
    return folder


def try_room(path: Path, size: int) -> None:
    """Raise OSError where a file of so many bytes cannot be written to ``path``, where there is none."""
    try:
        path.write_bytes(bytes(size))
    finally:
        path.unlink(missing_ok=True)


def copy_folder(
    source: Path,
    target: Path,
    *,
    leave: str = "",
    exist_ok: bool = False,
    copy: Callable[[Path, Path], Any] = shutil.copy2,
) -> None:
    """Copy all below ``source``, but for names like ``leave``, to the folder ``target``. Raises the first OSError.

    ``shutil.copytree`` gathers them into a list, which is no sentence.
    """
    target.mkdir(parents=True, exist_ok=exist_ok)
    for entry in sorted(source.iterdir()):
        if not fnmatch(entry.name, leave):
            if entry.is_dir():
                copy_folder(entry, target / entry.name, leave=leave, exist_ok=exist_ok, copy=copy)
            else:
                copy(entry, target / entry.name)


def write_whole(path: Path, data: bytes | memoryview, *, durable: bool = False) -> None:
    """Write ``data`` to ``path`` so that the file is either complete or absent. Raises StorageError.

    ``durable`` waits for the disk, so that it is so after a power cut, too.
    """
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OutputError as error:
        raise StorageError(str(error)) from error
