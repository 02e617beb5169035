"""The frame-0 rule: the model expects its first frame to be a real, complete picture.

A move that does not start at the source camera gets a lead-in from there, which is cut off again afterwards.
"""

import math
from dataclasses import dataclass

import numpy as np

from ex4d.trajectory.metrics import rotation_angles
from ex4d_ground.arrays import Float64
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import SettingError
from ex4d_ground.poses import interpolate

MAX_DEGREES_PER_FRAME = 3.0
"""Fastest turn of a lead-in; EX-4D's own curves turn by 2 to 8 degrees a frame."""
MAX_SHIFT_PER_FRAME = 0.05
"""Fastest travel per frame, as a share of the distance to the subject: the arc of about 3 degrees."""
MAX_ZOOM_PER_FRAME = 0.04
"""Fastest change of focal length per frame (natural logarithm)."""

_ORIGIN: Float64 = np.eye(4)
_SAME_DEGREES = 0.05
_SAME_SHARE = 1e-3  # of the reference depth, and of the focal length
_EASE_PEAK = 1.5  # the steepest slope of t*t*(3-2t): eased motion is this much faster in its middle


@dataclass(frozen=True)
class LeadIn:
    """A move with its lead-in in front."""

    trajectory: Trajectory
    trim: int
    """Frames to cut from the front of the result; 0 if the move starts at the source camera."""


def starts_at_source(
    trajectory: Trajectory,
    source: Intrinsics,
    *,
    reference_depth: float,
    pose: Float64 = _ORIGIN,  # [4, 4]
) -> bool:
    """Whether frame 0 is the source camera, near enough that its guide is the source picture.

    ``source`` and ``pose`` (world_from_camera) are the source camera's at the move's first source frame.
    """
    degrees, shift, zoom = _distance(trajectory, source, reference_depth, pose)
    return degrees <= _SAME_DEGREES and shift <= _SAME_SHARE and zoom <= _SAME_SHARE


def with_lead_in(
    trajectory: Trajectory,
    source: Intrinsics,
    *,
    reference_depth: float,
    pose: Float64 = _ORIGIN,  # [4, 4]
) -> LeadIn:
    """Put a smooth way from the source camera in front of ``trajectory``, if it needs one.

    ``source`` is the clip's lens (at its own size) and ``pose`` where its camera stands (world_from_camera) at the
    move's first source frame; ``reference_depth`` is the distance to the subject, which says how fast a shift looks.
    The way is a screw motion (an orbit stays an orbit) eased at both ends, long enough that no frame turns, travels or
    zooms faster than the constants above, and such that the total length is 4n + 1.
    The footage stands still during it, at the move's first source frame.
    Raises SettingError for a reference depth that is not positive.
    """
    if not (math.isfinite(reference_depth) and reference_depth > 0):
        raise SettingError(f"The reference depth of a lead-in must be positive and finite, got {reference_depth}.")
    if starts_at_source(trajectory, source, reference_depth=reference_depth, pose=pose):
        return LeadIn(trajectory, 0)
    degrees, shift, zoom = _distance(trajectory, source, reference_depth, pose)
    speeds = (degrees / MAX_DEGREES_PER_FRAME, shift / MAX_SHIFT_PER_FRAME, zoom / MAX_ZOOM_PER_FRAME)
    count = max(2, math.ceil(_EASE_PEAK * max(speeds)))
    count += (1 - (count + len(trajectory))) % 4
    share = np.arange(count) / count
    share = share * share * (3 - 2 * share)
    first = _source_row(trajectory, source)
    return LeadIn(
        Trajectory(
            np.concatenate([interpolate(pose, trajectory.world_from_camera[0], share), trajectory.world_from_camera]),
            np.concatenate([_lens_way(first, trajectory.intrinsics[0], share), trajectory.intrinsics]),
            np.concatenate([np.full(count, trajectory.source_time[0]), trajectory.source_time]),
            trajectory.width,
            trajectory.height,
            trajectory.name,
        ),
        count,
    )


def _source_row(trajectory: Trajectory, source: Intrinsics) -> Float64:  # [4]
    scaled = source.resized(trajectory.width, trajectory.height)
    return np.array([scaled.fx, scaled.fy, scaled.cx, scaled.cy])


def _distance(
    trajectory: Trajectory, source: Intrinsics, reference_depth: float, pose: Float64
) -> tuple[float, float, float]:
    """Degrees, shift as a share of the reference depth, and lens change from the source camera to frame 0."""
    start = trajectory.world_from_camera[0]
    degrees = float(np.degrees(rotation_angles(pose[None, :3, :3], start[None, :3, :3]))[0])
    shift = float(np.linalg.norm(start[:3, 3] - pose[:3, 3])) / reference_depth
    lens, first = _source_row(trajectory, source), trajectory.intrinsics[0]
    zoom = float(np.abs(np.log(first[:2] / lens[:2])).max())
    off_centre = float((np.abs(first[2:] - lens[2:]) / lens[:2]).max())
    return degrees, shift, max(zoom, off_centre)


def _lens_way(start: Float64, end: Float64, share: Float64) -> Float64:  # [N, 4]
    focal = start[:2] * (end[:2] / start[:2]) ** share[:, None]
    centre = start[2:] + share[:, None] * (end[2:] - start[2:])
    return np.concatenate([focal, centre], axis=1)
