"""A motion-aware temporal filter and the flicker it is judged by.

For each pixel the same surface point is followed through the neighbouring frames by composed flow, and a line over time
is fitted to its values (a moving point's depth may change steadily; only what jumps is noise). Neighbours whose value
differs by more than the clip's own noise belong to another surface and do not count, so depth edges stay in place.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Unpack

import numpy as np

from ex4d.depth.base import FrameSource
from ex4d.depth.flow import FlowPair, flow_between, inside, pixel_grid, sample, to_gray
from ex4d.progress import Watch, check, report, reported
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8
from ex4d_ground.descriptions import Meaning
from ex4d_ground.errors import SettingError


@dataclass(frozen=True)
class TemporalOptions:
    """How strongly to steady."""

    radius: int = 4
    """Frames on either side."""
    smallest_gate: float = 0.01
    """Relative difference that always counts as the same surface."""
    gate_sigmas: float = 4.0
    """Differences up to this many robust deviations of the frame's flicker count as the same surface."""

    def __post_init__(self) -> None:
        if not 1 <= self.radius <= 16:
            raise SettingError(f"The temporal radius must be between 1 and 16 frames, got {self.radius}.")
        if not 0 < self.smallest_gate < 1:
            raise SettingError(f"The smallest gate must be between 0 and 1, got {self.smallest_gate}.")


class _Window:
    """Values, and flow to the next frame, of the frames around the current one."""

    def __init__(self, values: Float32, frames: FrameSource, meaning: Meaning):
        self._values, self._frames, self._meaning = values, iter(frames), meaning
        self._gray: UInt8 | None = None
        self.first = 0
        self.items: deque[Float32] = deque()
        self.flows: deque[FlowPair] = deque()  # flows[i]: between frames first + i and first + i + 1
        self.size = (values.shape[1], values.shape[2])
        self.floor = _floor(values) if meaning == "disparity" else 0.0

    def hold(self, start: int, stop: int) -> None:
        """Have frames start..stop-1, forgetting earlier ones."""
        while self.first + len(self.items) < stop:
            index = self.first + len(self.items)
            gray = to_gray(next(self._frames))
            if self._gray is not None:
                self.flows.append(flow_between(self._gray, gray, self.size))
            self._gray = gray
            self.items.append(self._working(index))
        while self.first < start:
            self.items.popleft()
            self.flows.popleft()
            self.first += 1

    def _working(self, index: int) -> Float32:
        """Logarithms, so that differences are relative; disparity gets a floor so that far noise stays finite."""
        frame = np.asarray(self._values[index])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(np.maximum(frame, self.floor) if self.floor else frame)

    def finished(self, index: int, logs: Float32) -> Float32:
        """Back from logarithms; values below the floor were too small to filter and stay as they are."""
        original = np.asarray(self._values[index])
        return np.where(original > self.floor, np.exp(logs), original).astype(np.float32)

    def walk(self, index: int, stop: int) -> Iterator[tuple[int, Float32, Bool]]:
        """(frame, where each pixel of ``index`` is in it, whether flow was consistent all the way)."""
        step = 1 if stop > index else -1
        points, ok = pixel_grid(self.size), np.ones(self.size, bool)
        grid = points
        for t in range(index, stop, step):
            pair = self.flows[t - self.first] if step == 1 else self.flows[t - 1 - self.first]
            flow, good = (pair.forward, pair.ok_forward) if step == 1 else (pair.backward, pair.ok_backward)
            if points is grid:
                points, ok = grid + flow, good.copy()
            else:
                ok &= sample(good.astype(np.float32), points) > 0.99
                points = points + sample(flow, points)
                ok &= inside(points, self.size)
            yield t + step, points, ok


def steady(
    values: Float32,  # [T, H, W], read only
    frames: FrameSource,
    meaning: Meaning,
    out: Float32,  # [T, H, W], must not be ``values``
    *,
    options: TemporalOptions = TemporalOptions(),
    **watch: Unpack[Watch],
) -> Float32:
    """Write filtered values to ``out``. Memory: 2 * radius + 1 frames, whatever the clip's length."""
    num_frames = len(values)
    span = min(2 * options.radius, num_frames - 1)
    window = _Window(values, frames, meaning)
    for t in reported(range(num_frames), stages.DEPTH_STEADY, num_frames, **watch):
        # near the clip's ends the window stays inside it, so that all of the first frames share one fitted line
        start = min(max(0, t - options.radius), num_frames - 1 - span)
        window.hold(start, start + span + 1)
        logs = _fitted(window, t, start, start + span, options)
        out[t] = window.finished(t, logs)
    return out


def _fitted(window: _Window, t: int, start: int, last: int, options: TemporalOptions) -> Float32:  # [H, W]
    centre = window.items[t - window.first]
    gathered: list[tuple[int, Float32, Bool]] = []
    for stop in (start, last):
        if stop != t:
            for index, points, ok in window.walk(t, stop):
                there = sample(window.items[index - window.first], points) - centre
                gathered.append((index - t, there, ok & np.isfinite(there)))
    gate = _gate(gathered, options)
    # weighted line over time through the differences from the centre; the centre itself is the point (0, 0)
    w0, w1, w2 = np.ones_like(centre), np.zeros_like(centre), np.zeros_like(centre)
    y0, y1 = np.zeros_like(centre), np.zeros_like(centre)
    for offset, difference, ok in gathered:
        # full weight up to the gate, none at twice the gate
        weight = np.clip(2 - np.abs(difference) / gate, 0, 1) * ok
        difference = np.where(weight > 0, difference, 0).astype(np.float32)
        w0, w1, w2 = w0 + weight, w1 + weight * offset, w2 + weight * offset**2
        y0, y1 = y0 + weight * difference, y1 + weight * difference * offset
    # a ridge on the slope: with few or one-sided neighbours the fit leans towards their mean
    spread = w2 + 1.0
    slope = (y1 * w0 - w1 * y0) / np.maximum(w0 * spread - w1**2, 1e-6)
    return centre + (y0 - slope * w1) / w0


def _gate(gathered: list[tuple[int, Float32, Bool]], options: TemporalOptions) -> float:
    """Largest difference from the centre that still is the same surface, from the adjacent frames' differences."""
    near = [np.abs(d[ok]) for offset, d, ok in gathered if abs(offset) == 1 and ok.any()]
    if not near:
        return options.smallest_gate
    sigma = 1.4826 * float(np.median(np.concatenate(near)))
    return max(options.smallest_gate, options.gate_sigmas * sigma)


def flicker(
    values: Float32,  # [T, H, W]
    frames: FrameSource,
    meaning: Meaning,
    **watch: Unpack[Watch],
) -> Float64:  # [T] per cent of the value; NaN for the first and the last frame
    """How much each frame's values jump, seen from both neighbours along the flow.

    The median over consistent points of |previous - 2 current + next| / 4 of the logarithm, in per cent: steady change
    (a camera or an object that moves) is no flicker. For alternating jumps of +-a it is a.
    """
    window = _Window(values, frames, meaning)
    result = np.full(len(values), np.nan)
    for t in range(1, len(values) - 1):
        check(watch.get("cancel"))
        window.hold(t - 1, t + 2)
        (_, before, ok_before), (_, after, ok_after) = next(window.walk(t, t - 1)), next(window.walk(t, t + 1))
        first, last = window.items[t - 1 - window.first], window.items[t + 1 - window.first]
        with np.errstate(invalid="ignore"):
            second = sample(first, before) - 2 * window.items[t - window.first] + sample(last, after)
        usable = ok_before & ok_after & np.isfinite(second)
        if usable.any():
            result[t] = 25.0 * float(np.median(np.abs(second[usable])))
        report(watch.get("on_progress"), stages.DEPTH_FLICKER, t + 1, len(values))
    return result


def _floor(values: Float32) -> float:
    """A hundredth of the clip's largest disparity: what is farther than a hundred times the nearest point."""
    return 0.01 * max(float(np.nanmax(frame)) for frame in values)


def mean_flicker(series: Float64 | None) -> float | None:  # [T] per cent
    """The mean of what :func:`flicker` gives, over the frames that have one; None if none has."""
    known = np.empty(0) if series is None else series[np.isfinite(series)]
    return float(known.mean()) if known.size else None
