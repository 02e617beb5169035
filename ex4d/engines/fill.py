"""Filling one guide frame's holes from the background side.

A hole opens behind something that stands in front, so it must continue what lies behind, never smear the object's
colours into it. Which side that is comes from depth where there is any, otherwise from the camera: along the image of
a source ray depth grows away from the epipole, so of two surfaces that a hole separates, the farther one along it is
behind. Every hole pixel takes the colours of its own background edges, smoothed the more the farther they are, and the
background's fine texture is mirrored in at the edge.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from ex4d.bands import Split, serial
from ex4d.engines.blur_kernels import add_level, begin_levels, pull, push
from ex4d.engines.fill_kernels import SIDES, farthest_met, gather, gather_colours, march, sum_visible, vote, weigh_sides
from ex4d.engines.paint_kernels import fill_holes
from ex4d.types import working_size
from ex4d_ground.arrays import Bool, Float32, Float64, Int32, UInt8

NEARER_SHARE = 0.8
"""A surface nearer than this share of the farthest around a hole counts as in front of it."""

_PRIOR = 100.0  # votes: fewer than this leave it open whether something is background
_BLUR_LEVELS = 5  # boxes of 3, 5, 9, 17, 33 working pixels on top of each other
_TEXTURE_REACH = 0.3  # of the picture's longer side: how far mirrored texture reaches into a hole
_EMPTY = 40.0  # grey of a frame that shows nothing at all
_COARSE_FROM = 3  # the blur level from which on half the resolution does
_UNKNOWN = np.zeros((0, 0), np.float32)
_MIN_MOTION = 1e-4  # of the image plane: below this the camera stands at the source camera


@dataclass
class ColourVotes:
    """Which colours stood behind and in front of holes so far (smoothed 8x8x8 histograms); one per clip."""

    behind: Float64 = field(default_factory=lambda: np.zeros(512))
    front: Float64 = field(default_factory=lambda: np.zeros(512))


@dataclass(frozen=True)
class Sides:
    """Which seeds each hole pixel takes what it shows from; all on the half-size working grid."""

    hits: Int32  # [SIDES, h, w] flat indices of seeds, -1 for none
    share: Float32  # [SIDES, h, w]
    trust: Float32  # [h, w] 0..1, 0 outside holes
    seed: Bool  # [h, w] visible pixels that may be used
    offset: Float32  # [h, w, 2] to the nearest background seed, in working pixels

    def spread(self, values: Float32) -> Float32:  # [h, w, 4] -> [h, w, 4]
        """``values`` of the seeds carried into the holes they belong to, and from there over the rest."""
        out = values.copy()
        gather(values, self.seed, self.hits, self.share, out)
        push_pull(out, self.trust)
        return out


@dataclass(frozen=True)
class Filled:
    """One frame's holes, filled."""

    painted: Float32  # [H, W, 3] 0..255: the guide, and the fill in its holes
    values: Float32  # [h, w, 4] the smooth fill on the working grid, and 1 / depth of what lies behind the holes
    sides: Sides
    things: Float32  # [h, w] 1 / depth of what stands before the place in holes, and a little around it; 0 elsewhere


def away_from_source(
    size: tuple[int, int],  # h, w of the grid
    lens: Float32,  # [4] fx, fy, cx, cy on that grid
    source_position: Float32,  # [3] source camera's centre in this camera's axes
) -> Float32:  # [h, w, 2]
    """Unit image direction in which depth grows along the source's rays; to the right if the camera has not moved."""
    h, w = size
    fx, fy, cx, cy = (float(v) for v in lens)
    tx, ty, tz = (float(v) for v in source_position)
    ray_x = (np.arange(w, dtype=np.float32) + 0.5 - cx) / fx
    ray_y = (np.arange(h, dtype=np.float32) + 0.5 - cy) / fy
    out = np.empty((h, w, 2), np.float32)
    out[..., 0] = fx * (ray_x * tz - tx)
    out[..., 1] = (fy * (ray_y * tz - ty))[:, None]
    length = np.hypot(out[..., 0], out[..., 1])
    still = length < _MIN_MOTION * max(w, h)
    out /= np.where(still, 1, length)[..., None]
    out[still] = (1.0, 0.0)
    return out


def fill_from_background(
    colour: UInt8,  # [H, W, 3]
    mask: Bool,  # [H, W]
    depth: Float32 | None,  # [h, w] on the working grid, 0 where unknown
    away: Float32,  # [h, w, 2]
    *,
    softness: float,
    memory: ColourVotes,
    split: Split = serial,
) -> Filled:
    """Fill every hole. ``softness`` 0..1 fades the mirrored texture; ``memory`` serves frames without depth.

    ``split`` shares rows among threads.
    """
    h, w = away.shape[:2]
    core = _core(mask)
    sums, seed = np.empty((h, w, 4), np.float32), np.empty((h, w), np.bool_)
    sum_visible(colour, core, sums, seed)
    known = _UNKNOWN if depth is None else depth
    sides = _find_sides(sums, seed, known, away, memory, split)
    values = _smooth_fill(sums, known, sides)
    near = np.empty((0, 0, 0), np.float32)
    if softness < 1 and seed.any():
        size = (max(mask.shape) // 64 | 1,) * 2
        near = np.asarray(cv2.blur(sums, size), np.float32)
    painted = np.empty(colour.shape, np.float32)
    reach = _TEXTURE_REACH * max(mask.shape)
    detail = 1.0 - softness
    split(
        len(mask), lambda a, b: fill_holes(values, colour, mask, core, near, sides.offset, detail, reach, painted, a, b)
    )
    return Filled(painted, values, sides, np.zeros(values.shape[:2], np.float32))


def _core(mask: Bool) -> Bool:  # [H, W]
    """The visible less its rim, which mixes with the hole (interpolation, antialiasing); all if there is only rim."""
    core = cv2.erode(mask.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_)
    return core if core.any() else mask


def _find_sides(sums: Float32, seed: Bool, depth: Float32, away: Float32, memory: ColourVotes, split: Split) -> Sides:
    h, w = seed.shape
    hits = np.full((SIDES, h, w), -1, np.int32)
    if seed.any():
        distance = cv2.distanceTransform((~seed).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
        reached = np.asarray(distance, np.float32)
        split((h + 1) // 2, lambda a, b: march(reached, away, hits, 2 * a, min(2 * b, h)))
    share, trust = np.zeros((SIDES, h, w), np.float32), np.zeros((h, w), np.float32)
    offset = np.zeros((h, w, 2), np.float32)
    behind = _UNKNOWN if depth.size else _judge_without_depth(sums, seed, hits, memory)
    usual = _usual_edge_depth(seed, depth, hits) if depth.size else 0.0
    weigh_sides(seed, hits, depth, behind, NEARER_SHARE, usual, share, trust, offset)
    return Sides(hits, share, trust, seed, offset)


def _judge_without_depth(sums: Float32, seed: Bool, hits: Int32, memory: ColourVotes) -> Float32:  # [h, w]
    """How far each seed counts as background, 0..1, from the hole pixels that lie between two seeds.

    A visible piece that mostly stands in front of holes is an object, and is no background for the holes on its
    other sides either; nor is what has the object's colours, for pieces that touch. So the votes are counted per
    connected piece and, over the whole clip so far, per colour; the lower share holds.
    """
    behind, front = np.zeros(seed.shape, np.float32), np.zeros(seed.shape, np.float32)
    vote(hits, behind, front)
    if not behind.any() and not memory.behind.any():
        return seed.astype(np.float32)
    count, labels = cv2.connectedComponents(seed.view(np.uint8), connectivity=4)
    piece = np.asarray(labels, np.intp).reshape(-1)
    back, fore = (np.bincount(piece, votes.reshape(-1), count) for votes in (behind, front))
    # Pieces that no hole pixel could judge stand between: they serve where nothing better is met.
    by_piece = (back + _PRIOR) / (back + fore + 2 * _PRIOR)
    by_piece[0] = 0
    base = sums[..., :3] / np.maximum(sums[..., 3:], 1)
    cell = (base.astype(np.uint8) >> 5).astype(np.int32) @ np.array([64, 8, 1], np.int32)
    memory.behind += _blurred_counts(cell, behind)
    memory.front += _blurred_counts(cell, front)
    back, fore = memory.behind, memory.front
    by_colour = (back + _PRIOR) / (back + fore + 2 * _PRIOR)
    return np.minimum(by_piece[piece].reshape(seed.shape), by_colour[cell] * seed).astype(np.float32)


def _blurred_counts(cell: Int32, votes: Float32) -> Float64:  # [512]
    counts = np.bincount(cell.reshape(-1), votes.reshape(-1), 512).reshape(8, 8, 8)
    for axis in range(3):
        padded = np.pad(counts, [(1, 1) if a == axis else (0, 0) for a in range(3)])
        a, b, c = (np.take(padded, range(k, k + 8), axis) for k in range(3))
        counts = (a + 2 * b + c) / 4
    return counts.reshape(-1).astype(np.float64)


def _usual_edge_depth(seed: Bool, depth: Float32, hits: Int32) -> float:
    """Median over the hole pixels of the farthest depth each one meets: what mostly lies behind."""
    met = np.empty(seed.size, np.float32)
    met = met[: farthest_met(seed, hits, depth, met)]
    return float(np.median(met)) if met.size else 0.0


def _smooth_fill(sums: Float32, depth: Float32, sides: Sides) -> Float32:  # [h, w, 4]
    """Each hole pixel's own background colours, blurred among each other by about half their distance.

    Without the blur every edge pixel would draw a streak through the hole. What is blurred much needs no full
    resolution. The fourth number, 1 / depth, is not blurred.
    """
    values, packed = np.empty_like(sums), np.empty_like(sums)
    level = np.empty(sides.trust.shape, np.float32)
    gather_colours(sums, depth, sides.seed, sides.hits, sides.share, values)
    begin_levels(values, sides.trust, sides.offset, _BLUR_LEVELS, packed, level)
    values[..., :3] = 0
    add_level(packed, level, 0, values)
    h, w = level.shape
    for k in range(1, _BLUR_LEVELS + 1):
        if k == _COARSE_FROM:
            packed = cv2.resize(packed, (max(w // 2, 1), max(h // 2, 1)), interpolation=cv2.INTER_AREA)
        size = 2**k + 1 if k < _COARSE_FROM else 2 ** (k - 1) + 1
        packed = np.asarray(cv2.blur(packed, (size, size), borderType=cv2.BORDER_REPLICATE), np.float32)
        add_level(packed, level, k, values)
    push_pull(values, sides.trust, empty=_EMPTY)
    return values


def push_pull(values: Float32, weight: Float32, *, empty: float = 0.0) -> None:  # [h, w, 4], [h, w]
    """Spread weighted values over the whole grid: averages going down a pyramid, interpolated coming back up.

    Where the weight is 1 the value stays; where it is 0 it is what the nearest weighted surroundings say.
    """
    h, w = weight.shape
    if min(h, w) <= 1 or max(h, w) <= 2:
        total = float(weight.sum())
        mean = (values * weight[..., None]).sum((0, 1)) / total if total > 0 else np.full(4, empty)
        values += (1 - weight[..., None]) * (mean.astype(np.float32) - values)
        return
    size = working_size(h, w)
    small, small_weight = np.empty((*size, 4), np.float32), np.empty(size, np.float32)
    pull(values, weight, small, small_weight)
    push_pull(small, small_weight, empty=empty)
    push(small, weight, values)
