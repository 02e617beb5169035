"""Depth values that are no depth: counting them, refusing them, filling them."""

from dataclasses import dataclass
from typing import Unpack

import cv2
import numpy as np

from ex4d.progress import Watch, reported
from ex4d_ground import remedies, stages
from ex4d_ground.arrays import Bool, Float32
from ex4d_ground.errors import DepthError


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
        share = f"{100 * self.count / max(self.total, 1):.2g} %"
        first = f"; first in frame {self.frames[0]}" if self.frames else ""
        return f"{self.count} of {self.total} pixels ({share}{': ' if parts else ''}{parts}{first})"


def valid_mask(depth: Float32) -> Bool:
    """Where ``depth`` is finite and positive."""
    return np.isfinite(depth) & (depth > 0)


def find_invalid(depth: Float32) -> InvalidDepth:  # depth [T, H, W]
    """Count the values of ``depth`` that are NaN, infinite, zero or negative, frame by frame."""
    nan = infinite = not_positive = 0
    frames: list[int] = []
    empty: list[int] = []
    for t, frame in enumerate(depth):
        is_nan, is_infinite = np.isnan(frame), np.isinf(frame)
        wrong = np.less_equal(frame, 0, where=~is_nan, out=np.zeros(frame.shape, bool)) & ~is_infinite
        counts = int(is_nan.sum()), int(is_infinite.sum()), int(wrong.sum())
        nan, infinite, not_positive = nan + counts[0], infinite + counts[1], not_positive + counts[2]
        if sum(counts):
            frames.append(t)
        if sum(counts) == frame.size:
            empty.append(t)
    return InvalidDepth(nan, infinite, not_positive, depth.size, tuple(frames), tuple(empty))


def require_valid(depth: Float32, *, label: str = "The depth") -> None:  # depth [T, H, W]
    """Raise DepthError with the number of pixels if any value of ``depth`` is NaN, infinite, zero or negative."""
    invalid = find_invalid(depth)
    if invalid.count:
        raise DepthError(f"{label} has no usable value in {invalid.describe()}.", remedy=remedies.fill_invalid())


def fill_invalid(
    depth: Float32,  # [T, H, W]
    *,
    label: str = "The depth",
    **watch: Unpack[Watch],
) -> tuple[Float32, InvalidDepth]:
    """Copy ``depth``, giving each invalid pixel the value of the nearest valid one of its frame; say what was filled.

    "Nearest" is OpenCV's 5x5 chamfer distance, within a few percent of the straight distance. Raises DepthError if a
    frame has no valid pixel to take from.
    """
    invalid = find_invalid(depth)
    if invalid.empty_frames:
        raise DepthError(
            f"{label} has no valid pixel at all in {len(invalid.empty_frames)} frames (first: frame "
            f"{invalid.empty_frames[0]}), so there is nothing to fill them from; render or estimate these frames again."
        )
    filled = depth.copy()
    for t in reported(invalid.frames, stages.FILLING, len(invalid.frames), **watch):
        filled[t] = _fill_frame(depth[t])
    return filled, invalid


def _fill_frame(frame: Float32) -> Float32:  # [H, W]
    valid = valid_mask(frame)
    # Each valid pixel gets a label of its own; each invalid one the label of the valid pixel nearest to it.
    _, labels = cv2.distanceTransformWithLabels(
        (~valid).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    labels = np.asarray(labels, np.int32)
    value_of_label = np.zeros(int(labels.max()) + 1, np.float32)
    value_of_label[labels[valid]] = frame[valid]
    return np.where(valid, frame, value_of_label[labels])
