"""One file of many frames that come in any order, each at its own place behind a header."""

import contextlib
from pathlib import Path
from typing import Self

import numpy as np

from ex4d_ground.arrays import Float32

from . import files


class FrameFile:
    """A file at ``path`` being written. Raises StorageError."""

    def __init__(self, path: Path, *, header_bytes: int):
        self._path, self._header_bytes = path, header_bytes
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._file.closed:
            with contextlib.suppress(OSError):  # a full disk fails once more when what is buffered is flushed
                self._file.close()

    def _put(self, frame: int, values: Float32) -> None:
        """Store one frame; all have the same size."""
        with self._writing():
            self._file.seek(self._header_bytes + frame * values.size * 4)
            self._file.write(np.ascontiguousarray(values, "<f4").data)

    def _end(self, header: bytes) -> None:
        """Write the header and close."""
        with self._writing():
            self._file.seek(0)
            self._file.write(header)
            self._file.close()

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return files.writing(self._path)
