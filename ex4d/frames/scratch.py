"""Files without a name for what is too large for memory, on a disk that has room.

Such a file vanishes with the process that opened it, however that ends, so nothing is ever left over. Where it lies:
``EX4D_SCRATCH`` if that is set, else this user's cache folder, else the folder for temporary files. The order matters:
on many systems the last one is memory.
"""

import errno
import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ex4d_ground.errors import OutputError
from ex4d_ground.files import from_home

VARIABLE = "EX4D_SCRATCH"
SPARE_VARIABLE, SPARE_BYTES = "EX4D_SCRATCH_SPARE", 256 << 20
"""Never taken of a disk, because others write to it too: so many bytes, unless a program that starts this one says."""


def scratch_folder(needed: int = 0) -> Path:
    """The folder for scratch files: the first with room for ``needed`` bytes, else the one with most room.

    Raises OutputError if none can be written to.
    """
    usable = [folder for folder in _candidates() if _is_usable(folder)]
    if not usable:
        named = os.environ.get(VARIABLE)
        where = f"{named}, the value of {VARIABLE}, cannot" if named else "neither user cache nor temporary folder can"
        raise OutputError(f"A long clip needs a scratch disk, and {where} be written to; set {VARIABLE} to a folder.")
    with_room = (folder for folder in usable if free_bytes(folder) >= needed)
    return next(with_room, None) or max(usable, key=free_bytes)


def free_bytes(folder: Path) -> int:
    """What scratch files may still take there."""
    named = os.environ.get(SPARE_VARIABLE, "")
    spare = int(named) if named.isdecimal() else SPARE_BYTES
    return max(shutil.disk_usage(folder).free - spare, 0)


def more_room() -> str:
    """What people can do for more: those of a server's own processes can choose no other folder."""
    if os.environ.get(SPARE_VARIABLE):
        return "free some space there"
    return f"free some space there, or set {VARIABLE} to a folder with more room"


def _candidates() -> Iterator[Path]:
    named = os.environ.get(VARIABLE)
    if named:
        yield from_home(named)
        return
    import platformdirs

    with suppress(RuntimeError):  # no home and no entry of this user
        yield Path(platformdirs.user_cache_dir("ex4d", appauthor=False)) / "scratch"
    with suppress(OSError):  # none can be written to
        yield Path(tempfile.gettempdir())


def _is_usable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


class ScratchFile:
    """Bytes on disk that vanish with this object, or with its process. Safe to use from several threads.

    One that has a name stays, for others to open.
    """

    def __init__(self, needed: int, label: str, *, path: Path | None = None, only_read: bool = False) -> None:
        """``needed`` bytes choose the folder; ``label`` is what messages call the content.

        With ``path`` it is the file of that name, made if it is not there and not ``only_read``. Raises OutputError.
        """
        self.label = label
        self.folder = scratch_folder(needed) if path is None else path.parent
        self._lock = threading.Lock()
        try:
            self._descriptor = _unnamed(self.folder) if path is None else _named(path, only_read)
        except OSError as error:
            raise OutputError(f"No scratch file can be made in {self.folder}: {error.strerror or error}.") from error
        weakref.finalize(self, os.close, self._descriptor)

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of ``data``. Raises OutputError, above all where the disk is full."""
        try:
            done = 0
            while done < data.nbytes:
                done += self._write_some(offset + done, data[done:])
        except OSError as error:
            raise self._full(error) from error

    def read(self, offset: int, into: NDArray) -> None:
        """Fill ``into``, which is contiguous. Raises OSError where the file is shorter."""
        data = into.reshape(-1).view(np.uint8).data
        done = 0
        while done < data.nbytes:
            count = self._read_some(offset + done, data[done:])
            if not count:
                raise OSError(errno.EIO, f"a scratch file in {self.folder} is shorter than it was")
            done += count

    if sys.platform == "win32":

        def _write_some(self, offset: int, data: memoryview) -> int:
            with self._lock:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                return os.write(self._descriptor, data)

        def _read_some(self, offset: int, data: memoryview) -> int:
            with self._lock:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                read = os.read(self._descriptor, data.nbytes)
            data[: len(read)] = read
            return len(read)
    else:

        def _write_some(self, offset: int, data: memoryview) -> int:
            return os.pwrite(self._descriptor, data, offset)

        def _read_some(self, offset: int, data: memoryview) -> int:
            return os.preadv(self._descriptor, [data], offset)

    def _full(self, error: OSError) -> OutputError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or str(error)
        text = f"{self.label} cannot be kept in {self.folder} while it is worked on: {reason}"
        result = OutputError(f"{text}; {more_room()}.")
        result.errno = error.errno
        return result


def _named(path: Path, only_read: bool) -> int:
    mode = os.O_RDONLY if only_read else os.O_RDWR | os.O_CREAT
    return os.open(path, mode | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0), 0o600)


def _unnamed(folder: Path) -> int:
    """A descriptor of a new file in ``folder`` that nobody else can open and that is gone when it is closed."""
    if sys.platform == "win32":
        path = str(folder / f"ex4d-{os.getpid()}-{os.urandom(8).hex()}.tmp")
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_BINARY | os.O_TEMPORARY | os.O_NOINHERIT, 0o600)
    if hasattr(os, "O_TMPFILE"):
        try:
            return os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL):
                raise  # a file system or a kernel that does not know them comes here
    descriptor, path = tempfile.mkstemp(prefix="ex4d-", dir=folder)
    Path(path).unlink()
    return descriptor
