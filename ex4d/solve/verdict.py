"""Whether an estimated camera can be relied on, and what to do where it cannot."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ex4d.solve.bundle import FocalFreedom, Observations
from ex4d.types import Clip
from ex4d_ground.arrays import Bool, Float64

MOST_MOVING = 0.23
"""Share of the picture that may go its own way: beyond, it is not sure which part of it is the steady world."""
MOST_MISFIT = 0.0015
"""Largest usual misfit, as a share of the width."""
FEWEST_PLACED = 0.95
"""Share of the frames that must see enough points."""
GRID = 16


@dataclass(frozen=True)
class Verdict:
    """What is known of an estimate's quality."""

    failure: str
    """Why it cannot be relied on and what to do, in a sentence; "" where it can."""
    still: bool
    """Whether the camera stood still."""
    points: int
    """Points that were followed."""
    misfit_px: float
    """Median distance between where the camera says that points are and where they are, in pixels."""
    moving: float
    """Share of the picture, 0 to 1, that does not move as the steady world does."""
    lost: tuple[int, ...] = ()
    """Frames, 0-based, that see too few points and keep the pose of the one before."""
    focal_known: bool = True
    """Whether the focal length is given, or was seen; otherwise it is still the one that was begun with."""
    focal_doubt: float = 0.0
    """Share by which the focal length may be wrong, where it was looked for."""

    def lines(self) -> list[str]:
        """For people, as sentences."""
        if self.still:
            return ["The camera stands still.", f"{100 * self.moving:.0f} % of the picture moves by itself."]
        known = math.isfinite(self.misfit_px)
        misfit = f"{self.misfit_px:.2f} px is the median misfit" if known else "no motion of the camera explains them"
        told = [
            f"{self.points} points were followed; {misfit}." if self.points else "No point could be followed.",
            f"{100 * self.moving:.0f} % of the picture moves by itself or cannot be followed.",
        ]
        if not self.focal_known:
            told.append(
                f"The focal length cannot be seen in this clip (it may be {100 * min(self.focal_doubt, 1):.0f} % "
                "wrong); the one that was begun with was kept."
            )
        elif self.focal_doubt:
            told.append(f"The focal length was found, to {100 * self.focal_doubt:.1f} %.")
        return told


def judged(
    clip: Clip,
    seen: Observations,
    fits: Bool,
    sure: Bool,
    lengths: Float64,
    *,
    moving: float,
    focal: FocalFreedom = "fixed",
    focal_doubt: float = 0.0,
) -> Verdict:
    """The verdict on a camera that explains the observations ``fits`` and could place the frames ``sure``.

    ``moving`` is :func:`share_that_moves` of all that was followed, also of what was left out.
    """
    lost = tuple(int(t) for t in np.flatnonzero(~sure))
    misfit = float(np.median(lengths[fits])) if fits.any() else float("inf")
    way_out = "paint what moves by itself, or give a camera"
    failure = ""
    if len(lost) > (1 - FEWEST_PLACED) * len(sure):
        failure = (
            f"{len(lost)} of {len(sure)} frames, the first of them frame {lost[0] + 1}, show too few points that can "
            "be followed (blur, darkness, few pixels, or nothing but plain surfaces); give a camera."
        )
    elif moving > MOST_MOVING:
        failure = f"{100 * moving:.0f} % of the frame moves by itself, too much to know what stands still; {way_out}."
    elif misfit > MOST_MISFIT * clip.width:
        failure = f"No one motion explains the picture (points are {misfit:.1f} px off); {way_out}."
    points = len(np.unique(seen.point))
    doubt = focal_doubt if focal != "fixed" else 0.0
    return Verdict(failure, False, points, misfit, moving, lost, focal_doubt=doubt)


def share_that_moves(seen: Observations, fits: Bool, clip: Clip) -> float:
    """Share of the picture whose points mostly do not fit: of each cell that holds points, over all frames."""
    if not len(seen):
        return 1.0
    count = int(seen.point.max()) + 1
    views = np.bincount(seen.point, minlength=count)
    own_way = np.bincount(seen.point, weights=~fits, minlength=count) > 0.5 * views
    cell = max(clip.width, clip.height) / GRID
    column, row = (seen.xy / cell).astype(int).T
    at = (seen.frame * (GRID + 2) + row) * (GRID + 2) + column
    total = np.bincount(at)
    wrong = np.bincount(at, weights=own_way[seen.point])
    return float((wrong[total > 0] / total[total > 0]).mean())
