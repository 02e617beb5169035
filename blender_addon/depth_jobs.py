"""Having the backend estimate a clip's depth, and keeping it beside the shot.

The backend keeps the depth it has made and takes it for the mesh without sending it back and forth. What arrives here
is the shot's own copy, for the day the backend has forgotten it or another one is used.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ex4d_protocol import events as ev
from ex4d_protocol.client import Upload
from ex4d_protocol.messages import Capabilities, EstimatorSpec
from ex4d_protocol.requests import BlobRef, EstimateDepth, Media

from .errors import AddonError, StorageError
from .link import Link
from .tasks import Steps
from .writer import FolderWriter

HEADER_BYTES = 128


@dataclass(frozen=True)
class EstimatedDepth:
    """Depth on the backend and where it came from."""

    media: Media
    info: dict[str, Any]
    """The backend's ``depth_info``."""


def find(capabilities: Capabilities, name: str) -> EstimatorSpec:
    """The estimator of that name, or the backend's default for "". Raises AddonError if it cannot run there."""
    known = {spec.name: spec for spec in capabilities.estimators}
    if not known:
        raise AddonError("This backend estimates no depth; choose a depth file, or use a backend that does.")
    name = name or next(iter(known))
    if name not in known:
        raise AddonError(f"The backend has no depth estimator '{name}'; it has: {', '.join(known)}.")
    if not known[name].available:
        raise AddonError(known[name].missing or f"The depth estimator '{name}' is not available on this backend.")
    return known[name]


def estimate(
    link: Link,
    request: Callable[[], EstimateDepth],
    uploads: tuple[Upload, ...],
    writer: FolderWriter,
    target: Path,
    *,
    title: str,
) -> Steps[EstimatedDepth]:
    """Run the job and write every frame's depth into ``target`` (an .npy in the writer's folder)."""
    items = _DepthItems(writer, target)
    job_id = yield from link.run_job(request, after=uploads, title=title, on_item=items.take, full=lambda: writer.full)
    found = items.finish()
    link.client.ack(job_id)
    return found


class _DepthItems:
    """Has an EstimateDepth job's frames written as they come."""

    def __init__(self, writer: FolderWriter, target: Path):
        self._writer, self._target = writer, target
        self._file: NpyFile | None = None
        self._info: dict[str, Any] = {}

    def take(self, item: ev.ItemReceived) -> None:
        """Store one item. Raises StorageError if an earlier one could not be written."""
        if item.name == "depth_info":
            self._info = item.json()
        elif item.name == "depth":
            if self._file is None:
                self._file = self._writer.keep_open(NpyFile(self._target))
            self._writer.hand(partial(self._file.write, item.frame, item.array()), item.data.nbytes)

    def finish(self) -> EstimatedDepth:
        """Have the file closed. Raises AddonError if something never came."""
        if self._file is None or not self._info:
            raise AddonError("The backend sent no depth for this clip; look at the backend's log.")
        self._writer.hand(self._file.finish)
        ref: Mapping[str, Any] = self._info["depth"]
        blob = BlobRef(sha256=ref["sha256"], size=ref["size"], name=ref.get("name", ""))
        return EstimatedDepth(msgspec.convert({"kind": ref["kind"], "blobs": (blob,)}, Media), self._info)


class NpyFile:
    """An .npy of [T, H, W] float32 whose frames come in any order and whose length is known at the end."""

    def __init__(self, path: Path):
        self._path, self._count = path, 0
        self._shape: tuple[int, ...] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
        except OSError as error:
            raise _write_error(path, error) from error

    def __enter__(self) -> NpyFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, frame: int, depth: NDArray[np.float32]) -> None:  # [H, W]
        """Store one frame. Raises AddonError for a frame of another size; StorageError."""
        self._shape = self._shape or depth.shape
        if depth.shape != self._shape or depth.ndim != 2:
            raise AddonError(f"The depth of frame {frame + 1} has shape {depth.shape}, expected {self._shape}.")
        try:
            self._file.seek(HEADER_BYTES + frame * depth.size * 4)
            self._file.write(np.ascontiguousarray(depth, "<f4").tobytes())
        except OSError as error:
            raise _write_error(self._path, error) from error
        self._count = max(self._count, frame + 1)

    def finish(self) -> None:
        """Write the header and close. Raises StorageError."""
        shape = (self._count, *(self._shape or (0, 0)))
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        header = b"\x93NUMPY\x01\x00" + struct.pack("<H", HEADER_BYTES - 10) + text.encode()
        try:
            self._file.seek(0)
            self._file.write(header.ljust(HEADER_BYTES - 1) + b"\n")
            self._file.close()
        except OSError as error:
            raise _write_error(self._path, error) from error


def _write_error(path: Path, error: OSError) -> StorageError:
    return StorageError(f"Cannot write {path}: {error.strerror or error}; free some space or choose another folder.")
