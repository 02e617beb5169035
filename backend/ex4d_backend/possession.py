"""Which client has shown that it has which blob: it sent every byte, proved it, or its own job made it.

A digest and a size stand in every take's description, so that knowing them must not be enough to use a file.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from ex4d_backend.blob_files import owner_mark
from ex4d_backend.data_folder import file_at
from ex4d_ground.files import atomic_path, output_error

log = logging.getLogger("ex4d_backend.possession")

OWNERS_PER_BLOB = 64
"""Beyond it the one who showed it first is forgotten, and shows it again without anybody noticing."""
_SPARE_LINES = 10_000
"""So many lines that say nothing any more may stand in the file before it is written anew."""


class Possession:
    """Kept in a file of lines ``digest mark``, appended to; damaged lines count for nothing. For the I/O loop."""

    def __init__(self, path: Path, blobs: Iterable[str]) -> None:
        """Read what stands in ``path`` of the ``blobs`` that are there. Raises OutputError if it cannot be written."""
        self._path = file_at(path)
        self._marks: dict[str, dict[str, None]] = {digest: {} for digest in blobs}
        self._file: BinaryIO | None = None
        try:
            lines = self._path.read_bytes().decode("ascii", "replace").splitlines() if self._path.exists() else []
        except OSError as error:
            raise output_error(self._path, error) from None
        for line in lines:
            digest, _, mark = line.partition(" ")
            if digest in self._marks and len(mark) == 16 and mark.isalnum():
                self._note(digest, mark)
        self._rewrite()

    def has(self, owner: str, digest: str) -> bool:
        """Whether ``owner`` has shown to have it."""
        return owner_mark(owner) in self._marks.get(digest, ())

    def grant(self, owner: str, digest: str) -> None:
        """Note that ``owner`` has it, also for later runs. What cannot be written is shown again in the next one."""
        mark = owner_mark(owner)
        if mark in self._marks.get(digest, ()):
            return
        self._note(digest, mark)
        try:
            if self._file is not None:
                self._file.write(f"{digest} {mark}\n".encode())
            self._lines += 1
        except OSError as error:
            log.warning("%s cannot be written (%s)", self._path, error.strerror or error)

    def _note(self, digest: str, mark: str) -> None:
        marks = self._marks.setdefault(digest, {})
        marks[mark] = None
        if len(marks) > OWNERS_PER_BLOB:
            del marks[next(iter(marks))]

    def forget(self, digest: str) -> None:
        """The blob is gone, and with it who had it."""
        self._marks.pop(digest, None)

    def tidy(self) -> None:
        """Write the file anew if most of it says nothing any more. Raises OutputError."""
        if self._lines > 2 * sum(map(len, self._marks.values())) + _SPARE_LINES:
            self._rewrite()

    def _rewrite(self) -> None:
        self.close()
        text = "".join(f"{digest} {mark}\n" for digest, marks in self._marks.items() for mark in marks)
        try:
            with atomic_path(self._path) as temporary:
                temporary.write_bytes(text.encode())
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise output_error(self._path, error) from None
        self._lines = text.count("\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
