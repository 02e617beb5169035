"""The scale between a camera's path and depth: a match-move's world has any unit, depth has its own."""

from dataclasses import dataclass

import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.errors import SettingError

FEWEST = 6
"""Points that agree, of which a scale is believed."""
_NEAR_SHARE = 0.15
"""A point within this share of what most say is not a wrong one, however well the others agree."""
_OUTLIER = 4.0
"""Points further off than so many times the usual deviation are wrong ones: tracks on edges, things that move."""


@dataclass(frozen=True)
class ScaleFit:
    """What lengths of a path are to be multiplied with, and how far that can be relied on."""

    scale: float
    deviation: float
    """Median deviation of the points that agree, as a share of their depth."""
    agree: int
    """Points it rests on."""
    points: int
    """Points there were."""


def fit_scale(
    path_depth: Float64,  # [N] along each camera's axis, in the path's unit
    depth: Float64,  # [N] of the same points, in the depth's unit
) -> ScaleFit:
    """The scale for which ``path_depth`` is nearest to ``depth`` in relative error, by least squares.

    Points that are not finite or not before the camera do not count, nor do those that most others contradict. Raises
    SettingError where fewer than :data:`FEWEST` points agree.
    """
    path_depth, depth = np.asarray(path_depth, np.float64), np.asarray(depth, np.float64)
    usable = np.isfinite(path_depth) & np.isfinite(depth) & (path_depth > 0) & (depth > 0)
    ratio = path_depth[usable] / depth[usable]  # what the scale is to make 1
    good = np.zeros(0, bool)
    if len(ratio):
        off = np.abs(ratio / np.median(ratio) - 1)
        good = off <= min(max(_NEAR_SHARE, _OUTLIER * np.median(off)), 0.5)
    if good.sum() < max(FEWEST, 0.5 * len(ratio)):
        raise SettingError(
            f"Of {len(ratio)} points only {int(good.sum())} agree on how large the camera's path is beside the depth; "
            "state its scale."
        )
    agree = ratio[good]
    scale = float(agree.sum() / (agree * agree).sum())
    return ScaleFit(scale, float(np.median(np.abs(agree * scale - 1))), int(good.sum()), len(path_depth))
