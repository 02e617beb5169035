"""Depth that wavers before a camera that stands still: what does not change in the picture does not move in depth.

Estimators see each frame, or window of frames, anew: the depth of a wall drifts by some per cent while its pixels stay
the same. Where the camera stands still, a pixel whose colour a frame shares with others takes the median of their
depths. Clips with a moving camera, and depth that does not waver, are not touched.
"""

from collections.abc import Callable

import numpy as np

from ex4d.compiled.arrays import plain
from ex4d.compiled.kernel import kernel
from ex4d.frames import Frames
from ex4d.types import Clip
from ex4d_ground.arrays import Float32, UInt8

REFERENCES = 9
"""Frames, spread over the clip, that every frame is compared with."""
SAME_COLOUR = 10
"""Levels (of 255, in every channel) within which a pixel's colour has not changed."""
SAME_THING = 0.15
"""Share by which a depth may differ and still be the same thing's."""
TEXTURE = 12
"""Difference to a neighbour, in levels, that makes a pixel tell whether the camera moved."""
STILL = 0.2
"""Share of such pixels that must keep their colour for the camera to stand still; things may move before it."""
LEAST_STILL = 0.045
"""Share of textured pixels that keep their colour, below which the camera moves. Made scenes that a moving camera films
have up to 0.032, one of fast things before a camera that stands still 0.059."""
WAVERS = 0.005
"""Median spread over time, as a share of the depth, above which unchanged pixels' depth wavers."""
EVERY = 3
"""One pixel in this many, along rows and columns, is looked at to decide."""


def references(count: int, most: int = REFERENCES) -> list[int]:
    """At most ``most`` frames, spread evenly over a clip of ``count``."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))})


def unchanged_share(frames: Frames) -> float:  # [T, H, W, 3]
    """Share of the textured pixels that keep their colour all the time; 0 for a single frame or without texture."""
    if len(frames) < 2:
        return 0.0
    chosen = references(len(frames))
    first = frames[chosen[0]].astype(np.int16)
    textured = np.zeros(first.shape[:2], np.bool_)
    textured[:, 1:] = np.abs(np.diff(first, axis=1)).max(axis=2) > TEXTURE
    textured = textured[::EVERY, ::EVERY]
    if not textured.any():
        return 0.0
    return float(_unchanged(_thinned(frames, chosen))[textured].mean())


def is_still(frames: Frames) -> bool:  # [T, H, W, 3]
    """Whether the camera stands still: enough of what is textured keeps its colour."""
    return unchanged_share(frames) >= STILL


def camera_moves(frames: Frames) -> bool:  # [T, H, W, 3]
    """Whether the camera surely moves: next to nothing of what is textured keeps its colour."""
    return len(frames) > 1 and unchanged_share(frames) < LEAST_STILL


def wavers(clip: Clip) -> bool:
    """Whether the camera stands still and the depth of what does not change does not."""
    if clip.moving_camera is not None or not is_still(clip.frames):
        return False
    chosen = references(clip.num_frames)
    unchanged = _unchanged(_thinned(clip.frames, chosen))
    inverse = 1 / _thinned(clip.depth, chosen)[:, unchanged]
    return bool(np.median(np.ptp(inverse, axis=0) / inverse.mean(axis=0)) > WAVERS)


class SteadyDepth:
    """Steady depth of any frame of a clip. Safe to use from several threads."""

    def __init__(self, clip: Clip, depth_of: Callable[[int], Float32]) -> None:  # frame -> [H, W]
        chosen = references(clip.num_frames)
        self._frames = clip.frames
        self._colours = plain(clip.frames[chosen])
        self._depths = np.stack([depth_of(k) for k in chosen])
        self._depth_of = depth_of

    def at(self, t: int) -> Float32:  # [H, W]
        """Depth of frame ``t``; what did not change has the median of the reference frames."""
        own = self._depth_of(t)
        out = np.empty_like(own)
        _median_of_same(plain(self._frames[t]), own, self._colours, self._depths, SAME_COLOUR, SAME_THING, out)
        return out


def _thinned(frames: Frames, chosen: list[int]) -> np.ndarray:  # [T, H, W, ...] -> [K, H / EVERY, W / EVERY, ...]
    return np.stack([frames[k][::EVERY, ::EVERY] for k in chosen])


def _unchanged(frames: UInt8) -> np.ndarray:  # [H, W] bool
    spread = frames.max(axis=0).astype(np.int16) - frames.min(axis=0)
    return spread.max(axis=2) <= SAME_COLOUR


@kernel
def _median_of_same(
    frame: UInt8,  # [H, W, 3]
    depth: Float32,  # [H, W]
    colours: UInt8,  # [R, H, W, 3]
    depths: Float32,  # [R, H, W]
    colour: int,
    thing: float,
    out: Float32,  # [H, W]
) -> None:
    """Per pixel: the median depth of the references that have its colour and nearly its depth, or its own."""
    height, width = out.shape
    values = np.empty(len(depths), np.float32)
    for j in range(height):
        for i in range(width):
            own = depth[j, i]
            n = 0
            for k in range(len(depths)):
                same = abs(depths[k, j, i] - own) <= thing * own
                for c in range(3):
                    same = same and abs(np.int32(colours[k, j, i, c]) - np.int32(frame[j, i, c])) <= colour
                if same:
                    value, at = depths[k, j, i], n
                    while at > 0 and values[at - 1] > value:
                        values[at] = values[at - 1]
                        at -= 1
                    values[at] = value
                    n += 1
            middle = n // 2
            if n == 0:
                out[j, i] = own
            else:
                out[j, i] = values[middle] if n & 1 else np.float32(0.5) * (values[middle - 1] + values[middle])
