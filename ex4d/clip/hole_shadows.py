"""Telling shadows of a depth camera from other holes, by the width that baseline and depths predict.

An infrared projector, or a second lens, beside the camera does not reach the background next to a near thing. Of such
a shadow three things are known: it lies on one side of near things; it ends where the far surface begins; and it is
``baseline * focal_px * (1 / near - 1 / far)`` pixels wide. So the holes of a clip whose two ends differ in depth
show whether there are shadows at all, on which side, and how wide they are for each step of inverse depth. Holes of
another width, on another side, or between ends of one depth are holes in a surface: dark, shiny or grazing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ex4d_ground.arrays import Bool, Float32, Float64

LEFT, RIGHT, ABOVE, BELOW = range(4)
"""On which side of near things a shadow lies."""

_STEP = 1.2
"""Ends whose depths differ by this factor lie on two surfaces."""
_SAMPLES = 12
"""Frames that are looked at; a camera's baseline does not change."""
_LEAST = 24
"""Fewer holes than this of one kind tell nothing."""
_SHARE = 0.45
"""Of a side's holes between near and far at least so many are as wide as shadows are, within a factor of two: holes
in surfaces have widths of all sizes."""
_UPRIGHT = 2.0
"""Pixels of raggedness up to which holes along columns are believed: outlines of things fake a fit more often."""
_OTHER_SIDE = 0.25
"""A second side counts if it comes this often, beside the first."""


@dataclass(frozen=True)
class Shadow:
    """How wide a depth camera's shadow is: ``reach * (1 / near - 1 / far) + rim`` pixels."""

    side: int
    """LEFT, RIGHT, ABOVE or BELOW of near things."""
    reach: float
    """Pixels times the depth's unit: focal length in pixels times the baseline."""
    rim: float
    """Pixels by which holes are wider than the shadow, where edges are lost, or narrower (below 0)."""
    ragged: float
    """Pixels by which half of the holes miss that width: less than one where depth is exact to the pixel."""

    @property
    def own(self) -> tuple[float, float]:
        """Pixels of a hole next to the near thing that are its own: so many, and this share of the width.

        A camera that compares patches has ragged holes: it loses the near thing's rim, and the thing's own side lies in
        its shadow. Together they came to a quarter of the hole and one pixel on recordings with known poses
        (``benchmarks/holes.py``).
        """
        share = float(np.clip(self.ragged - 0.75, 0, 0.25))
        return 4 * share, share


_Fit = tuple[int, float, float, float]
"""How many holes are shadows; their reach, rim and raggedness."""


class _Frames(Protocol):
    """An array [T, H, W], a list of [H, W], or whatever keeps frames."""

    def __getitem__(self, index: int, /) -> Float32: ...


def find_shadows(depth: _Frames, times: Sequence[int]) -> tuple[Shadow, ...]:
    """The shadows of the depth camera that took the frames ``times``; none where holes do not look like shadows.

    Values that are not positive, or NaN, are holes. At most a dozen of the frames are looked at, evenly spread.
    """
    if not len(times):
        return ()
    rows, columns = [], []
    for i in np.unique(np.linspace(0, len(times) - 1, min(_SAMPLES, len(times))).round().astype(int)):
        frame = np.asarray(depth[times[i]])
        valid = frame > 0
        rows.append(_between(frame, valid))
        columns.append(_between(frame.T, np.ascontiguousarray(valid.T)))
    across = _sides(np.concatenate(rows, axis=1), (LEFT, RIGHT))
    along = _sides(np.concatenate(columns, axis=1), (ABOVE, BELOW))  # a camera on its side, which is rarer
    if along and along[0][1].ragged <= _UPRIGHT and (not across or along[0][0] > across[0][0]):
        return tuple(shadow for _, shadow in along)
    return tuple(shadow for _, shadow in across)


def _sides(holes: Float64, sides: tuple[int, int]) -> list[tuple[int, Shadow]]:  # [2, N]
    """The shadows along rows, or columns, and how many holes show them: on one side, or on both, the commoner first."""
    fits = [(side, _fitted(holes, sign)) for side, sign in zip(sides, (1, -1), strict=True)]
    found = sorted(((fit[0], Shadow(side, *fit[1:])) for side, fit in fits if fit), key=lambda each: -each[0])
    return [each for each in found if each[0] >= _OTHER_SIDE * found[0][0]]


def _between(frame: Float32, valid: Bool) -> Float64:  # [H, W] -> [2, N]
    """Each hole of a row that has two ends: its width, and how much larger the inverse depth is after it."""
    rows = np.pad(valid, ((0, 0), (1, 1)), constant_values=True)
    turns = np.diff(rows.view(np.int8), axis=1)
    y, first = np.nonzero(turns == -1)
    _, end = np.nonzero(turns == 1)
    inner = (first > 0) & (end < frame.shape[1])
    y, first, end = y[inner], first[inner], end[inner]
    before, after = 1 / frame[y, first - 1].astype(np.float64), 1 / frame[y, end].astype(np.float64)
    apart = np.maximum(before, after) > _STEP * np.minimum(before, after)
    return np.stack([(end - first)[apart].astype(np.float64), (after - before)[apart]])


def _fitted(holes: Float64, sign: int) -> _Fit | None:  # [2, N]
    """Of the holes whose near end comes last (``sign`` 1) or first (-1): what their widths come to."""
    width, step = holes[0], sign * holes[1]
    width, step = width[step > 0], step[step > 0]
    if len(width) < _LEAST:
        return None
    ratio = np.sort(width / step)
    within = np.searchsorted(ratio, 2 * ratio, side="right") - np.arange(len(ratio))
    best = int(np.argmax(within))
    if within[best] < max(_LEAST, _SHARE * len(ratio)):
        return None
    inlying = (width >= ratio[best] * step) & (width <= 2 * ratio[best] * step)
    reach, rim = float(np.median(width[inlying] / step[inlying])), 0.0
    for _ in range(8):
        few, many = np.percentile(step[inlying], (10, 90))
        if many < 1.3 * few:  # one step alone does not tell reach and rim apart
            break
        slope, start = (float(value) for value in np.polyfit(step[inlying], width[inlying], 1))
        kept = np.abs(width - slope * step - start) <= np.maximum(2, 0.2 * (slope * step + start))
        if slope <= 0 or kept.sum() < _LEAST:
            break
        reach, rim = slope, start
        if np.array_equal(kept, inlying):
            break
        inlying = kept
    if rim > np.median(width[inlying]) / 2:  # all of about one width, whatever the step
        return None
    expected = reach * step + rim
    fitting = (width <= 1.6 * expected + 3) & (width >= 0.4 * expected - 2)
    ragged = float(np.median(np.abs(width - expected)[fitting]))
    return int(within[best]), reach, rim, ragged
