"""Where a running job writes: result items, whole or not at all, and its log."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ex4d.files import atomic_path
from ex4d.progress import CancelToken, check
from ex4d_backend.internal import BlobMade, ItemReady, item_file
from ex4d_protocol.arrays import describe_array
from ex4d_protocol.checksum import checksum_of

_HASH_SLICE = 4 << 20
_PNG_PARAMS = [cv2.IMWRITE_PNG_COMPRESSION, 1]
"""Fast; the higher levels take several times as long for a few per cent."""


class Recorder:
    """Writes a job's items below ``folder`` and announces each one. Items are numbered as they are written."""

    def __init__(self, folder: Path, job_id: str, announce: Callable[[ItemReady | BlobMade], None]) -> None:
        self._folder = folder
        self._job_id = job_id
        self._announce = announce
        self._next = 0

    def picture(self, name: str, frame: int, pixels: NDArray[np.uint8]) -> None:
        """One [H, W, 3] RGB or [H, W] grey picture, as PNG."""
        ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
        _, data = cv2.imencode(".png", ordered, _PNG_PARAMS)
        height, width = pixels.shape[:2]
        shape = (height, width, *pixels.shape[2:])
        self._write(name, frame, data.data.cast("B"), encoding="png", dtype="|u1", shape=shape)

    def array(self, name: str, frame: int, values: NDArray[Any]) -> None:
        """One array, raw."""
        dtype, shape, order, data = describe_array(values)
        self._write(name, frame, data, encoding="raw", dtype=dtype, shape=shape, order=order)

    def document(self, name: str, content: Any) -> None:
        """One JSON document that belongs to the whole job."""
        data = json.dumps(content, allow_nan=False).encode()
        self._write(name, -1, memoryview(data), encoding="json")

    def blob(self, name: str, make: Callable[[Path], None], *, cancel: CancelToken | None = None) -> tuple[str, int]:
        """Have ``make`` write a file that the server then keeps like an upload; its (sha256, size)."""
        path = self._folder / name
        make(path)
        hasher = hashlib.sha256()
        with path.open("rb") as file:
            while data := file.read(_HASH_SLICE):
                check(cancel)
                hasher.update(data)
        made = BlobMade(self._job_id, name, hasher.hexdigest(), path.stat().st_size)
        self._announce(made)
        return made.sha256, made.size

    def _write(
        self,
        name: str,
        frame: int,
        data: memoryview,
        *,
        encoding: str,
        dtype: str = "",
        shape: tuple[int, ...] = (),
        order: str = "C",
    ) -> None:
        index = self._next
        with atomic_path(self._folder / item_file(index)) as path:
            path.write_bytes(data)
        self._next += 1
        self._announce(
            ItemReady(
                job_id=self._job_id,
                index=index,
                name=name,
                frame=frame,
                encoding=encoding,
                dtype=dtype,
                shape=tuple(int(n) for n in shape),
                order=order,
                size=data.nbytes,
                sha256=hashlib.sha256(data).hexdigest(),
                checksum=checksum_of(data),
            )
        )


class JobLog:
    """A job's log file: one line per event, with the time."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def line(self, text: str) -> None:
        """Append a line."""
        self._file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
