"""Files of a scene that has no .blend yet: in a folder of the add-on's own, until the first save takes them beside it.

The operating system cleans nothing there, so a crash loses nothing: Blender's own recovered session finds its files,
and the next start tells of what is left. Each folder is locked by the Blender that uses it.
"""

import shutil
import time
import uuid
from pathlib import Path
from typing import IO

import bpy

from . import files, locks, preferences, session
from .addon import log
from .errors import AddonError

LOCK, SAVED = "lock", "saved"
"""Files in such a folder: held while its Blender runs; where its files have gone by now."""


class _State:
    folder: Path | None = None
    lock: IO[bytes] | None = None
    became: str = ""
    """The .blend that this session's unsaved scene was saved as."""


_state = _State()


def base() -> Path:
    """Below which all such folders lie."""
    return preferences.data_folder(bpy.context) / "unsaved"


def shot_folder(blend_path: str, shot: str, explicit: str = "") -> Path:
    """Folder for a shot's files: where they were wished, beside the .blend, or in this session's folder without one.

    Raises AddonError if that cannot be made.
    """
    if explicit or blend_path:
        return files.shot_folder(blend_path, shot, explicit)
    return _claimed() / files.safe_name(shot)


def _claimed() -> Path:
    """This unsaved scene's folder, made on first use. Raises AddonError."""
    if _state.folder is None or not _state.folder.is_dir():
        folder = base() / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{uuid.uuid4().hex[:8]}"
        try:
            _state.lock, _state.folder = locks.try_lock(folder / LOCK), folder
        except OSError as error:
            raise AddonError(
                f"Cannot write to {folder}: {error.strerror or error}; save the .blend first, or choose another "
                "Backend Folder in the preferences."
            ) from error
    return _state.folder


def shot_in(path: Path) -> Path | None:
    """The folder of one shot below :func:`base` that ``path`` lies in; None if it lies elsewhere."""
    try:
        parts = path.relative_to(base()).parts
    except ValueError:
        return None
    return base().joinpath(*parts[:2]) if len(parts) >= 2 else None


def take_along(folder: Path, beside: Path) -> Path:
    """Have ``folder``'s files in ``beside`` too, under its name or the next free one; returns the new folder.

    On the same disk that costs no space. Whole or not at all. Raises OSError.
    """
    target = beside / folder.name
    if target.exists():
        target = files.free_folder(beside, folder.name)
    making = target.with_name(f".{target.name}.partial")
    shutil.rmtree(making, ignore_errors=True)
    try:
        files.copy_folder(folder, making, copy=_link)
        making.rename(target)
    except OSError:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return target


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another disk, or one that has no links
        shutil.copy2(source, target)


def moved_to(folders: list[Path], blend: str) -> None:
    """Note that ``folders``' files are beside ``blend`` now: what is left of them may go once Blender has ended.

    Until then undo may lead back to them.
    """
    _state.became = blend
    for folder in {folder.parent for folder in folders}:
        (folder / SAVED).write_text(blend, encoding="utf-8")


def is_open(blend_path: str) -> bool:
    """Whether the file of that path is open; "" is this session's unsaved scene, also once it was saved."""
    now = bpy.data.filepath
    return blend_path == now or (not blend_path and bool(now) and now == _state.became)


def left_over() -> list[Path]:
    """Folders of scenes that were never saved, and that no running Blender uses; those that were saved are removed."""
    found: list[Path] = []
    for folder in sorted(base().glob("*_*")):
        if folder == _state.folder or locks.is_held(folder / LOCK):
            continue
        kept = [path for path in folder.iterdir() if path.is_dir()]
        if (folder / SAVED).exists() or not kept:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            found.append(folder)
    return found


def start() -> None:
    """Tell whoever sits before a window of what an earlier Blender left, where the panel shows it."""
    sentence = "" if bpy.app.background else tell_left_over()
    if sentence:
        session.get().tell(sentence, panel="Clip")


def forget() -> None:
    """Another file is open, or the add-on goes: the next unsaved scene gets a folder of its own. Files stay."""
    if _state.lock is not None:
        _state.lock.close()
    _state.folder, _state.lock, _state.became = None, None, ""


def tell_left_over() -> str:
    """A sentence about files of scenes that were never saved; "" if there are none."""
    try:
        folders = left_over()
    except OSError as error:
        log.warning("folders of unsaved scenes cannot be looked at: %s", error)
        return ""
    if not folders:
        return ""
    count = len(folders)
    what = "a scene that was" if count == 1 else f"{count} scenes that were"
    return f"Files of {what} never saved are kept in {folders[-1] if count == 1 else base()}."
