"""Stereo pairs: the move as the left eye, a second camera beside it as the right one."""

import math
from dataclasses import replace

import numpy as np

from ex4d.frames import Frames, JoinedFrames
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import SettingError, ShapeError


def right_eye(trajectory: Trajectory, *, baseline: float, convergence: float | None = None) -> Trajectory:
    """The camera ``baseline`` (in the scene's units) to the right of every camera of ``trajectory``.

    Both look in the same direction. With ``convergence`` the right picture is shifted (an off-axis lens, no toe-in) so
    that what lies at that depth has no parallax. Raises SettingError.
    """
    if not (math.isfinite(baseline) and baseline != 0):
        raise SettingError(f"The eyes' distance must be a number other than 0, got {baseline}.")
    if convergence is not None and not (math.isfinite(convergence) and convergence > 0):
        raise SettingError(f"The depth without parallax must be positive, got {convergence}.")
    shift = np.eye(4)
    shift[0, 3] = baseline
    intrinsics = trajectory.intrinsics.copy()
    if convergence is not None:
        intrinsics[:, 2] += intrinsics[:, 0] * baseline / convergence
    return replace(trajectory, world_from_camera=trajectory.world_from_camera @ shift, intrinsics=intrinsics)


def side_by_side(left: Frames, right: Frames) -> Frames:  # [N, H, W, 3] each -> [N, H, 2 W, 3]
    """Both eyes in one picture, the left one on the left. Raises ShapeError."""
    if left.shape != right.shape:
        raise ShapeError(f"Both eyes must have one shape, got {left.shape} and {right.shape}.")
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return np.concatenate([left, right], axis=2)
    return JoinedFrames(left, right)
