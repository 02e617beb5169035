"""Sky: what has no distance of its own. It lies behind everything, just in front of the mesh's border.

Programs write it as infinity, as the largest half float (65504), as 1e10 (Blender, Cycles), 3.4e38, or as a number of
their own (a far clipping distance). All are told by one rule: infinity; anything beyond :data:`SKY_FROM`; or one number
that many pixels share and that is several times farther than everything else.
"""

from dataclasses import dataclass

import numpy as np

from ex4d.frames import DepthStack, Frames, bounds_of
from ex4d_ground.arrays import Float32
from ex4d_ground.texts import percent

SKY_DEPTH = np.float32(1e10)
"""What infinity becomes, so that depth stays finite."""
SKY_FROM = 1e6
"""Depth from which on nothing has a distance of its own, whatever the unit."""
HALF_MAXIMUM = 65504.0
FRONT = 0.999
"""Where sky lies, as a share of the border's depth: behind whatever else lies in front of the border."""
_GAP = 3.0
"""How many times farther than everything else a shared number must be."""
_NEAREST = 100.0
"""A shared number nearer than this (the border's depth unless it is set) needs no moving, so it is not looked for."""
_FEWEST = 8
"""Pixels of the clip that must share the number."""
_SAME = 1 - 1e-5
"""Scaling and resampling may change a shared number by its last digits."""


@dataclass(frozen=True)
class Sky:
    """The sky of a clip's depth."""

    begins: float
    """Depth from which on pixels are sky."""
    count: int
    total: int
    values: tuple[float, ...]
    """As they were stored (infinity, 1e10, 65504, ...), the farthest few."""

    @property
    def note(self) -> str:
        """A sentence for people; "" if there is no sky."""
        if not self.count:
            return ""
        stored = " and ".join("infinity" if np.isinf(v) else f"{v:g}" for v in self.values)
        share = percent(self.count / self.total)
        return f"{share} of the depth is sky (stored as {stored}); it lies just in front of the mesh's border."


def take_sky(depth: Float32 | DepthStack) -> Sky:  # [T, H, W], beyond SKY_DEPTH nothing is left
    """Find the sky of a clip and make its depth finite, in place; other values stay as they are."""
    farthest, count, stored = 0.0, 0, set[float]()
    for t, high in enumerate(bounds_of(depth)[:, 1]):
        if high < SKY_FROM:  # never so where there is NaN
            farthest = max(farthest, float(high))
            continue
        frame = depth[t]
        with np.errstate(invalid="ignore"):
            sky = frame >= SKY_FROM
        if sky.any():
            count += int(sky.sum())
            stored |= {float(frame[sky].min()), float(frame[sky].max())}
            finite = np.minimum(frame, SKY_DEPTH, out=frame.copy(), where=sky)
            if isinstance(depth, DepthStack):
                depth.put(t, finite)
            else:
                depth[t] = finite
        rest = frame[~sky & np.isfinite(frame)]
        farthest = max(farthest, float(rest.max(initial=0.0)))
    begins = SKY_FROM
    shared = _pixels_at(depth, farthest)
    if shared:
        begins, count = farthest * _SAME, count + shared
        stored.add(farthest)
    return Sky(begins, count, depth.size, tuple(sorted(stored, reverse=True)[:3]))


def _pixels_at(depth: Float32 | DepthStack, farthest: float) -> int:
    """How many pixels share the farthest depth that is no sky yet, if it says that there is nothing; else 0."""
    if farthest <= _NEAREST:
        return 0
    shared, below = 0, 0.0
    for t in range(len(depth)):
        frame = depth[t]
        known = frame[np.isfinite(frame) & (frame < SKY_FROM)]
        at = known >= farthest * _SAME
        shared += int(at.sum())
        below = max(below, float(known[~at].max(initial=0.0)))
    none_other = 0 < below * _GAP <= farthest or farthest == HALF_MAXIMUM
    return shared if none_other and shared >= _FEWEST else 0


def has_sky(depth: Frames, border_depth: float, begins: float) -> bool:  # [T, H, W]
    """Whether :func:`before_border` changes any of a clip's depth."""
    return not bool((bounds_of(depth)[:, 1] < max(begins, border_depth)).all())


def before_border(depth: Float32, border_depth: float, begins: float) -> Float32:  # any shape
    """``depth`` with its sky in front of the border; a copy if there is any, else the same array."""
    with np.errstate(invalid="ignore"):
        sky = depth >= max(begins, border_depth)
    return np.where(sky, np.float32(FRONT * border_depth), depth) if sky.any() else depth
