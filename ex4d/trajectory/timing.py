"""How a move spreads over its frames (easing), and which source frame each output frame shows (source time)."""

import math
from typing import Literal, get_args

import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.errors import SettingError, TrajectoryError

Easing = Literal["linear", "ease_in", "ease_out", "ease_in_out"]
EASINGS: tuple[Easing, ...] = get_args(Easing)

TimePattern = Literal["play", "freeze", "reverse", "slow", "stretch"]
TIME_PATTERNS: tuple[TimePattern, ...] = get_args(TimePattern)


def eased(num_frames: int, easing: Easing = "linear") -> Float64:  # [num_frames] from 0 to 1
    """Share of the move done at each frame; first frame 0, last frame 1, never backwards.

    Raises SettingError for an unknown easing or fewer than one frame.
    """
    if easing not in EASINGS:
        raise SettingError(f"Easing must be one of {', '.join(EASINGS)}, got {easing!r}.")
    t = np.linspace(0.0, 1.0, checked_count(num_frames))
    if easing == "ease_in":
        return t * t
    if easing == "ease_out":
        return t * (2 - t)
    if easing == "ease_in_out":
        return t * t * (3 - 2 * t)
    return t


def checked_count(num_frames: int) -> int:
    """``num_frames`` if it is a whole number of at least one frame; raises SettingError otherwise."""
    if isinstance(num_frames, bool) or not isinstance(num_frames, int | np.integer) or num_frames < 1:
        raise SettingError(f"A camera move needs a whole number of at least 1 frame, got {num_frames!r}.")
    return int(num_frames)


def in_real_time(source_time: Float64) -> bool:  # [N]
    """Whether every output frame shows the source frame after that of the one before."""
    return bool((np.diff(np.floor(source_time + 0.5)) == 1).all())


def source_times(
    pattern: TimePattern = "play", *, num_frames: int, num_source_frames: int, frame: float = 0.0, speed: float = 0.5
) -> Float64:  # [num_frames], in source frames
    """Source time of every output frame; the ends of the clip are held, never passed.

    "play" runs at normal speed from ``frame``; "freeze" stays on ``frame`` (bullet time); "reverse" runs backwards,
    from the last frame the move can still leave towards 0; "slow" runs from ``frame`` at ``speed`` source frames per
    output frame (above 1 is fast motion); "stretch" fits the whole clip into the move.

    Raises SettingError for an unknown pattern or speed, TrajectoryError for a frame outside the clip.
    """
    n = checked_count(num_frames)
    last = checked_count(num_source_frames) - 1
    if pattern not in TIME_PATTERNS:
        raise SettingError(f"Source time must be one of {', '.join(TIME_PATTERNS)}, got {pattern!r}.")
    if not (math.isfinite(frame) and 0 <= frame <= last):
        raise TrajectoryError(f"Source frame {frame + 1:g} is outside the clip, which has {last + 1} frames.")
    if not (math.isfinite(speed) and speed > 0):
        raise SettingError(f"Speed must be a positive number of source frames per output frame, got {speed}.")
    index = np.arange(n, dtype=np.float64)
    if pattern == "freeze":
        times = np.full(n, float(frame))
    elif pattern == "reverse":
        times = min(n - 1, last) - index
    elif pattern == "slow":
        times = frame + speed * index
    elif pattern == "stretch":
        times = np.linspace(0.0, last, n)
    else:
        times = frame + index
    return np.clip(times, 0.0, float(last))
