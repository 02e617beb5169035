"""Whether a camera file's move fits a clip: its length, and where it starts."""

from dataclasses import replace

import numpy as np

from ex4d.types import Clip
from ex4d_ground.cameras import Trajectory
from ex4d_ground.poses import inverse

FAR_ANGLE_DEG = 60.0


def within(move: Trajectory, num_frames: int) -> Trajectory:
    """The beginning of ``move`` that shows the first ``num_frames`` of the source; all of it where it stays in them.

    A move that starts behind them is left as it is, to be refused where its frames are looked for.
    """
    outside = np.flatnonzero(np.floor(move.source_time + 0.5) >= num_frames)
    end = int(outside[0]) if outside.size else len(move)
    if end in (0, len(move)):
        return move
    return replace(
        move,
        world_from_camera=move.world_from_camera[:end],
        intrinsics=move.intrinsics[:end],
        source_time=move.source_time[:end],
    )


def far_from_source(move: Trajectory, clip: Clip) -> str:
    """What is odd about a move whose first camera is far from the one that filmed the clip; "" if it starts near it.

    The world of a move is the source camera of frame 0, so a path solved in a world of its own sees nothing.
    """
    start = inverse(clip.camera_at(float(move.source_time[0]))[1]) @ move.world_from_camera[0]
    distance = float(np.linalg.norm(start[:3, 3]))
    angle = float(np.degrees(np.arccos(np.clip((np.trace(start[:3, :3]) - 1) / 2, -1, 1))))
    valid = clip.depth[0][np.isfinite(clip.depth[0]) & (clip.depth[0] > 0)]
    middle = float(np.median(valid)) if valid.size else np.inf
    if distance <= middle and angle <= FAR_ANGLE_DEG:
        return ""
    return (
        f"starts {distance:.3g} units and {angle:.0f} degrees away from the source camera, where the clip's depth is "
        f"about {middle:.3g}: it seems to be in a world of its own, and moves are relative to the clip's first camera"
    )
