"""What a running job is given, and where it writes: result items, whole or not at all, and its log."""

import hashlib
import json
import mmap
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ex4d.clip.png_writing import encode_png
from ex4d.progress import CancelToken, Watch, check
from ex4d_backend.child_messages import BlobMade
from ex4d_backend.item_files import item_file
from ex4d_ground.files import atomic_path
from ex4d_ground.texts import one_line
from ex4d_protocol.arrays import describe_array
from ex4d_protocol.checksum import checksum_of
from ex4d_protocol.messages import Item

_HASH_SLICE = 4 << 20
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]
"""As good as the eye asks for."""


MOST_LOG_CHARACTERS = 1 << 20
"""Of one attempt of a job."""


class Recorder:
    """Writes a job's items below ``folder`` and announces each one. Items are numbered as they are written."""

    def __init__(
        self, folder: Path, job_id: str, announce: Callable[[Item | BlobMade], None], *, attempt: int = 1
    ) -> None:
        self._folder, self._announce = folder, announce
        self._job_id, self._attempt = job_id, attempt
        self._next = 0

    def picture(
        self, name: str, frame: int, pixels: NDArray[np.uint8], *, encoding: Literal["png", "jpeg"] = "png"
    ) -> None:
        """One [H, W, 3] RGB or [H, W] grey picture."""
        if encoding == "png":
            data = memoryview(encode_png(pixels))
        else:
            ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
            data = cv2.imencode(".jpg", ordered, _JPEG)[1].data.cast("B")
        self._write(name, frame, data, encoding=encoding, dtype="|u1", shape=pixels.shape)

    def array(self, name: str, frame: int, values: NDArray[Any]) -> None:
        """One array, raw."""
        dtype, shape, order, data = describe_array(values)
        self._write(name, frame, data, encoding="raw", dtype=dtype, shape=shape, order=order)

    def file(self, name: str, frame: int, path: Path) -> None:
        """One file as it is; it is moved away."""
        with (
            path.open("rb") as opened,
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as data,
        ):
            self._announce_written(name, frame, data, path.replace, encoding="file")

    def document(self, name: str, content: Any) -> None:
        """One JSON document that belongs to the whole job."""
        data = json.dumps(content, allow_nan=False).encode()
        self._write(name, -1, memoryview(data), encoding="json")

    def blob(self, name: str, make: Callable[[Path], None], *, cancel: CancelToken | None = None) -> tuple[str, int]:
        """Have ``make`` write a file that the server then keeps like an upload; its (sha256, size)."""
        path = self._folder / name
        make(path)
        hasher = hashlib.sha256()
        with path.open("r+b") as file:
            while data := file.read(_HASH_SLICE):
                check(cancel)
                hasher.update(data)
            os.fsync(file.fileno())  # it outlives a power cut as an upload does
        made = BlobMade(self._job_id, name, hasher.hexdigest(), path.stat().st_size)
        self._announce(made)
        return made.sha256, made.size

    def _write(self, name: str, frame: int, data: memoryview, **form: Any) -> None:
        """Write an item; ``form`` is its encoding and, of an array, its dtype, shape and order."""

        def write(target: Path) -> None:
            with atomic_path(target) as path:
                path.write_bytes(data)

        self._announce_written(name, frame, data, write, **form)

    def _announce_written(
        self, name: str, frame: int, data: memoryview, write: Callable[[Path], object], **form: Any
    ) -> None:
        index = self._next
        write(self._folder / item_file(index))
        self._next += 1
        item = Item(
            job_id=self._job_id,
            index=index,
            attempt=self._attempt,
            name=name,
            frame=frame,
            size=data.nbytes,
            sha256=hashlib.sha256(data).hexdigest(),
            checksum=checksum_of(data),
            **form,
        )
        self._announce(item)


class JobLog:
    """A job's log file: one line per event, with the time."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._left = MOST_LOG_CHARACTERS

    def line(self, text: str) -> None:
        """Append a line; a text of several lines is set in. Nothing is added to a log that is long enough."""
        line = "\n    ".join(map(one_line, text.splitlines() or [""]))
        self._left -= len(line)
        if self._left > 0:
            self._file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {line}\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class JobContext:
    """What a running job is given by its worker."""

    recorder: Recorder
    scratch: Path
    blobs: Path
    clip_pixels: int
    """Largest clip: width x height x frames."""
    watch: Watch
    log: Callable[[str], None]
