"""The camera that filmed a clip: one pose and one lens per frame, and who says so.

The world is this camera at frame 0 (OpenCV axes, the depth's unit). A new move is a :class:`Trajectory` in that world;
:meth:`SourceCamera.seen_by_source` brings it into the axes in which each frame's mesh is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from ex4d_ground.arrays import Float64, Int64
from ex4d_ground.cameras import Intrinsics, Trajectory, from_matrices, intrinsics_rows
from ex4d_ground.errors import SettingError, ShapeError, TrajectoryError
from ex4d_ground.poses import inverse, pose, so3_exp, so3_log

CameraOrigin = Literal["estimated", "tracked", "given"]
"""Who says how the camera moved: our own estimate, the artist's match-move, or a file."""

_SAME_POSE = 1e-9
"""Poses closer than this are one: what is left of inverting a matrix with itself."""


@dataclass(frozen=True)
class SourceCamera:
    """Where the camera that filmed a clip stood at each of its frames, and through which lens it looked.

    Raises ShapeError or TrajectoryError, naming the frame, for shapes that do not fit, poses that do more than rotate
    and translate or do not start at the identity, and lenses that are no lenses; SettingError for an unknown origin.
    """

    world_from_camera: Float64  # [T, 4, 4] world = this camera at frame 0
    intrinsics: Float64  # [T, 4] fx, fy, cx, cy in pixels
    width: int
    height: int
    origin: CameraOrigin = "given"

    def __post_init__(self) -> None:
        if self.origin not in get_args(CameraOrigin):
            raise SettingError(
                f"A source camera's origin must be one of {', '.join(get_args(CameraOrigin))}, got {self.origin!r}."
            )
        self.as_trajectory()  # the checks of shapes, poses and lenses have one home
        off = float(np.abs(self.world_from_camera[0] - np.eye(4)).max())
        if off > _SAME_POSE:
            raise TrajectoryError(
                f"A source camera's world is its own first frame, but the pose of frame 1 is {off:.3g} away from the "
                "identity; make it with SourceCamera.of, which moves the world there."
            )

    @classmethod
    def of(
        cls,
        world_from_camera: ArrayLike,  # [T, 4, 4] or [T, 3, 4], in any world
        intrinsics: Intrinsics | Sequence[Intrinsics] | ArrayLike,
        *,
        size: tuple[int, int] | None = None,
        origin: CameraOrigin = "given",
    ) -> SourceCamera:
        """Poses in any world, moved to the world of frame 0; small rounding of their rotations is mended.

        ``intrinsics`` and ``size`` as :func:`ex4d_ground.cameras.from_matrices` takes them, with the same errors.
        """
        checked = from_matrices(world_from_camera, intrinsics=intrinsics, size=size)
        return cls._normalised(checked, origin)

    @classmethod
    def of_trajectory(cls, camera: Trajectory, *, origin: CameraOrigin = "given") -> SourceCamera:
        """The cameras of a camera file as those that filmed a clip, one per frame in the clip's order.

        Raises TrajectoryError for a retimed move: a source camera has a pose for every frame, each once.
        """
        if np.abs(camera.source_time - np.arange(len(camera))).max() > 1e-6:
            raise TrajectoryError(
                f"The source camera '{camera.name}' is retimed; give one with a pose for each frame of the clip, in "
                "order."
            )
        return cls._normalised(camera, origin)

    @classmethod
    def still(cls, num_frames: int, intrinsics: Intrinsics, *, origin: CameraOrigin = "given") -> SourceCamera:
        """A camera that stands still and keeps its lens: exactly the identity at every frame."""
        poses = np.tile(np.eye(4), (num_frames, 1, 1))
        rows = intrinsics_rows(intrinsics, num_frames)
        return cls(poses, rows, intrinsics.width, intrinsics.height, origin)

    @classmethod
    def _normalised(cls, camera: Trajectory, origin: CameraOrigin) -> SourceCamera:
        poses = inverse(camera.world_from_camera[0]) @ camera.world_from_camera
        poses[0] = np.eye(4)  # what is left of inverting a rounded matrix
        return cls(poses, camera.intrinsics.copy(), camera.width, camera.height, origin)

    def __len__(self) -> int:
        return len(self.world_from_camera)

    @property
    def camera_from_world(self) -> Float64:  # [T, 4, 4]
        """Inverse poses."""
        return inverse(self.world_from_camera)

    @property
    def is_still(self) -> bool:
        """Whether the camera neither moves nor zooms, so that each frame's mesh stands where frame 0's does."""
        moved = np.abs(self.world_from_camera - np.eye(4)).max()
        return bool(moved <= _SAME_POSE and np.ptp(self.intrinsics, axis=0).max() <= _SAME_POSE * self.width)

    def frame_intrinsics(self, t: int) -> Intrinsics:
        """The lens at frame ``t``."""
        return self.as_trajectory().frame_intrinsics(t)

    def as_trajectory(self, name: str = "source") -> Trajectory:
        """The same cameras as a move that plays the clip, such as a camera file holds."""
        times = np.arange(len(self.world_from_camera), dtype=np.float64)
        return Trajectory(self.world_from_camera, self.intrinsics, times, self.width, self.height, name)

    def first(self, num_frames: int) -> SourceCamera:
        """The camera of the first frames. Raises ShapeError if there are not as many."""
        if not 1 <= num_frames <= len(self):
            raise ShapeError(f"The source camera has {len(self)} poses, {num_frames} frames were asked for.")
        return replace(
            self, world_from_camera=self.world_from_camera[:num_frames], intrinsics=self.intrinsics[:num_frames]
        )

    def resized(self, width: int, height: int) -> SourceCamera:
        """The same camera for the same pictures at another size."""
        factor = np.array([width / self.width, height / self.height] * 2)
        return replace(self, intrinsics=self.intrinsics * factor, width=width, height=height)

    def scaled(self, factor: float) -> SourceCamera:
        """The same camera in a world whose lengths are ``factor`` times as many units. Raises SettingError."""
        if not (np.isfinite(factor) and factor > 0):
            raise SettingError(f"Lengths can be scaled by a positive number, got {factor}.")
        poses = self.world_from_camera.copy()
        poses[:, :3, 3] *= factor
        return replace(self, world_from_camera=poses)

    def at(self, times: ArrayLike) -> tuple[Float64, Float64]:  # [N] source frames -> [N, 4, 4], [N, 4]
        """Pose and lens at fractions of frames: the shorter turn between the two frames beside, the rest in proportion.

        Raises TrajectoryError for a time outside the clip.
        """
        wanted = np.atleast_1d(np.asarray(times, np.float64))
        last = len(self) - 1
        outside = ~((wanted >= 0) & (wanted <= last))  # also NaN
        if outside.any():
            raise TrajectoryError(
                f"Source frame {wanted[outside][0] + 1:g} is outside the source camera, which has {last + 1} frames."
            )
        before = np.floor(wanted).astype(int)
        after = np.minimum(before + 1, last)
        share = wanted - before
        a, b = self.world_from_camera[before], self.world_from_camera[after]
        turns = [so3_exp(so3_log(x[:3, :3].T @ y[:3, :3]) * s) for x, y, s in zip(a, b, share, strict=True)]
        part = share[:, None]
        poses = pose(a[:, :3, :3] @ np.stack(turns), a[:, :3, 3] * (1 - part) + b[:, :3, 3] * part)
        exact = share == 0  # a frame's own pose keeps every bit
        poses[exact] = a[exact]
        return poses, self.intrinsics[before] * (1 - part) + self.intrinsics[after] * part

    def seen_by_source(self, move: Trajectory) -> Trajectory:
        """``move`` in the axes of the source camera of the same moment, in which each frame's mesh is made.

        Each output frame shows the source frame nearest to its source time, so that frame's camera counts. The
        identity changes no bit. Raises TrajectoryError for a source time outside the clip.
        """
        shown = self.shown_frames(move)
        poses = move.world_from_camera.copy()
        moved = np.flatnonzero((self.world_from_camera[shown] != np.eye(4)).any(axis=(1, 2)))
        poses[moved] = inverse(self.world_from_camera[shown[moved]]) @ poses[moved]
        return replace(move, world_from_camera=poses)

    def in_world(self, relative: Trajectory) -> Trajectory:
        """A move that is given relative to the source camera of the same moment, in the world.

        :meth:`seen_by_source` leads back. Raises TrajectoryError for a source time outside the clip.
        """
        return replace(
            relative, world_from_camera=self.world_from_camera[self.shown_frames(relative)] @ relative.world_from_camera
        )

    def shown_frames(self, move: Trajectory) -> Int64:  # [N]
        """The source frame that each frame of a move shows. Raises TrajectoryError for one outside the clip."""
        shown = np.floor(move.source_time + 0.5).astype(np.int64)
        outside = (shown < 0) | (shown >= len(self))
        if outside.any():
            i = int(np.argmax(outside))
            raise TrajectoryError(
                f"Frame {i + 1} of the camera move shows source frame {shown[i] + 1}, the source camera has "
                f"{len(self)} frames."
            )
        return shown
