"""Depth values that are no depth: counting them, refusing them, filling them. Infinity is none of them: it is sky."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Unpack

import numpy as np

from ex4d.clip.filling import fill_holes
from ex4d.clip.hole_shadows import find_shadows
from ex4d.frames import DepthStack, Frames, bounds_of
from ex4d.progress import Watch, reported
from ex4d.sky import take_sky
from ex4d_ground import remedies, stages
from ex4d_ground.arrays import Bool, Float32
from ex4d_ground.errors import DepthError
from ex4d_ground.sequences import ranges
from ex4d_ground.texts import percent

_THREADS = 8
"""Frames that are filled, and so held, at a time."""


@dataclass(frozen=True)
class InvalidDepth:
    """How many values of a clip's depth are none, by kind."""

    nan: int
    infinite: int
    not_positive: int
    total: int
    """All pixels of all frames."""
    frames: tuple[int, ...]
    """Frames (0-based) with at least one such pixel."""
    empty_frames: tuple[int, ...]
    """Frames without a single valid pixel."""

    @property
    def count(self) -> int:
        """Pixels without a valid depth."""
        return self.nan + self.infinite + self.not_positive

    def describe(self) -> str:
        """For people: "12 of 98304 pixels (0.012 %: 10 NaN, 2 zero or negative; first in frame 3)"."""
        kinds = ((self.nan, "NaN"), (self.infinite, "infinite"), (self.not_positive, "zero or negative"))
        parts = ", ".join(f"{n} {what}" for n, what in kinds if n)
        share = percent(self.count / max(self.total, 1))
        first = f"; first in frame {self.frames[0] + 1}" if self.frames else ""
        return f"{self.count} of {self.total} pixels ({share}{': ' if parts else ''}{parts}{first})"


def valid_mask(depth: Float32) -> Bool:
    """Where ``depth`` is positive; sky, which is infinitely deep, is."""
    return depth > 0


def find_invalid(depth: Frames) -> InvalidDepth:  # depth [T, H, W]
    """Count the values of ``depth`` that are NaN, minus infinity, zero or negative, frame by frame."""
    nan = infinite = not_positive = 0
    frames: list[int] = []
    empty: list[int] = []
    for t, low in enumerate(bounds_of(depth)[:, 0]):
        if low > 0:  # then there is no NaN either
            continue
        frame = depth[t]
        counts = int(np.isnan(frame).sum()), int(np.isneginf(frame).sum()), int((frame <= 0).sum())
        nan, infinite, not_positive = nan + counts[0], infinite + counts[1], not_positive + counts[2] - counts[1]
        if counts[0] + counts[2]:
            frames.append(t)
        if counts[0] + counts[2] == frame.size:
            empty.append(t)
    return InvalidDepth(nan, infinite, not_positive, int(depth.size), tuple(frames), tuple(empty))


def require_valid(depth: Frames, *, label: str = "The depth") -> None:  # depth [T, H, W]
    """Raise DepthError with the number of pixels if any value of ``depth`` is NaN, zero or negative."""
    invalid = find_invalid(depth)
    if invalid.count:
        raise no_usable_value(invalid, label)


def no_usable_value(invalid: InvalidDepth, label: str, why: str = "") -> DepthError:
    """The error for depth that holds what is none; ``why`` is a half-sentence about where such values come from."""
    text = f"{label} has no usable value in {invalid.describe()}{f'; {why}' if why else ''}."
    return DepthError(text, remedy=remedies.fill_invalid())


def fill_invalid(
    depth: Float32,  # [T, H, W]
    *,
    label: str = "The depth",
    **watch: Unpack[Watch],
) -> tuple[Float32, InvalidDepth]:
    """Copy ``depth``, filling each invalid pixel from its frame as :mod:`ex4d.clip.filling` says; tell what was filled.

    Infinity is sky (:mod:`ex4d.sky`) and becomes the finite depth that stands for it. Raises DepthError if a frame
    has no valid pixel to take from.
    """
    invalid = find_invalid(depth)
    _require_some(invalid, label)
    filled = depth.copy()
    take_sky(filled)
    for t, frame in _filled(filled, invalid.frames, **watch):
        filled[t] = frame
    return filled, invalid


def fill_stack(stack: DepthStack, invalid: InvalidDepth, *, label: str, **watch: Unpack[Watch]) -> None:
    """As :func:`fill_invalid`, in place, in depth whose ``invalid`` pixels are known and whose sky is finite."""
    _require_some(invalid, label)
    for t, frame in _filled(stack, invalid.frames, **watch):
        stack.put(t, frame)


def _filled(
    frames: DepthStack | Float32, times: Sequence[int], **watch: Unpack[Watch]
) -> Iterator[tuple[int, Float32]]:
    """The frames of these ``times`` with their holes filled, a few side by side in threads."""
    shadows = find_shadows(frames, times)
    threads = max(min(os.cpu_count() or 1, len(times), _THREADS), 1)
    with ThreadPoolExecutor(threads) as pool:

        def groups() -> Iterator[tuple[int, Float32]]:
            for first in range(0, len(times), threads):
                some = times[first : first + threads]
                read = [np.asarray(frames[t]) for t in some]
                yield from zip(
                    some, pool.map(lambda frame: fill_holes(frame, valid_mask(frame), shadows), read), strict=True
                )

        yield from reported(groups(), stages.FILLING, len(times), **watch)


def _require_some(invalid: InvalidDepth, label: str) -> None:
    """Raise DepthError for frames without a single valid pixel."""
    if invalid.empty_frames:
        raise DepthError(
            f"{label} has no valid pixel at all in frame{'s' if len(invalid.empty_frames) > 1 else ''} "
            f"{ranges([t + 1 for t in invalid.empty_frames])}, so there is nothing to fill from; render or estimate "
            "depth there again."
        )
