"""Variable frame rate: which stored frame is shown at each moment of a constant rate."""

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ex4d_ground.footage import USUAL_RATES

T = TypeVar("T")

_JITTER = 0.3
"""Share of a frame by which time stamps may be rounded, as Matroska does, and the rate still be constant."""
_LONGEST = 100_000


@dataclass(frozen=True)
class Resampled:
    """A constant rate, and the stored frame that each of its frames shows."""

    fps: float
    shown: tuple[int, ...]
    stored: int
    """How many frames were filmed."""


def to_constant_rate(times: list[float]) -> Resampled | None:
    """How to play ``times`` (seconds, sorted) at a constant rate; None if the rate is constant, or not told.

    The rate is that of the shortest usual distance between frames (the median of the shorter half), so that no frame
    filmed at full rate is lost: where frames were dropped while filming, the last one is held.
    """
    if len(times) < 3 or not np.isfinite(times).all():
        return None
    steps = np.diff(times)
    steps = steps[steps > 1e-6]
    if not len(steps):
        return None
    step = float(np.median(np.sort(steps)[: max(1, (len(steps) + 1) // 2)]))
    step = float(steps[np.abs(steps / step - 1) <= _JITTER].mean())  # rounded time stamps are right on average
    if np.abs(steps / np.median(steps) - 1).max() <= _JITTER:
        return None
    rate = _usual(1 / step)
    count = round((times[-1] - times[0]) * rate) + 1
    if not 1 < count <= _LONGEST:
        return None
    moments = times[0] + (np.arange(count) + 0.5) / rate  # a frame is shown by the middle of its moment
    shown = (max(bisect.bisect_right(times, moment) - 1, 0) for moment in moments)
    return Resampled(rate, tuple(shown), len(times))


def _usual(rate: float) -> float:
    """A measured rate, or the usual one that is within half a per cent."""
    nearest = min(USUAL_RATES, key=lambda usual: abs(float(usual) / rate - 1))
    return float(nearest) if abs(float(nearest) / rate - 1) < 0.005 else rate


def retimed(frames: Iterator[T], shown: tuple[int, ...]) -> Iterator[T]:
    """The stored frames that ``shown`` (never falling) names, in order; it ends early where they do."""
    stored = enumerate(frames)
    index, current = next(stored, (None, None))
    for wanted in shown:
        while index is not None and index < wanted:
            index, current = next(stored, (None, None))
        if index is None or current is None:
            return
        yield current
