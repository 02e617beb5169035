"""Camera moves as pure functions: orbit, dolly, truck, pedestal, lens zoom, vertigo, static, matrices.

Every move starts at ``MoveSetup.start`` and is described in that camera's own axes (x right, y down, z forward), so
"right" and "up" mean the same as on screen. Distances are shares of the distance to the target, because the unit of
monocular depth is arbitrary.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ex4d.trajectory.timing import Easing, checked_count, eased
from ex4d_ground.arrays import Float64
from ex4d_ground.cameras import Intrinsics, Trajectory, from_matrices, intrinsics_rows
from ex4d_ground.errors import SettingError, ShapeError, TrajectoryError
from ex4d_ground.poses import inverse, look_at, pose, rotation_x, rotation_y


@dataclass(frozen=True)
class MoveSetup:
    """What every move needs to know before it is told how far to go."""

    num_frames: int
    intrinsics: Intrinsics
    target: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """The point the move is about, in the start camera's axes; usually (0, 0, distance to the subject)."""
    easing: Easing = "ease_in_out"
    source_time: Float64 | None = None
    """[num_frames] source frame of each output frame; normal speed from 0 if not given."""
    start: Float64 | None = None
    """[4, 4] world_from_camera of the first frame; the source camera if not given."""

    def __post_init__(self) -> None:
        checked_count(self.num_frames)
        if len(self.target) != 3 or not all(math.isfinite(v) for v in self.target) or self.target[2] <= 0:
            raise TrajectoryError(
                f"A move's target must be a finite point in front of the camera (z > 0), got {tuple(self.target)}."
            )

    @property
    def distance(self) -> float:
        """Distance from the start camera to the target."""
        return float(np.linalg.norm(self.target))

    @property
    def share(self) -> Float64:  # [num_frames] 0..1
        """Share of the move done at each frame."""
        return eased(self.num_frames, self.easing)

    def trajectory(
        self,
        start_from_camera: Float64,  # [N, 4, 4]
        *,
        focal_factor: Float64 | None = None,  # [N]
        name: str,
    ) -> Trajectory:
        """The move's poses (in the start camera's axes) as a trajectory in the world."""
        world_from_start = np.eye(4) if self.start is None else np.asarray(self.start, np.float64)
        times = np.arange(self.num_frames, dtype=np.float64) if self.source_time is None else self.source_time
        k = intrinsics_rows(self.intrinsics, self.num_frames)
        if focal_factor is not None:
            k[:, :2] *= focal_factor[:, None]
        return Trajectory(
            world_from_start @ start_from_camera,
            k,
            np.asarray(times, np.float64),
            self.intrinsics.width,
            self.intrinsics.height,
            name,
        )


def _checked(what: str, value: float, low: float, high: float, unit: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not low <= value <= high:
        raise SettingError(f"{what} must be between {low:g} and {high:g}{unit}, got {value!r}.")
    return float(value)


def orbit(yaw_deg: float, pitch_deg: float = 0.0, *, setup: MoveSetup, name: str = "orbit") -> Trajectory:
    """Turn around the target and arrive at exactly these angles; the target stays where it was in the picture.

    Positive yaw takes the camera to its right, positive pitch up. Each is limited to 90 degrees either way.
    """
    yaw = math.radians(_checked("Orbit yaw", yaw_deg, -90, 90, " degrees"))
    pitch = math.radians(_checked("Orbit pitch", pitch_deg, -90, 90, " degrees"))
    share = setup.share
    return setup.trajectory(_orbit_poses(setup, share * yaw, share * pitch), name=name)


def sway(yaw_deg: float, *, setup: MoveSetup, name: str = "sway") -> Trajectory:
    """Orbit to one side, through the start to the other, and back: a true-angle version of EX-4D's "180"."""
    yaw = math.radians(_checked("Sway yaw", yaw_deg, -90, 90, " degrees"))
    angle = yaw * np.sin(2 * np.pi * setup.share)
    return setup.trajectory(_orbit_poses(setup, angle, np.zeros_like(angle)), name=name)


def _orbit_poses(setup: MoveSetup, yaw: Float64, pitch: Float64) -> Float64:  # [N, 4, 4]
    target = np.asarray(setup.target, np.float64)
    rotation = rotation_y(-yaw) @ rotation_x(-pitch)
    return pose(rotation, target - rotation @ target)


def dolly(share: float, *, setup: MoveSetup, name: str = "dolly") -> Trajectory:
    """Move along the line to the target by ``share`` of its distance: positive towards it, negative away.

    0.95 is the most, so that the camera stops short of the target.
    """
    share = _checked("Dolly", share, -20, 0.95, " of the distance to the target")
    return setup.trajectory(_shifted(setup, np.asarray(setup.target) * share), name=name)


def truck(share: float, *, setup: MoveSetup, keep_centred: bool = False, name: str = "truck") -> Trajectory:
    """Slide sideways by ``share`` of the target's distance (positive right), turning to hold the target if asked."""
    return _slide(np.array([1.0, 0.0, 0.0]), "Truck", share, setup, keep_centred, name)


def pedestal(share: float, *, setup: MoveSetup, keep_centred: bool = False, name: str = "pedestal") -> Trajectory:
    """Rise by ``share`` of the target's distance (negative sinks), tilting to hold the target if asked (a crane)."""
    return _slide(np.array([0.0, -1.0, 0.0]), "Pedestal", share, setup, keep_centred, name)


def lens_zoom(factor: float, *, setup: MoveSetup, name: str = "lens_zoom") -> Trajectory:
    """Change the focal length to ``factor`` times its start, by equal ratios per share; the camera stands still."""
    factor = _checked("Lens zoom factor", factor, 0.1, 10)
    poses = np.tile(np.eye(4), (setup.num_frames, 1, 1))
    return setup.trajectory(poses, focal_factor=factor**setup.share, name=name)


def vertigo(share: float, *, setup: MoveSetup, name: str = "vertigo") -> Trajectory:
    """Dolly by ``share`` of the target's distance while the lens keeps the target's size on screen (dolly zoom)."""
    share = _checked("Vertigo dolly", share, -9, 0.9, " of the distance to the target")
    poses = _shifted(setup, np.asarray(setup.target) * share)
    return setup.trajectory(poses, focal_factor=1 - share * setup.share, name=name)


def static(
    *,
    num_frames: int,
    intrinsics: Intrinsics,
    source_time: ArrayLike | None = None,
    world_from_camera: ArrayLike | None = None,
    name: str = "static",
) -> Trajectory:
    """A camera that stands still, at the source camera unless a [4, 4] pose is given."""
    one = np.eye(4) if world_from_camera is None else np.asarray(world_from_camera, np.float64)
    if one.shape != (4, 4):
        raise ShapeError(f"A static camera's pose must be [4, 4], got {one.shape}.")
    return from_matrices(
        np.tile(one, (checked_count(num_frames), 1, 1)), intrinsics=intrinsics, source_time=source_time, name=name
    )


def relative_to_first(trajectory: Trajectory) -> Trajectory:
    """The same move with the world placed at its first camera, for cameras that came from another world."""
    w = trajectory.world_from_camera
    return replace(trajectory, world_from_camera=inverse(w[0]) @ w)


def _shifted(setup: MoveSetup, end: Float64) -> Float64:  # [N, 4, 4]
    return pose(np.eye(3), setup.share[:, None] * end)


def _slide(axis: Float64, what: str, share: float, setup: MoveSetup, keep_centred: bool, name: str) -> Trajectory:
    share = _checked(what, share, -20, 20, " of the distance to the target")
    eye = setup.share[:, None] * axis * (share * setup.distance)
    if not keep_centred:
        return setup.trajectory(pose(np.eye(3), eye), name=name)
    # Look-at turns the picture from the first frame on if the target is off-centre; undo that first turn.
    aimed = look_at(eye, np.asarray(setup.target))
    return setup.trajectory(aimed @ inverse(aimed[0]), name=name)
