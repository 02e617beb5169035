"""Blobs as files: where each lies, how its bytes get onto the disk for good, and what proves that someone has them."""

import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ex4d_ground.errors import InputError, OutputError

_PARTIAL = re.compile(r"(?:([0-9a-f]{16})-)?([0-9a-f]{64})-([0-9]{1,19})\.part", re.ASCII)

REMOVED = "What the backend had of this file was removed or changed while it was uploaded; upload it again."
"""What is told of an upload whose file somebody else than the server has touched."""


def blob_path(folder: Path, digest: str) -> Path:
    """Where the store below ``folder`` keeps a blob. Raises InputError unless ``digest`` is one."""
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InputError(f"{digest[:70]!r} is not a SHA-256 digest.")
    return folder / digest[:2] / digest


def owner_mark(owner: str) -> str:
    """16 hexadecimal digits that stand for ``owner`` on disk; an id that opens somebody's jobs is not written there."""
    return hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def partial_name(mark: str, digest: str, size: int) -> str:
    """File name of an upload of so many bytes that is under way, by the mark of whose it is."""
    return f"{mark}-{digest}-{size}.part"


def partial_of(name: str) -> tuple[str, str, int] | None:
    """Mark ("" in files of older servers), digest and size of an upload under way; None for another file's name."""
    match = _PARTIAL.fullmatch(name)
    return (match[1] or "", match[2], int(match[3])) if match else None


def write_at(path: Path, offset: int, data: memoryview) -> None:
    """Write ``data`` at ``offset`` of a file that begins anew with offset 0; nothing stays of it if that fails.

    Raises OutputError where the file does not reach to ``offset``, for what is between would be zeros; else OSError.
    """
    if size_of(path) < offset:
        raise OutputError(REMOVED)
    with path.open("r+b" if offset else "wb", buffering=0) as file:
        try:
            file.seek(offset)
            written = 0
            while written < data.nbytes:
                written += file.write(data[written:])
        except OSError:
            with suppress(OSError):
                file.truncate(offset)
            raise


def size_of(path: Path) -> int:
    """How many bytes a file has; 0 if there is none, or something else in its place."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_file(path: Path) -> None:
    """Have the disk hold a file's bytes before this returns. Raises OSError."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def flush_folders(folders: Iterable[Path]) -> None:
    """Have the disk hold what was renamed into these folders; Windows does so by itself. Raises OSError."""
    if os.name == "nt":
        return
    for folder in set(folders):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
