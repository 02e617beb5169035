"""New camera moves made of the one that filmed a clip: held still, or smoothed."""

from dataclasses import replace

import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import SettingError
from ex4d_ground.poses import pose, so3_exp, so3_log
from ex4d_ground.source_camera import SourceCamera

_REACH = 3.0
"""Frames further away than so many standard deviations have no weight."""
MOST_FRAMES = 100_000.0


def locked_off(camera: SourceCamera, at: float, source_time: Float64) -> Trajectory:  # [N]
    """A camera that stays where the filming one was at source frame ``at``, with its lens of that frame.

    Raises TrajectoryError for a frame outside the clip.
    """
    poses, lens = camera.at([at])
    count = len(source_time)
    times = np.asarray(source_time, np.float64)
    rows = np.tile(lens, (count, 1))
    return Trajectory(np.tile(poses, (count, 1, 1)), rows, times, camera.width, camera.height, "lock_to_world")


def following(camera: SourceCamera, source_time: Float64) -> Trajectory:  # [N]
    """The filming camera itself, at each output frame's source time. Raises TrajectoryError outside the clip."""
    poses, lenses = camera.at(source_time)
    return Trajectory(poses, lenses, np.asarray(source_time, np.float64), camera.width, camera.height, "follow_source")


def stabilised(camera: SourceCamera, frames: float, source_time: Float64) -> Trajectory:  # [N]
    """The filming camera's path without what shakes faster than ``frames`` frames; the lens zooms as it did.

    Each pose is the value, at its own frame, of the straight line that fits its neighbours best by least squares, those
    further away counting less (a Gaussian with a standard deviation of half of ``frames``): for rotations in the axis
    times angle from that frame. So a steady pan or dolly stays what it was up to its first and last frame. 0 changes
    nothing. Raises SettingError for another number of frames, TrajectoryError for a source time outside the clip.
    """
    if not 0 <= frames <= MOST_FRAMES:
        raise SettingError(f"A path can be smoothed over 0 to {MOST_FRAMES:g} frames, got {frames!r}.")
    if frames == 0:
        return replace(following(camera, source_time), name="stabilise")
    smooth = _smoothed(camera.world_from_camera, frames / 2)
    # SourceCamera's own interpolation, in the world of the smoothed path's first frame and back.
    path = SourceCamera.of(smooth, camera.intrinsics, size=(camera.width, camera.height), origin=camera.origin)
    poses, lenses = path.at(source_time)
    times = np.asarray(source_time, np.float64)
    return Trajectory(smooth[0] @ poses, lenses, times, camera.width, camera.height, "stabilise")


def _smoothed(poses: Float64, deviation: float) -> Float64:  # [T, 4, 4], frames -> [T, 4, 4]
    out = poses.copy()
    count, reach = len(poses), int(np.ceil(_REACH * deviation))
    for t in range(count):
        near = np.arange(max(t - reach, 0), min(t + reach + 1, count))
        apart = (near - t).astype(np.float64)
        weights = np.exp(-0.5 * (apart / deviation) ** 2)
        turns = np.stack([so3_log(poses[t, :3, :3].T @ poses[i, :3, :3]) for i in near])
        here = _line_at_zero(apart, np.concatenate([turns, poses[near, :3, 3]], axis=1), weights)
        out[t] = pose(poses[t, :3, :3] @ so3_exp(here[:3]), here[3:])[0]
    return out


def _line_at_zero(x: Float64, y: Float64, weights: Float64) -> Float64:  # [K], [K, C], [K] -> [C]
    """The value at 0 of the lines through ``y`` over ``x``; the mean where there are too few points for a line."""
    total = weights.sum()
    middle, mean = (weights * x).sum() / total, (weights[:, None] * y).sum(axis=0) / total
    spread = (weights * (x - middle) ** 2).sum()
    if spread < 1e-12:
        return mean
    slope = (weights[:, None] * (x - middle)[:, None] * (y - mean)).sum(axis=0) / spread
    return mean - slope * middle
