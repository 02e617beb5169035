"""Whole-file locks, as the operating system keeps them: gone with the process that held them."""

import os
from pathlib import Path
from typing import IO, Any


def try_lock(path: Path) -> IO[bytes] | None:
    """Hold ``path`` (made if need be) until the returned file is closed; None if another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+b")
    try:
        _lock(file)
    except OSError:
        file.close()
        return None
    return file


def is_held(path: Path) -> bool:
    """Whether a running process holds ``path``."""
    if not path.exists():
        return False
    try:
        with path.open("r+b") as file:
            _lock(file)
    except OSError:
        return True
    return False


def _lock(file: IO[bytes]) -> None:
    if os.name == "nt":
        import msvcrt

        file_locking: Any = msvcrt
        file.seek(0)
        file_locking.locking(file.fileno(), file_locking.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
