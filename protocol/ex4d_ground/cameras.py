"""Cameras: a pinhole's intrinsics, and one camera per output frame.

Axes are OpenCV's everywhere (x right, y down, z forward); the world is the source camera of frame 0. Continuous
image coordinates have their origin at the top-left *corner* of the image, so the centre of pixel (row i, column j)
is at (j + 0.5, i + 0.5) and the middle of a W x H image is (W / 2, H / 2). Blender's axes exist only in the add-on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ex4d_ground.arrays import FAR, Float64
from ex4d_ground.errors import SettingError, ShapeError, TrajectoryError
from ex4d_ground.poses import orthonormalised

# EX-4D uses 500 px whatever the size; ours is an angle, so that it does not change with resolution.
DEFAULT_FOV_DEG = 54.22
"""Horizontal field of view assumed when nothing is known: EX-4D's 500 px at its usual 512 px width."""


ASSUMED = "assumed"
"""How the source of a lens begins that nobody named."""


def is_assumed(source: str) -> bool:
    """Whether a lens's source says that it was assumed; "default" is how files of earlier versions say it."""
    return source.startswith((ASSUMED, "default"))


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole camera, in pixels. ``cx, cy`` are continuous coordinates (image middle = width / 2, height / 2)."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    source: str = "given"
    """Where the focal length came from, for people: "given", "metadata", "estimator", "assumed: 54.22 deg"."""

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(math.isfinite(v) for v in values):
            raise TrajectoryError(f"Intrinsics must be finite, got fx, fy, cx, cy = {values}.")
        if self.fx <= 0 or self.fy <= 0:
            raise TrajectoryError(f"Focal lengths must be positive pixels, got fx={self.fx}, fy={self.fy}.")
        if max(self.fx, self.fy, 1 / self.fx, 1 / self.fy) >= FAR:
            raise TrajectoryError(
                f"Focal lengths must be between {1 / FAR:g} and {FAR:g} pixels, got fx={self.fx:g}, fy={self.fy:g}."
            )
        if self.width < 2 or self.height < 2:
            raise ShapeError(f"An image of {self.width}x{self.height} pixels is too small; at least 2x2 is needed.")

    @classmethod
    def from_fov(
        cls, width: int, height: int, fov_deg: float = DEFAULT_FOV_DEG, source: str | None = None
    ) -> Intrinsics:
        """Square pixels, centred, with the given horizontal field of view in degrees (0..180, exclusive)."""
        if not 0.0 < fov_deg < 180.0:
            raise SettingError(f"A horizontal field of view must lie between 0 and 180 degrees, got {fov_deg}.")
        f = 0.5 * width / math.tan(math.radians(fov_deg) / 2)
        return cls(f, f, width / 2, height / 2, width, height, source or f"{ASSUMED}: {fov_deg:g} deg")

    @classmethod
    def from_focal(cls, width: int, height: int, focal_px: float, source: str = "given") -> Intrinsics:
        """Square pixels, centred, with the given focal length in pixels."""
        return cls(focal_px, focal_px, width / 2, height / 2, width, height, source)

    @property
    def is_assumed(self) -> bool:
        """Whether nobody said the focal length and a usual one was taken."""
        return is_assumed(self.source)

    @property
    def fov_deg(self) -> float:
        """Horizontal field of view in degrees."""
        return math.degrees(2 * math.atan(self.width / 2 / self.fx))

    @property
    def matrix(self) -> Float64:  # [3, 3]
        """K, for continuous coordinates with the origin at the image corner."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    def resized(self, width: int, height: int) -> Intrinsics:
        """The same camera for the same picture at another size."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy, width=width, height=height
        )


@dataclass(frozen=True)
class Trajectory:
    """One camera per output frame.

    ``world_from_camera`` is a rigid 4x4 pose (OpenCV axes, world = source camera of frame 0); ``intrinsics`` holds
    fx, fy, cx, cy per frame for an image of ``width`` x ``height``; ``source_time`` says which source frame each
    output frame shows (fractions allowed, nearest frame is used), so freezes and retimes are part of the move.
    """

    world_from_camera: Float64  # [N, 4, 4]
    intrinsics: Float64  # [N, 4] fx, fy, cx, cy in pixels
    source_time: Float64  # [N] in source frames, 0-based
    width: int
    height: int
    name: str = "custom"

    def __post_init__(self) -> None:
        w, k, s = self.world_from_camera, self.intrinsics, self.source_time
        n = len(w)
        if w.shape != (n, 4, 4) or k.shape != (n, 4) or s.shape != (n,) or n == 0:
            raise ShapeError(
                f"A trajectory of {n} cameras needs poses [N, 4, 4], intrinsics [N, 4] and source_time [N], "
                f"got {w.shape}, {k.shape}, {s.shape}."
            )
        for what, values in (("pose", w.reshape(n, -1)), ("intrinsics", k), ("source time", s.reshape(n, 1))):
            bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
            if bad.size:
                raise TrajectoryError(
                    f"The camera {what} of frame {bad[0] + 1} holds NaN or infinity ({bad.size} such frames)."
                )
        wrong = (k[:, :2] <= 0).any(axis=1)
        if wrong.any():
            i = int(np.argmax(wrong))
            raise TrajectoryError(
                f"Focal lengths must be positive pixels; frame {i + 1} has fx, fy = {k[i, 0]}, {k[i, 1]}."
            )
        check_rigid(w)

    def __len__(self) -> int:
        return len(self.world_from_camera)

    @property
    def camera_from_world(self) -> Float64:  # [N, 4, 4]
        """Inverse poses."""
        return np.linalg.inv(self.world_from_camera)

    def frame_intrinsics(self, i: int) -> Intrinsics:
        """Intrinsics of output frame ``i``."""
        fx, fy, cx, cy = (float(v) for v in self.intrinsics[i])
        return Intrinsics(fx, fy, cx, cy, self.width, self.height)


def check_rigid(poses: Float64) -> None:  # [N, 4, 4]
    """Raise TrajectoryError, naming the frame, for poses that do more than rotate and translate."""
    if poses.ndim != 3 or poses.shape[1:] != (4, 4):
        raise TrajectoryError(f"Camera poses must be [N, 4, 4], got {poses.shape}.")
    r = poses[:, :3, :3]
    with np.errstate(over="ignore", invalid="ignore"):  # numbers beyond all lengths are no rotation either
        error = np.abs(r @ r.transpose(0, 2, 1) - np.eye(3)).reshape(len(poses), -1).max(axis=1)
        last_row = np.abs(poses[:, 3] - [0, 0, 0, 1]).max(axis=1)
        right = (error <= 1e-3) & (np.linalg.det(r) > 0) & (last_row <= 1e-6) & np.isfinite(poses).all(axis=(1, 2))
    if not right.all():
        i = int(np.argmin(right))
        raise TrajectoryError(
            f"The camera matrix of frame {i + 1} is not rigid (deviation {error[i]:.3g}); only rotation and "
            "translation are allowed: remove scale, shear or mirroring."
        )


def intrinsics_rows(intrinsics: Intrinsics | Sequence[Intrinsics] | ArrayLike, n: int) -> Float64:  # [N, 4]
    """fx, fy, cx, cy per frame from one camera, one per frame, or an array [N, 4] or [4].

    Raises ShapeError if the count does not fit.
    """
    if isinstance(intrinsics, Intrinsics):
        rows: ArrayLike = [intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy]
    elif isinstance(intrinsics, Sequence) and intrinsics and isinstance(intrinsics[0], Intrinsics):
        rows = [[k.fx, k.fy, k.cx, k.cy] for k in intrinsics if isinstance(k, Intrinsics)]
    else:
        rows = intrinsics  # pyright: ignore[reportAssignmentType]
    array = np.asarray(rows, np.float64)
    if array.shape not in ((4,), (n, 4)):
        raise ShapeError(f"{n} cameras need intrinsics of shape [4] or [{n}, 4], got {array.shape}.")
    return np.array(np.broadcast_to(array, (n, 4)))


def from_matrices(
    world_from_camera: ArrayLike,  # [N, 4, 4] or [N, 3, 4]
    *,
    intrinsics: Intrinsics | Sequence[Intrinsics] | ArrayLike,
    size: tuple[int, int] | None = None,
    source_time: ArrayLike | None = None,
    name: str = "custom",
) -> Trajectory:
    """Any cameras, validated: finite, rigid (small rounding is mended), one per frame.

    ``intrinsics`` is one camera, one per frame, or an array [N, 4] of fx, fy, cx, cy in pixels; for an array ``size``
    (width, height) is required. Raises ShapeError or TrajectoryError naming the first bad frame.
    """
    w = np.asarray(world_from_camera, np.float64)
    if w.ndim != 3 or w.shape[1:] not in ((4, 4), (3, 4)) or len(w) == 0:
        raise ShapeError(f"Camera matrices must be [N, 4, 4] or [N, 3, 4] with N >= 1, got {w.shape}.")
    if w.shape[1] == 3:
        w = np.concatenate([w, np.tile([[[0.0, 0.0, 0.0, 1.0]]], (len(w), 1, 1))], axis=1)
    first = intrinsics if isinstance(intrinsics, Intrinsics) else None
    if first is None and isinstance(intrinsics, Sequence) and intrinsics and isinstance(intrinsics[0], Intrinsics):
        first = intrinsics[0]
        if any((k.width, k.height) != (first.width, first.height) for k in intrinsics if isinstance(k, Intrinsics)):
            raise ShapeError("All cameras of a move must have the same picture size.")
    if first is not None:
        size = size or (first.width, first.height)
    if size is None:
        raise ShapeError("Intrinsics given as an array say no picture size; pass size=(width, height).")
    times = np.arange(len(w), dtype=np.float64) if source_time is None else np.asarray(source_time, np.float64)
    checked = Trajectory(w, intrinsics_rows(intrinsics, len(w)), times, size[0], size[1], name)
    return replace(checked, world_from_camera=orthonormalised(w))
