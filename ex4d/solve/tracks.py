"""Points followed through a clip's frames, coarse to fine, each step checked by following it back.

Pictures are looked at with at most ``LONG_SIDE`` pixels a side; places are told in the clip's own pixels, from the
picture's upper left corner. Nothing is followed that a matte covers, nor what lies on an edge of the depth, where the
point that is seen is none of a surface.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Unpack

import cv2
import numpy as np

from ex4d.frames import Frames
from ex4d.progress import Watch, reported
from ex4d.solve.bundle import Observations
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8
from ex4d_ground.errors import ShapeError
from ex4d_ground.remedies import larger_clip

LONG_SIDE = 960
SHORT_LONG_SIDE = 512
"""The least of it: smaller pictures are enlarged, so that a window holds as little of the scene as in others."""
WINDOW = 21
LEVELS = 5
MOST_MISS = 0.7
"""Pixels (of the pictures that are looked at) by which the way back may miss its start."""
CELLS = 14
"""Cells along the picture's longer side; each is to hold some points."""
PER_CELL = 4
EDGE = 1.12
"""Depth that differs by this factor within two pixels is an edge."""


@dataclass(frozen=True)
class Views:
    """What is looked at: pictures, depth, and what to leave out."""

    frames: Frames  # [T, H, W, 3]
    depth: Frames  # [T, H, W]
    sky_from: float
    matte: Callable[[int], Bool] | None = None
    """[H, W] of a frame, true where something moves by itself."""

    @property
    def factor(self) -> float:
        """Size of the pictures that are looked at, as a share of the clip's."""
        long = max(self.frames.shape[1:3])
        return min(max(long, SHORT_LONG_SIDE), LONG_SIDE) / long

    def check_size(self) -> None:
        """Raise ShapeError for pictures so narrow that the window round a point does not fit into them."""
        height, width = self.frames.shape[1:3]
        least = math.ceil(WINDOW / self.factor)
        if min(width, height) < least:
            raise ShapeError(
                f"In pictures of {width}x{height} pixels no points can be followed.",
                remedy=larger_clip(max(width, least), max(height, least)),
            )

    @property
    def scale(self) -> Float64:  # [2]
        """Size of the pictures that are looked at along x and y, in whole pixels, as shares of the clip's."""
        height, width = self.frames.shape[1:3]
        return np.array([round(width * self.factor) / width, round(height * self.factor) / height])

    def grey(self, t: int) -> UInt8:  # [h, w]
        """The picture that is looked at."""
        grey = cv2.cvtColor(np.ascontiguousarray(self.frames[t]), cv2.COLOR_RGB2GRAY)
        if self.factor == 1.0:
            return np.asarray(grey, np.uint8)
        size = round(grey.shape[1] * self.factor), round(grey.shape[0] * self.factor)
        how = cv2.INTER_AREA if self.factor < 1 else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(grey, size, interpolation=how), np.uint8)

    def usable(self, t: int) -> tuple[Float32, Bool]:  # [H, W], [H, W]
        """Depth, and where a point may be followed."""
        depth = np.ascontiguousarray(self.depth[t], np.float32)
        good = np.isfinite(depth) & (depth > 0) & (depth < self.sky_from)
        filled = np.where(good, depth, np.float32(1e6))
        around = np.ones((5, 5), np.uint8)
        steep = cv2.dilate(filled, around) > EDGE * cv2.erode(filled, around)
        good &= ~steep
        if self.matte is not None:
            good &= ~cv2.dilate(self.matte(t).astype(np.uint8), around).astype(bool)
        return depth, good


def follow(views: Views, **watch: Unpack[Watch]) -> Observations:
    """Follow points through all frames; each is seen in at least two. Raises Cancelled."""
    return _Follower(views).run(**watch)


class _Follower:
    def __init__(self, views: Views) -> None:
        self._views = views
        height, width = views.frames.shape[1:3]
        self._scale = views.scale
        self._cell = max(height, width) * views.factor / CELLS
        self._rows: list[tuple[np.ndarray, ...]] = []
        self._next = 0

    def run(self, **watch: Unpack[Watch]) -> Observations:
        count = len(self._views.frames)
        places, names = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
        before: UInt8 | None = None
        for t in reported(range(count), stages.FOLLOWING, count, **watch):
            grey = self._views.grey(t)
            depth, good = self._views.usable(t)
            if before is not None and len(places):
                places, kept = followed(before, grey, places)
                kept &= self._at(good, places)
                places, names = places[kept], names[kept]
            fresh = self._found(grey, good, places)
            places = np.concatenate([places, fresh])
            names = np.concatenate([names, self._next + np.arange(len(fresh))])
            self._next += len(fresh)
            value = np.where(self._at(good, places), self._at(depth, places), np.nan)
            self._rows.append((names, np.full(len(names), t), (places + 0.5) / self._scale, value))
            before = grey
        point, frame, xy, value = (np.concatenate(part) for part in zip(*self._rows, strict=True))
        seen = Observations(
            point.astype(np.int64), frame.astype(np.int64), xy.astype(np.float64), value.astype(np.float64)
        )
        return seen.only(np.bincount(seen.point, minlength=self._next)[seen.point] > 1)

    def _at(self, field: np.ndarray, places: Float32) -> np.ndarray:
        """A field of the clip's size at places in the pictures that are looked at; places lie within."""
        x, y = ((places + 0.5) / self._scale).T.astype(int)
        return field[y.clip(0, field.shape[0] - 1), x.clip(0, field.shape[1] - 1)]

    def _found(self, grey: UInt8, good: Bool, places: Float32) -> Float32:  # [N, 2]
        """New corners for cells that hold too few points."""
        height, width = grey.shape
        rows, columns = int(np.ceil(height / self._cell)), int(np.ceil(width / self._cell))
        cell = (places[:, 1] // self._cell).astype(int) * columns + (places[:, 0] // self._cell).astype(int)
        held = np.bincount(cell, minlength=rows * columns)
        if (held < PER_CELL / 2).mean() < 0.1:
            return np.zeros((0, 2), np.float32)
        free = cv2.resize(good.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        apart = max(5, round(self._cell / 5))
        for x, y in places.astype(int):
            cv2.circle(free, (int(x), int(y)), apart, (0,), -1)
        rim = WINDOW // 3
        free[:rim], free[-rim:], free[:, :rim], free[:, -rim:] = 0, 0, 0, 0
        corners = cv2.goodFeaturesToTrack(grey, 3 * PER_CELL * rows * columns, 0.003, apart, mask=free, blockSize=5)
        if corners is None:
            return np.zeros((0, 2), np.float32)
        found = corners.reshape(-1, 2).astype(np.float32)
        chosen = []
        for i, (x, y) in enumerate(found):  # the best come first
            at = int(y // self._cell) * columns + int(x // self._cell)
            if held[at] < PER_CELL:
                held[at] += 1
                chosen.append(i)
        return found[chosen]


def followed(
    here: UInt8, there: UInt8, places: Float32, guess: Float32 | None = None
) -> tuple[Float32, Bool]:  # [N, 2], [N]
    """Where the points are in the other picture, and whether they are found there: the way back ends at the start."""
    how: dict[str, Any] = {"winSize": (WINDOW, WINDOW), "maxLevel": LEVELS if guess is None else 1}
    how["flags"] = 0 if guess is None else cv2.OPTFLOW_USE_INITIAL_FLOW
    start = np.ascontiguousarray(places, np.float32).reshape(-1, 1, 2)
    first = None if guess is None else np.ascontiguousarray(guess, np.float32).reshape(-1, 1, 2).copy()
    new, ok, _ = cv2.calcOpticalFlowPyrLK(here, there, start, first, **how)  # type: ignore[call-overload]
    return_to = None if guess is None else start.copy()
    back, back_ok, _ = cv2.calcOpticalFlowPyrLK(there, here, new, return_to, **how)  # type: ignore[call-overload]
    miss = np.linalg.norm((back - start).reshape(-1, 2), axis=1)
    ends = new.reshape(-1, 2)
    height, width = here.shape
    inside = (ends >= 0).all(axis=1) & (ends[:, 0] <= width - 1) & (ends[:, 1] <= height - 1)
    return ends, (ok & back_ok).ravel().astype(bool) & (miss <= MOST_MISS) & inside


def looked_for(views: Views, first: int, t: int, xy: Float64) -> tuple[Float64, Float64]:  # [N, 2] -> [M, 2], [M, 2]
    """Places in frame ``first`` that are found in frame ``t`` without the frames between, and where: nothing drifts."""
    places = (xy * views.scale - 0.5).astype(np.float32)
    ends, found = followed(views.grey(first), views.grey(t), places)
    return xy[found], ((ends[found] + 0.5) / views.scale).astype(np.float64)


def frames_in(seen: Observations) -> Iterator[tuple[int, np.ndarray]]:
    """Each frame with the rows of what is seen in it."""
    order = np.argsort(seen.frame, kind="stable")
    frames, starts = np.unique(seen.frame[order], return_index=True)
    if not len(frames):
        return
    for t, start, end in zip(frames, starts, [*starts[1:], len(order)], strict=True):
        yield int(t), order[start:end]


def lifted(xy: Float64, depth: Float64, lens: Float64, world_from_camera: Float64) -> Float64:  # [N, 3]
    """Points of the world from places in a frame and their depth."""
    rays = np.column_stack([(xy - lens[2:]) / lens[:2], np.ones(len(xy))])
    return rays * depth[:, None] @ world_from_camera[:3, :3].T + world_from_camera[:3, 3]
