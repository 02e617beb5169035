"""The right eye's holes with what the left eye shows there: both eyes must see one thing behind what hides it.

Where the left eye's picture has the place that lies behind a hole, as footage or as its own fill, the right eye's gets
that, moved by its depth; so do the few pixels between it and what hides it, where depths are mixed. At the picture's
sides the right eye sees past the left one's picture: what ends there is carried on by its mirror image. The rest is
filled as in any other picture: of both eyes by one and the same place, as that is the clip's. So are things that stand
before the place in holes, which nothing of the left eye's picture that lies behind them is taken from.
"""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from ex4d.compiled.arrays import plain
from ex4d.engines.base import FirstEye, GenerateRequest
from ex4d.engines.fill import Filled
from ex4d.engines.guide_depth import GuideDepth
from ex4d.engines.paint_kernels import carry_on
from ex4d.engines.world_fill import WorldFill
from ex4d.types import working_size
from ex4d_ground.arrays import Bool, Float32, Float64, Int32, UInt8
from ex4d_ground.poses import inverse

_DEPTH_TOLERANCE = 0.1
"""Share of the depth by which what the left eye shows may miss what lies behind the hole."""
_ENDS = (0, 2)
"""Pixels from a hole's end at which the depth beside it is looked up."""
_SEAM = 6 / 512
"""Of the picture's width: so near to what the left eye gave, a hole's pixel takes that."""
_SIDE = 3.0
"""Pixels from the left eye's side within which a surface counts as cut off by it."""


class OtherEye:
    """What the left eye shows, for the right eye's holes."""

    def __init__(
        self,
        request: GenerateRequest,
        first: FirstEye,
        shown: Callable[[int], tuple[UInt8, Bool]],
        world: WorldFill | None = None,
    ) -> None:
        """``request`` is the right eye's; ``shown`` gives the left eye's frame as it was before it was filled.

        ``world`` is what both eyes' holes are painted from, None where they are not.
        """
        self._request, self._first, self._shown, self._world = request, first, shown, world
        clip = request.clip
        seen = first.trajectory if clip is None else clip.seen_by_source(first.trajectory)
        self._camera_from_source = inverse(seen.world_from_camera)
        self._depth = GuideDepth(replace(request, guides=first.guides, trajectory=first.trajectory))

    def follow(
        self,
        i: int,
        mask: Bool,  # [H, W] False in holes
        filled: Filled,
        camera_from_source: Float64,  # [4, 4] the right eye's
        depth: Float32 | None,  # [h, w] of what the right eye sees, on the working grid, 0 where unknown
    ) -> None:
        """Paint frame ``i``'s holes: ``filled.painted`` is changed in place. Without depth nothing can be moved."""
        view = self._camera_from_source[i]
        known = self._first.guides.known
        lens = self._first.trajectory.intrinsics[i]
        there = self._depth.half(i, lens * _scale(mask), view, None if known is None else known.of(i))
        if there is None or depth is None or mask.all():
            return
        move = (view @ inverse(camera_from_source))[:3].astype(np.float32)
        lenses: Float32 = np.array([self._request.trajectory.intrinsics[i], lens], np.float32)
        left, seen = np.asarray(self._first.frames[i], np.float32), plain(self._shown(i)[1])
        before, own = self._things(i, seen, there), _full(filled.things, mask) > 0
        have = mask | own
        for inverse_depth in (_by_rows(mask, _full(depth, mask)), _full(filled.values[..., 3], mask)):
            _take(have, inverse_depth, move, lenses, (left, seen, _full(there, mask), before), filled.painted)
        have |= _seams(have & ~mask & ~own, ~have, filled.painted)
        at = _in_left(have, depth, filled, move, lenses)
        width = mask.shape[1]
        _carry_on_sides(have, at >= width - _SIDE, filled.painted)
        _carry_on_sides(have[:, ::-1], at[:, ::-1] <= _SIDE, filled.painted[:, ::-1])

    def _things(self, i: int, seen: Bool, depth: Float32) -> Float32:  # [H, W], [h, w] -> [H, W]
        """1 / depth of the things in the left eye's holes, 0 elsewhere."""
        if self._world is None:
            return np.zeros(seen.shape, np.float32)
        holes = cv2.resize(seen.view(np.uint8), depth.shape[::-1], interpolation=cv2.INTER_NEAREST) == 0
        move = self._first.trajectory
        return _full(self._world.things(holes, move.intrinsics[i] * _scale(seen), move.world_from_camera[i]), seen)


def _scale(mask: Bool) -> Float64:  # [4]
    """From a lens's pixels to those of the working grid."""
    height, width = mask.shape
    h, w = working_size(height, width)
    return np.array([w / width, h / height, w / width, h / height])


def _full(values: Float32, mask: Bool) -> Float32:  # [h, w] -> [H, W]
    """Values of the working grid for every pixel, none of them mixed."""
    return np.asarray(cv2.resize(values, mask.shape[::-1], interpolation=cv2.INTER_NEAREST), np.float32)


def _by_rows(mask: Bool, depth: Float32) -> Float32:  # [H, W]
    """1 / depth of what lies behind holes: of the farther of a hole's two ends in each row, 0 where none is known.

    The eyes stand beside each other, so what hides a place from one of them alone lies beside it in its row.
    """
    width = mask.shape[1]
    columns = np.broadcast_to(np.arange(width, dtype=np.int32), mask.shape)
    before = np.maximum.accumulate(np.where(mask, columns, -1), axis=1)
    after = np.minimum.accumulate(np.where(mask, columns, width)[:, ::-1], axis=1)[:, ::-1]
    farther = np.zeros(mask.shape, np.float32)
    for step in _ENDS:  # the first pixels of an end are mixed of both sides
        for at in (before - step, after + step):
            inside = (at >= 0) & (at < width)
            there = np.take_along_axis(depth, np.clip(at, 0, width - 1), axis=1)
            farther = np.maximum(farther, np.where(inside, there, 0))
    return np.where(farther > 0, 1 / np.maximum(farther, 1e-9), 0).astype(np.float32)


def _take(
    have: Bool,  # [H, W]
    inverse_depth: Float32,  # [H, W] of what lies behind holes
    move: Float32,  # [3, 4] the left eye's camera from the right one's
    lenses: Float32,  # [2, 4] the right eye's, the left one's
    left: tuple[Float32, Bool, Float32, Float32],  # [H, W, 3] its picture; [H, W] what it shows, its depth, _things
    painted: Float32,  # [H, W, 3]
) -> None:
    """Paint what ``have`` lacks with what the left eye has there; both are changed in place."""
    picture, seen, depth, things = left
    values = np.zeros((*have.shape, 4), np.float32)
    values[..., 3] = inverse_depth
    shares: Float32 = np.array([1, 1, _DEPTH_TOLERANCE], np.float32)
    real, given = np.ones(have.shape, np.float32), np.empty(have.shape, np.float32)
    carry_on(values, have, move, lenses, picture, seen, real, depth, things, shares, painted, given)
    have |= given > 0


def _seams(given: Bool, missing: Bool, painted: Float32) -> Bool:  # [H, W]
    """Give ``missing`` pixels beside ``given`` ones the colour of the nearest; returns which got one."""
    if not given.any():
        return given
    distance, labels = cv2.distanceTransformWithLabels(
        (~given).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    near = missing & (distance <= max(1.0, _SEAM * given.shape[1]))
    nearest: Int32 = np.asarray(labels, np.int32)
    colours = np.zeros((int(nearest.max()) + 1, 3), np.float32)
    colours[nearest[given]] = painted[given]
    painted[near] = colours[nearest[near]]
    return near


def _in_left(have: Bool, depth: Float32, filled: Filled, move: Float32, lenses: Float32) -> Float32:  # [H, W]
    """The column of the left eye's picture in which what each pixel shows lies."""
    height, width = have.shape
    seen = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
    behind = cv2.resize(filled.values[..., 3], (width, height), interpolation=cv2.INTER_NEAREST)
    nearness = np.where(seen > 0, 1 / np.maximum(seen, 1e-9), behind)
    x = (np.arange(width, dtype=np.float32) + 0.5 - lenses[0, 2]) / lenses[0, 0]
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5 - lenses[0, 3]) / lenses[0, 1]
    along, ahead = (row[0] * x + row[1] * y + row[2] + row[3] * nearness for row in (move[0], move[2]))
    return along / np.maximum(ahead, 1e-6) * lenses[1, 0] + lenses[1, 2]


def _carry_on_sides(have: Bool, cut_off: Bool, painted: Float32) -> None:
    """Mirror what ends at the right side of the left eye's picture into the holes from there to the picture's side.

    ``cut_off`` [H, W] says which pixels show what lies at that side; ``painted`` [H, W, 3] is changed in place.
    """
    width = have.shape[1]
    first = width - np.argmax(have[:, ::-1], axis=1)  # the column at which each row's hole begins
    last = first - 1
    rows = np.flatnonzero(have.any(axis=1) & (first < width) & cut_off[np.arange(len(first)), last])
    for row in rows:
        begin = int(first[row])
        places = np.maximum(2 * begin - 1 - np.arange(begin, width), 0)
        places = np.where(have[row, places], places, begin - 1)
        painted[row, begin:] = painted[row, places]
