"""Having the backend estimate a clip's depth, and keeping it beside the shot.

The backend keeps the depth it has made and takes it for the mesh without sending it back and forth. What arrives here
is the shot's own copy, for the day the backend has forgotten it or another one is used.
"""

import struct
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ex4d_ground.arrays import Float32
from ex4d_ground.camera_files import save_camera
from ex4d_ground.descriptions import EstimatorInfo
from ex4d_ground.takes import source_camera_from
from ex4d_protocol import events as ev
from ex4d_protocol.messages import Capabilities
from ex4d_protocol.requests import BlobRef, Media

from ..work import files
from ..work.errors import AddonError
from ..work.frame_files import FrameFile
from ..work.writer import FolderWriter
from . import offers

HEADER_BYTES = 128


def require_estimator(capabilities: Capabilities, name: str) -> EstimatorInfo:
    """The estimator of that name, or the backend's default for "". Raises AddonError if it cannot run there."""
    if not capabilities.estimators:
        raise AddonError("This backend estimates no depth; choose a depth file, or use a backend that does.")
    return offers.require(capabilities.estimators, name or capabilities.estimators[0].name, what="depth estimator")


class DepthItems:
    """Has an EstimateDepth job's frames written as they come."""

    def __init__(self, writer: FolderWriter, target: Path):
        self._writer, self._target = writer, target
        self._file: NpyFile | None = None
        self.info: dict[str, Any] = {}
        """The backend's ``depth_info``."""

    def take(self, item: ev.ItemReceived) -> None:
        """Store one item. Raises StorageError if an earlier one could not be written, TrajectoryError for no camera."""
        if item.name == "depth_info":
            self.info = item.json()
            if self.info.get("camera") is not None:
                camera = source_camera_from(self.info["camera"]).as_trajectory("depth")
                self._writer.hand(partial(save_camera, self._target.with_name(files.DEPTH_CAMERA_FILE), camera))
        elif item.name == "depth":
            if self._file is None:
                self._file = self._writer.keep_open(NpyFile(self._target))
            self._writer.hand(partial(self._file.write, item.frame, item.array()), item.data.nbytes)

    def finish(self) -> Media:
        """Have the file closed, and say what the backend calls its own. Raises AddonError if something never came."""
        if self._file is None or not self.info:
            raise AddonError("The backend sent no depth for this clip; look at the backend's log.")
        self._writer.hand(self._file.finish)
        depth = self.info["depth"]
        return Media(kind=depth["kind"], blobs=(msgspec.convert(depth, BlobRef),))


class NpyFile(FrameFile):
    """An .npy of [T, H, W] float32 whose frames come in any order and whose length is known at the end."""

    def __init__(self, path: Path):
        super().__init__(path, header_bytes=HEADER_BYTES)
        self._count = 0
        self._shape: tuple[int, ...] | None = None

    def write(self, frame: int, depth: Float32) -> None:  # [H, W]
        """Store one frame. Raises AddonError for a frame of another size; StorageError."""
        self._shape = self._shape or depth.shape
        if depth.shape != self._shape or depth.ndim != 2:
            raise AddonError(f"The depth of frame {frame + 1} has shape {depth.shape}, expected {self._shape}.")
        self._put(frame, depth)
        self._count = max(self._count, frame + 1)

    def finish(self) -> None:
        """Write the header and close. Raises StorageError."""
        shape = (self._count, *(self._shape or (0, 0)))
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        header = b"\x93NUMPY\x01\x00" + struct.pack("<H", HEADER_BYTES - 10) + text.encode()
        self._end(header.ljust(HEADER_BYTES - 1) + b"\n")
