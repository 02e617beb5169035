"""What lies in the server's data folder: private to its user, and set aside where it cannot be used."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from ex4d_ground.errors import OutputError

log = logging.getLogger("ex4d_backend.data_folder")


def make_private(folder: Path) -> None:
    """Let no other user of the machine read ``folder``, or what a server left in it. What cannot be changed stays."""
    for path, mode in ((folder, 0o700), *((file, 0o600) for file in folder.glob("jobs.sqlite*"))):
        with suppress(OSError):
            path.chmod(mode)


def set_aside(path: Path) -> Path:
    """Rename ``path`` to the first free ``NAME.aside-N`` beside it and say so in the log. Raises OutputError."""
    for n in range(1, 10_000):
        target = path.with_name(f"{path.name}.aside-{n}")
        if not os.path.lexists(target):
            break
    else:
        raise OutputError(f"There are 9,999 files beside {path} that were set aside; remove them.")
    try:
        path.rename(target)
    except OSError as error:
        raise OutputError(f"{path} cannot be used, nor set aside ({error.strerror or error}); remove it.") from None
    log.error("%s cannot be used; it was set aside as %s", path, target.name)
    return target


def folder_at(path: Path) -> Path:
    """The folder ``path``, made if missing; what lies there and is none is set aside. Raises OutputError."""
    if os.path.lexists(path) and not path.is_dir():
        set_aside(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make {path}: {error.strerror or error}; choose another --data-dir.") from None
    return path


def file_at(path: Path) -> Path:
    """The place of a file: what is none (a folder, a pipe, a device) is set aside. Raises OutputError."""
    if os.path.lexists(path) and not path.is_file():
        set_aside(path)
    return path
