"""How much the depth counts beside the pictures, once the cameras are nearly known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ex4d.progress import CancelToken
from ex4d.solve.bundle import Observations, Solution, Trust, adjusted, residuals
from ex4d_ground.arrays import Float64, Int64

PIXEL = 0.0006
"""Usual error of a point's place, as a share of the width."""
MISFIT = 0.003
"""Share of the width beyond which a point's place is none."""
DEPTH_TRUST = 6.0
"""Depth is wrong over whole areas at once: so much less than its own scatter says does it count."""
DEPTH_RANGE = 0.02, 0.3
"""Least and most standard deviation of the logarithm of a depth, with that."""
SCATTER_VIEWS = 4
"""Views of a point from which on they tell how much its depth scatters."""
ABOUT_AS_WELL = 1.2
"""Factor on the pictures' usual misfit up to which a camera explains them about as well."""


def fitting(state: Solution, seen: Observations, most_px: float) -> Observations:
    """What the state explains to ``most_px`` pixels, of points that have two such views or more."""
    kept = seen.only(residuals(state, seen).lengths < most_px)
    return kept.only(np.bincount(kept.point)[kept.point] > 1) if len(kept) else kept


def trust_of(width: int, scatter: float) -> Trust:
    """What counts how much in pictures of ``width`` pixels, of depth whose logarithm usually errs by ``scatter``."""
    return Trust(PIXEL * width, float(np.clip(DEPTH_TRUST * scatter, *DEPTH_RANGE)))


def nearer_to_depth(state: Solution, seen: Observations, width: int, *, cancel: CancelToken | None = None) -> Solution:
    """Of the cameras that explain the pictures about as well as ``state``, one that agrees better with the depth.

    Depth counts by how well each point's views agree on it (:func:`depth_scatter`). How far it is from the points would
    not tell its quality: distances that the pictures hardly know are far from it by their own error. Where depth is
    wrong, pictures that can tell fit clearly worse, and ``state`` itself is given back. Raises Cancelled.
    """
    nearer = by_scatter(state, seen, width, cancel=cancel)
    return nearer if fit_about_as_well(nearer, state, seen, width, ABOUT_AS_WELL) else state


def by_scatter(
    state: Solution, seen: Observations, width: int, *, scale: float = Trust.scale, cancel: CancelToken | None = None
) -> Solution:
    """``state`` adjusted anew with depth that counts by its own scatter, and frames' scales by ``scale``.

    Raises Cancelled.
    """
    nearer = state
    for most in (2 * MISFIT, MISFIT):
        kept = fitting(nearer, seen, most * width)
        if not len(kept):  # depth led astray
            return state
        scatter = depth_scatter(kept.point, residuals(nearer, kept).log_depth)
        nearer, _ = adjusted(nearer, kept, replace(trust_of(width, scatter), scale=scale), cancel=cancel)
    return nearer


def fit_about_as_well(nearer: Solution, state: Solution, seen: Observations, width: int, factor: float) -> bool:
    """Whether the pictures' usual misfit, of what ``state`` explains, is at most ``factor`` times as large."""
    first = fitting(state, seen, MISFIT * width)
    if not len(first):
        return False
    before, after = (float(np.median(residuals(each, first).lengths)) for each in (state, nearer))
    return after <= factor * before


def depth_scatter(point: Int64, log_depth: Float64) -> float:  # [K], [K] NaN where depth says nothing
    """Usual deviation of the depth's logarithm from what the same point's other views say; infinite if too few do."""
    known = np.isfinite(log_depth)
    _, point = np.unique(point[known], return_inverse=True)
    views = np.bincount(point)
    mean = np.bincount(point, weights=log_depth[known]) / np.maximum(views, 1)
    often = (views >= SCATTER_VIEWS)[point]
    off = np.abs(log_depth[known] - mean[point])[often]
    return 1.48 * float(np.median(off)) if len(off) else float("inf")


def neighbours_scatter(seen: Observations, log_depth: Float64) -> float:  # [K] NaN where depth says nothing
    """The same between views of neighbouring frames alone: what is wrong in the same way in both does not count.

    Nothing where there are none.
    """
    order = np.lexsort((seen.frame, seen.point))
    order = order[np.isfinite(log_depth[order])]
    point, frame = seen.point[order], seen.frame[order]
    off = np.diff(log_depth[order])[(np.diff(point) == 0) & (np.diff(frame) == 1)]
    return 1.48 * float(np.median(np.abs(off))) / np.sqrt(2) if len(off) else 0.0
