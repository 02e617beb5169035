"""Names of numbered files, and writing without half-written results: into a temporary neighbour, then a rename."""

import codecs
import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from ex4d_ground.errors import Ex4dError, OutputError, SettingError

COLOUR_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".exr", ".dpx", ".bmp", ".webp")
"""Endings of pictures that are read as a clip's frames."""
DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".exr")
"""Endings of pictures that are read as depth."""

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder",
    errno.EFBIG: "the file would grow beyond the allowed size; raise the limit or choose another folder",
    errno.EACCES: "permission denied; choose a folder you may write to",
    errno.EPERM: "permission denied; choose a folder you may write to",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENOTDIR: "a part of that path is a file, not a folder; choose another folder",
    errno.EEXIST: "a part of that path is a file, not a folder; choose another folder",
    errno.EISDIR: "there is a folder of that name; choose another name",
    errno.ENAMETOOLONG: "that path, or a name in it, is too long; choose a shorter one",
    errno.ENOENT: "a part of that path is not there and cannot be made; choose another folder",
}
_LONGEST_SHOWN = 300
"""Characters of a path in a sentence."""


_UNFINISHED = re.compile(r"\.(.+\.)?[0-9a-f]{8}\.partial(\..+)?")
"""Names of :func:`atomic_path` and :func:`staged_folder` before the end."""
_STEM_BYTES = 64
_LEFT_OVER_S = 24 * 3600.0
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{name}{i}" for name in ("COM", "LPT") for i in range(1, 10))}
"""Names that Windows keeps for devices, whatever their ending."""


def frame_name(index: int, suffix: str = ".png") -> str:
    """File name of a sequence's ``index``-th frame (0-based): numbering starts at 1, as in Blender."""
    return f"frame_{index + 1:04d}{suffix}"


def plain_name(name: str, *, longest: int = 100) -> str:
    """``name`` as the plain name of one file: no separators, no reserved characters, nothing hidden, never empty.

    Of a longer one its first ``longest`` characters.
    """
    kept = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]', "_", name).strip(" .")[:longest].rstrip(" .")
    return f"_{kept}" if kept.split(".")[0].upper() in _RESERVED else kept or "unnamed"


def free_path(path: Path) -> Path:
    """``path``, or, if there is something, the next free name beside it: ``demo_002.blend``, ``demo_003.blend``."""
    number, free = 1, path
    while free.exists() or free.is_symlink():
        number += 1
        free = path.with_name(f"{path.stem}_{number:03d}{path.suffix}")
    return free


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in UTF-16 with a byte order mark; the mark is left out, and line ends become one kind.

    Windows' editors and shells write these. Raises OSError, UnicodeDecodeError.
    """
    return decode_text(path.read_bytes())


def decode_text(data: bytes) -> str:
    """As :func:`read_text`, of bytes. Raises UnicodeDecodeError."""
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if wide else "utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def from_home(text: str) -> Path:
    """A path in which ~ and ~NAME stand for people's homes. Raises SettingError for nobody's."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise SettingError(f"Nobody's home is known as {text!r} begins; write the whole path.") from None


def require_regular(path: Path, max_bytes: int | None, error: type[Ex4dError]) -> None:
    """Raise ``error`` for a pipe or a device, which may have no end, and for more than ``max_bytes``, if given."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise error(f"{path} is no regular file (a pipe, a device or the like); give a file.")
    if max_bytes is not None and state.st_size > max_bytes:
        raise error(f"{path} has {state.st_size / 2**20:.0f} MiB, which is too large for what it should be.")


def shown_path(path: Path | str) -> str:
    """A path as it stands in a sentence: of one too long to be read its beginning and its end."""
    text, half = str(path), _LONGEST_SHOWN // 2
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:half]}...{text[-half:]}"


def output_error(path: Path, error: OSError, *, what: str = "") -> OutputError:
    """``error`` as one sentence about ``path`` (and ``what`` it is) with the remedy, its errno kept."""
    reason = _REASONS.get(error.errno or 0) or f"{error.strerror or error}; choose another folder"
    result = OutputError(f"Cannot write {what}{shown_path(path)}: {reason}.")
    result.errno = error.errno
    return result


@contextmanager
def told_as(hidden: Path, asked: Path) -> Iterator[None]:
    """What goes wrong in the block is told of ``asked`` where it names ``hidden``, which is gone when it is read.

    Both lie in the same folder, or ``hidden`` lies in ``asked``.
    """
    try:
        yield
    except Ex4dError as error:
        text = str(error).replace(str(hidden), str(asked))
        if hidden.parent == asked:  # of a long path only the end may be there
            text = text.replace(f"{os.sep}{hidden.name}{os.sep}", os.sep)
        else:
            text = text.replace(hidden.name, asked.name)
        if text == str(error):
            raise
        raise error.reworded(text) from error


@contextmanager
def told_of_folder(hidden: Path, what: str) -> Iterator[None]:
    """What cannot be written in the block is told of the folder of ``hidden``, and ``what`` was to be kept there.

    For files that people did not ask for by name; ``hidden`` may be the beginning of a name.
    """
    try:
        yield
    except OutputError as error:
        if hidden.name not in str(error) or not error.errno:
            raise
        raise output_error(hidden.parent, error, what=f"{what} into ") from error


def _temporary_name(path: Path) -> Path:
    # Hidden, in the same folder (so that the rename is atomic), same suffix (encoders look at it). Of a long name the
    # beginning: with all of it, this one could be too long where that one is not.
    stem = os.fsencode(path.stem)[:_STEM_BYTES].decode(errors="ignore")
    return path.with_name(f".{stem}.{secrets.token_hex(4)}.partial{path.suffix}")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends without an error.

    Whatever happens, nothing temporary stays and an existing ``path`` is either whole and old or whole and new; folders
    that were made for it go again where it does not come to be.
    An OSError inside the block becomes an :class:`OutputError`, so the block should only write.
    """
    temporary = _temporary_name(path)
    made: list[Path] = []
    try:
        made = _missing(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        with told_as(temporary, path):
            yield temporary
        temporary.replace(path)
        made = []
    except OSError as error:
        if isinstance(error, Ex4dError):
            raise
        raise output_error(path, error) from error
    finally:
        with suppress(OSError):  # nothing was made, or its folder cannot be: the error on its way says so
            temporary.unlink()
        _remove_if_empty(made)


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder whose entries move into ``folder`` when the block ends without an error.

    For results of several files that belong together: after an error or a cancel ``folder`` is as it was (and
    is not left behind empty if it did not exist). Files and folders of the same names are replaced; what processes left
    unfinished there that were killed a day ago or longer is removed. Raises OutputError at once if ``folder`` cannot be
    made or written to.
    """
    missing: list[Path] = []
    staging: Path | None = None
    try:
        missing = _missing(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _forget_leftovers(folder)
        staging = folder / f".{secrets.token_hex(4)}.partial"
        staging.mkdir()
        with told_as(staging, folder):
            yield staging
        for entry in sorted(staging.iterdir()):
            _move(entry, folder / entry.name)
    except OSError as error:
        if isinstance(error, Ex4dError):
            raise
        raise output_error(folder, error) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        _remove_if_empty(missing)


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make ``folder`` and see that it can be written to before the work; take it away again if it stays empty.

    Raises OutputError at once if it cannot be made or written to.
    """
    with staged_folder(folder):
        yield


def _move(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``; a folder in the way is put aside first and removed after."""
    if not target.is_dir() or target.is_symlink():
        source.replace(target)
        return
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
    target.rename(aside)
    try:
        source.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _forget_leftovers(folder: Path) -> None:
    """Remove what nobody has touched for a day and has a name that only unfinished files and folders of ours have."""
    oldest = time.time() - _LEFT_OVER_S
    for path in folder.iterdir():
        with suppress(OSError):
            if _UNFINISHED.fullmatch(path.name) and _last_written(path) < oldest:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _last_written(path: Path) -> float:
    """When a file, or anything in a folder, was written last: a long run's folder may be older than what it holds."""
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    return max(each.lstat().st_mtime for each in (path, *inside))


def _missing(folder: Path) -> list[Path]:
    """``folder`` and those above it that there are not yet, innermost first. Raises OSError."""
    return list(takewhile(lambda each: not each.exists(), (folder, *folder.parents)))


def _remove_if_empty(folders: list[Path]) -> None:
    """Remove folders (innermost first) that this call made and that hold nothing."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def forget_unused(paths: Iterable[Path], *, most_bytes: int | None = None, unused_s: float | None = None) -> None:
    """Remove files whose time is longest ago: those not touched for ``unused_s``, and until ``most_bytes`` are left.

    Files that others remove meanwhile, or that cannot be removed, are passed over.
    """
    found: list[tuple[float, int, Path]] = []
    for path in paths:
        with suppress(OSError):
            about = path.stat()
            found.append((about.st_mtime, about.st_size, path))
    held, oldest = sum(size for _, size, _ in found), None if unused_s is None else time.time() - unused_s
    for touched, size, path in sorted(found):
        if (most_bytes is None or held <= most_bytes) and (oldest is None or touched >= oldest):
            return
        with suppress(OSError):
            path.unlink()
            held -= size
