"""Clips whose source camera moves by steps that floats hold exactly, so that two ways to the same picture are one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ex4d.types import Clip
from ex4d_ground.arrays import Float64
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.source_camera import SourceCamera

from .conftest import make_clip


def shifts(count: int) -> Float64:  # [T, 3]
    """Positions in quarters and eighths."""
    return np.outer(np.arange(count), [0.25, -0.125, 0.125])


def shifted(positions: Float64) -> Float64:  # [T, 4, 4]
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, :3, 3] = positions
    return poses


def travelling(clip: Clip) -> Clip:
    """The clip as if its camera had slid aside."""
    return replace(clip, source_camera=SourceCamera.of(shifted(shifts(clip.num_frames)), clip.intrinsics))


def locked_off(clip: Clip, times: list[float]) -> Trajectory:
    """A camera that stands a little beside the first frame's."""
    k, count = clip.intrinsics, len(times)
    poses, rows = shifted(np.tile([0.125, 0.0, 0.25], (count, 1))), np.tile([k.fx, k.fy, k.cx, k.cy], (count, 1))
    return Trajectory(poses, rows, np.array(times), clip.width, clip.height)


def beside_source(clip: Clip, move: Trajectory) -> Trajectory:
    """The same cameras relative to the source camera of the moment, by hand."""
    shown = np.floor(move.source_time + 0.5).astype(int)
    return replace(move, world_from_camera=shifted(move.world_from_camera[:, :3, 3] - shifts(clip.num_frames)[shown]))


def zooming(frames: int = 3, height: int = 24, width: int = 32) -> Clip:
    """A clip whose lens gets longer by a quarter from frame to frame."""
    clip = make_clip(frames=frames, height=height, width=width)
    k = clip.intrinsics
    factor = 1 + 0.25 * np.arange(frames)
    rows = np.stack([k.fx * factor, k.fy * factor, np.full(frames, k.cx), np.full(frames, k.cy)], axis=1)
    camera = SourceCamera(np.tile(np.eye(4), (frames, 1, 1)), rows, width, height)
    return replace(clip, source_camera=camera)


def lens_row(k: Intrinsics) -> Float64:  # [4]
    return np.array([k.fx, k.fy, k.cx, k.cy])
