"""One server per data folder: a lock the operating system gives back however the process ends."""

from __future__ import annotations

import os
from pathlib import Path

from ex4d.errors import OutputError
from ex4d.files import output_error


class FolderLock:
    """Holds ``folder`` for this process. Raises OutputError if it is held or cannot be written."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / "lock").open("a+")
        except OSError as error:
            raise output_error(folder, error) from None
        try:
            _lock(self._file.fileno())
        except OSError:
            self._file.close()
            raise OutputError(
                f"Another backend uses the data folder {folder}; stop it, or give this one its own --data-dir."
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Give the folder back."""
        self._file.close()


if os.name == "nt":
    import msvcrt

    def _lock(fd: int) -> None:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue] - Windows only
else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
