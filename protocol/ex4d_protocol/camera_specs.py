"""Cameras as they travel: a new camera's move, and how a clip was filmed."""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import ShapeError
from ex4d_ground.records import Name, Record
from ex4d_ground.source_camera import CameraOrigin, SourceCamera
from ex4d_protocol.maxima import MAX_FRAMES, LensBytes, PoseBytes, TimeBytes


class TrajectorySpec(Record, frozen=True, kw_only=True):
    """One camera per output frame, as little-endian float64 in C order. Build it with :meth:`pack`."""

    num_frames: Annotated[int, msgspec.Meta(ge=1, le=MAX_FRAMES)]
    width: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    height: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    world_from_camera: PoseBytes
    """[N, 4, 4]: rigid pose; OpenCV axes (x right, y down, z forward), world = source camera of frame 0."""
    intrinsics: LensBytes
    """[N, 4]: fx, fy, cx, cy in pixels of the output image."""
    source_time: TimeBytes
    """[N]: source frame shown, 0-based, fractions allowed."""
    name: Name = "custom"

    @classmethod
    def pack(cls, move: Trajectory) -> TrajectorySpec:
        """The move as it travels; its name may lose its end."""
        return cls(**packed(move), name=move.name[:128])

    def unpack(self) -> Trajectory:
        """The move again. Raises ShapeError or TrajectoryError, naming the frame."""
        return unpacked(self, self.name)


def packed(move: Trajectory) -> dict[str, Any]:
    """A move's fields as they travel."""
    arrays = {name: np.ascontiguousarray(getattr(move, name), "<f8").tobytes() for name in _ARRAYS}
    return {"num_frames": len(move), "width": move.width, "height": move.height, **arrays}


def unpacked(fields: Any, name: str) -> Trajectory:
    """The move of a structure that holds :func:`packed` fields.

    Raises ShapeError for bytes that do not fit, TrajectoryError naming the frame.
    """
    arrays = {what: _array(fields, what) for what in _ARRAYS}
    return Trajectory(**arrays, width=fields.width, height=fields.height, name=name)


def _array(fields: Any, what: str) -> Float64:
    """One of the arrays of :func:`packed` fields. Raises ShapeError."""
    data, shape = getattr(fields, what), (fields.num_frames, *_ARRAYS[what])
    need = math.prod(shape) * 8
    if len(data) != need:
        raise ShapeError(f"The trajectory's {what} has {len(data)} bytes, {list(shape)} float64 values need {need}.")
    return np.frombuffer(data, "<f8").reshape(shape)


_ARRAYS: dict[str, tuple[int, ...]] = {"world_from_camera": (4, 4), "intrinsics": (4,), "source_time": ()}
"""A move's arrays, and the shape of each frame's part."""


class SourceCameraSpec(Record, frozen=True, kw_only=True):
    """New in 1.3. How the camera moved and zoomed that filmed a clip, as little-endian float64 in C order.

    Build it with :meth:`pack`. A camera that stands still is not sent.
    """

    num_frames: Annotated[int, msgspec.Meta(ge=1, le=MAX_FRAMES)]
    width: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    height: Annotated[int, msgspec.Meta(ge=2, le=16_384)]
    world_from_camera: PoseBytes
    """[T, 4, 4]: rigid pose per frame of the clip; OpenCV axes, world = this camera at frame 0, the depth's unit."""
    intrinsics: LensBytes
    """[T, 4]: fx, fy, cx, cy in pixels of the clip's pictures."""
    origin: CameraOrigin = "given"

    @classmethod
    def pack(cls, camera: SourceCamera) -> SourceCameraSpec:
        """The camera as it travels."""
        fields = packed(camera.as_trajectory())
        del fields["source_time"]
        return cls(**fields, origin=camera.origin)

    @classmethod
    def of(cls, camera: SourceCamera | None) -> SourceCameraSpec | None:
        """What is sent of a clip's camera: nothing of one that stands still."""
        return None if camera is None or camera.is_still else cls.pack(camera)

    def unpack(self) -> SourceCamera:
        """The camera again. Raises ShapeError or TrajectoryError, naming the frame."""
        poses, rows = (_array(self, what) for what in ("world_from_camera", "intrinsics"))
        return SourceCamera(poses, rows, self.width, self.height, self.origin)
