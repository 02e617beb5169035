"""Points looked for again, from the picture they were first seen in: lost views found, and the errors of steps undone.

A track is a chain of steps whose errors add up. Once the cameras are known, it is known where every point must be in
every frame: the picture of its first frame is matched there directly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Unpack

import cv2
import numpy as np

from ex4d.progress import Watch, reported
from ex4d.solve.bundle import Observations, Solution
from ex4d.solve.tracks import Views, followed
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8

SAME_THING = 0.08
"""Logarithm by which the depth may differ and a point still be seen rather than hidden."""
MOST_TURN_PX = 3.0
"""Pixels by which a patch may change its form on the way; beyond, matching it as it is goes wrong."""
FEWEST = 12
"""Points of one first view that are worth a look."""
MOST_VIEWS = 16
"""First views that a frame is compared with, those of most points first."""
APART = 4
"""Frames, every which one that a point was not followed to is looked into."""


@dataclass(frozen=True)
class _Seen:
    """Points as they were first seen."""

    point: np.ndarray
    frame: np.ndarray
    xy: Float64


def looked_again(
    solution: Solution, seen: Observations, views: Views, fits: Bool, **watch: Unpack[Watch]
) -> Observations:
    """``seen`` measured against each point's first view where that shows the same, and with views found again.

    ``fits`` [K] says which rows the solution explains; of points that have none nothing is looked for. A view that was
    followed to and that the first one does not confirm is left out: steps through smeared pictures all err to one
    side. Raises Cancelled.
    """
    order = np.lexsort((seen.frame, seen.point))
    good = order[fits[order]]
    points, at = np.unique(seen.point[good], return_index=True)
    first = _Seen(points, seen.frame[good[at]], seen.xy[good[at]])
    count = len(solution.lens)
    pictures = [views.grey(t) for t in range(count)]
    height, width = views.frames.shape[1:3]
    scale = np.array([pictures[0].shape[1] / width, pictures[0].shape[0] / height])
    row_of = np.full((count, int(seen.point.max()) + 1), -1, np.int64)
    row_of[seen.frame, seen.point] = np.arange(len(seen))
    xy, extra, kept = seen.xy.copy(), [], np.ones(len(seen), np.bool_)
    for t in reported(range(count), stages.LOOKING_AGAIN, count, **watch):
        depth, usable = views.usable(t)
        expected, inside = _expected(solution, first, t, depth, usable)
        known = row_of[t, first.point]
        wanted = inside & (first.frame != t) & ((known >= 0) | ((t - first.frame) % APART == 0))
        starts, sizes = np.unique(first.frame[wanted], return_counts=True)
        large = np.argsort(-sizes, kind="stable")[:MOST_VIEWS]
        for start in np.sort(starts[large][sizes[large] >= FEWEST]):
            group = np.flatnonzero(wanted & (first.frame == start))
            places, found = _matched(pictures[start], pictures[t], first.xy[group] * scale - 0.5,
                                     expected[group] * scale - 0.5)  # fmt: skip
            asked = known[group]
            near = np.linalg.norm((places + 0.5) / scale - expected[group], axis=1) < MOST_TURN_PX / scale[0]
            confirmed = found & near
            kept[asked[~confirmed & (asked >= 0)]] = False
            group, places = group[confirmed], (places[confirmed] + 0.5) / scale
            rows = known[group]
            xy[rows[rows >= 0]] = places[rows >= 0]
            new = rows < 0
            value = depth[places[new, 1].astype(int), places[new, 0].astype(int)].astype(np.float64)
            extra.append(Observations(first.point[group[new]], np.full(new.sum(), t), places[new], value))
    parts = [replace(seen, xy=xy).only(kept), *extra]
    return Observations(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("point", "frame", "xy", "depth")))


def _expected(
    solution: Solution, first: _Seen, t: int, depth: Float32, usable: Bool
) -> tuple[Float64, Bool]:  # [N, 2], [N]
    """Where the points must be in a frame, and which of them are seen there."""
    pose, lens = solution.camera_from_world[t], solution.intrinsics[t]
    x = solution.points[first.point] @ pose[:3, :3].T + pose[:3, 3]
    z = np.maximum(x[:, 2], 1e-6)
    places = lens[:2] * x[:, :2] / z[:, None] + lens[2:]
    height, width = depth.shape
    inside = (x[:, 2] > 0) & (places >= 2).all(axis=1) & (places[:, 0] < width - 2) & (places[:, 1] < height - 2)
    column, row = np.where(inside[:, None], places, 0).astype(int).T
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.abs(np.log(z) + solution.log_scale[t] - np.log(depth[row, column]))
    return places, inside & usable[row, column] & (off < SAME_THING)


def _matched(here: UInt8, there: UInt8, places: Float64, expected: Float64) -> tuple[Float64, Bool]:
    """Each patch in the other picture: the picture is first brought into the form that most of them have there."""
    form, _ = cv2.estimateAffine2D(places, expected, method=cv2.LMEDS)
    if form is None:
        return expected, np.zeros(len(places), np.bool_)
    height, width = there.shape
    brought = np.asarray(cv2.warpAffine(here, form, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8)
    start = places @ form[:, :2].T + form[:, 2]
    within = (start >= 2).all(axis=1) & (start[:, 0] < width - 3) & (start[:, 1] < height - 3)
    ends, found = followed(brought, there, start.astype(np.float32), expected.astype(np.float32))
    return ends.astype(np.float64), found & within
