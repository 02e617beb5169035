"""From a clip to the camera that filmed it: followed points, first guess, bundle adjustment, second look, verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Unpack

import cv2
import numpy as np

from ex4d.progress import Watch, check
from ex4d.solve.bundle import FocalFreedom, Observations, Solution, adjusted, residuals
from ex4d.solve.initial import placed
from ex4d.solve.relink import looked_again
from ex4d.solve.surfaces import by_depth
from ex4d.solve.tracks import Views, follow, looked_for
from ex4d.solve.trust import MISFIT, fitting, trust_of
from ex4d.solve.verdict import Verdict, judged, share_that_moves
from ex4d.types import Clip
from ex4d_ground.arrays import Bool, Float64
from ex4d_ground.cameras import Intrinsics, intrinsics_rows
from ex4d_ground.errors import ShapeError
from ex4d_ground.poses import inverse
from ex4d_ground.source_camera import SourceCamera

STILL = 0.0004
"""Share of the width by which the picture as a whole may seem to move before a camera that stands still."""
STILL_AT_MOST = 0.001
"""The same of the middle one of the points where a frame is held against the first directly: compression and changing
light move them by so much, and nobody sees it."""
STILL_SHARE = 0.45
"""Share of the points that must not move for the camera to stand still."""
STILL_POINTS = 12
"""Points that have to be found for that."""
STILL_FRAMES = 24
"""Frames, spread over the clip, that are compared with the first."""
FOCAL_KNOWN = 0.02
"""Largest share by which a focal length may be wrong and be known."""
FOCAL_DOUBT = 3.0
"""By how much more a focal length is wrong than follows from independent errors."""
FOCAL_FRAMES = 14
"""Frames, spread over the clip, that a focal length is looked for in."""
FOCALS = (0.6, 0.8, 1.0, 1.3, 1.8)
"""Factors on the assumed focal length that are begun with, where it is looked for."""


@dataclass(frozen=True)
class Solved:
    """The camera that filmed, and what speaks for it."""

    camera: SourceCamera
    verdict: Verdict
    solution: Solution
    seen: Observations
    fits: Bool  # [K] which of ``seen`` the camera explains


def solve_camera(
    clip: Clip,
    *,
    lens: Float64 | None = None,  # [T, 4] or [4]
    focal: FocalFreedom = "fixed",
    matte: Callable[[int], Bool] | None = None,
    **watch: Unpack[Watch],
) -> Solved:
    """Estimate how the camera moved that filmed ``clip``, in the unit of its depth; one that stood still is recognised.

    ``lens`` holds fx, fy, cx, cy where they differ from the clip's, also for each frame. ``focal`` "shared" looks for
    one focal length, "changing" for one a frame (a zoom) from the given one on; what cannot be seen stays as given, and
    the verdict says so. ``matte`` gives of each frame [H, W], true where something moves by itself. Whether the camera
    can be relied on stands in the verdict: look at ``verdict.failure`` before using it. Raises ShapeError, also for
    pictures too narrow to follow points in; Cancelled.
    """
    rows = intrinsics_rows(clip.intrinsics if lens is None else lens, clip.num_frames)
    views = Views(clip.frames, clip.depth, clip.sky_from, None if matte is None else _checked(matte, clip))
    views.check_size()
    seen = followed = follow(views, **watch)
    if _is_still(seen, views):
        return _still(clip, rows, seen)
    solver = _Solver(views, clip.width, watch)
    factor, doubt = solver.likely_focal(seen, rows) if focal == "shared" else (1.0, 0.0)
    solved, deviation = solver.solve(seen, rows * [factor, factor, 1, 1], focal)
    if focal != "fixed":
        doubt = max(doubt, FOCAL_DOUBT * float(deviation.max()))
    if focal == "shared":  # the whole must find what its parts found
        doubt = max(doubt, abs(float(solved[0].log_focal[0])))
    if doubt > FOCAL_KNOWN:
        solved, _ = solver.solve(seen, rows, "fixed")
    solution, seen, sure = solved
    every = _with_left_out(seen, followed, sure)
    moving = share_that_moves(every, residuals(solution, every).lengths < MISFIT * clip.width, clip)
    solution = by_depth(solution, seen, views, cancel=watch.get("cancel"))
    lengths = residuals(solution, seen).lengths
    fits = lengths < MISFIT * clip.width
    camera = _camera(clip, solution)
    verdict = judged(clip, seen, fits, sure, lengths, moving=moving, focal=focal, focal_doubt=doubt)
    verdict = replace(verdict, focal_known=focal == "fixed" or doubt <= FOCAL_KNOWN)
    return Solved(camera, verdict, solution, seen, fits)


def _with_left_out(seen: Observations, followed: Observations, sure: Bool) -> Observations:
    """``seen`` and what was followed in placed frames but left out of it: what moves by itself is most of that."""
    count = len(sure)
    missing = ~np.isin(followed.point * count + followed.frame, seen.point * count + seen.frame)
    parts = (seen, followed.only(missing & sure[followed.frame]))
    return Observations(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("point", "frame", "xy", "depth")))


def _checked(matte: Callable[[int], Bool], clip: Clip) -> Callable[[int], Bool]:
    def of(t: int) -> Bool:
        mask = matte(t)
        if mask.shape != (clip.height, clip.width):
            raise ShapeError(
                f"The matte of frame {t + 1} is {mask.shape}, the clip's pictures are {(clip.height, clip.width)} "
                "(height, width); make it of their size."
            )
        return mask

    return of


def _camera(clip: Clip, solution: Solution) -> SourceCamera:
    poses = inverse(solution.camera_from_world)
    return SourceCamera.of(poses, solution.intrinsics, size=(clip.width, clip.height), origin="estimated")


def _is_still(seen: Observations, views: Views) -> bool:
    """Whether the picture as a whole keeps its place: by points, as grain changes every pixel's colour.

    Followed points drift, the more so where something walks through the picture. Where they say that it moved, the
    first frame's are looked for once more without the frames between.
    """
    count, width = len(views.frames), views.frames.shape[2]
    begun = seen.only(seen.frame == 0)
    if len(begun) < STILL_POINTS:
        return False
    place = np.full((int(seen.point.max()) + 1, 2), np.nan)
    place[begun.point] = begun.xy
    for t in sorted({round(i) for i in np.linspace(1, count - 1, min(STILL_FRAMES, count - 1))}):
        now = seen.only((seen.frame == t) & np.isfinite(place[seen.point, 0]))
        if _shift_of_the_whole(place[now.point], now.xy, width).max() <= STILL * width:
            continue
        shift = _shift_of_the_whole(*looked_for(views, 0, t, begun.xy), width)
        if np.median(shift) > STILL_AT_MOST * width:
            return False
    return True


def _shift_of_the_whole(here: Float64, there: Float64, width: int) -> Float64:  # [N, 2], [N, 2] -> [M]
    """How far the motion of the whole picture carries the points that follow it; infinitely if too few agree on one."""
    form, inside = None, np.zeros(len(here), np.bool_)
    if len(here) >= STILL_POINTS:
        form, inside = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=2.5 * STILL * width)
    if form is None or inside.mean() < STILL_SHARE:
        return np.array([np.inf])
    moved = here @ form[:, :2].T + form[:, 2] - here
    return np.linalg.norm(moved, axis=1)[inside.ravel().astype(bool)]


def _still(clip: Clip, rows: Float64, seen: Observations) -> Solved:
    first = np.lexsort((seen.frame, seen.point))
    begun = first[np.unique(seen.point[first], return_index=True)[1]]
    place = np.full((int(seen.point.max()) + 1, 2), np.nan)
    place[seen.point[begun]] = seen.xy[begun]
    away = np.linalg.norm(seen.xy - place[seen.point], axis=1)
    fits = away < MISFIT * clip.width
    fx, fy, cx, cy = (float(v) for v in rows[0])
    one = Intrinsics(fx, fy, cx, cy, clip.width, clip.height)
    camera = SourceCamera.still(clip.num_frames, one, origin="estimated")
    zeros = np.zeros(clip.num_frames)
    solution = Solution(camera.world_from_camera, camera.intrinsics, zeros, zeros, np.zeros((len(place), 3)))
    moving = share_that_moves(seen, fits, clip)
    verdict = Verdict("", True, len(begun), float(np.median(away[fits])), moving)
    return Solved(camera, verdict, solution, seen, fits)


class _Solver:
    def __init__(self, views: Views, width: int, watch: Watch) -> None:
        self._views, self._width, self._watch = views, width, watch

    def likely_focal(self, seen: Observations, rows: Float64) -> tuple[float, float]:
        """Factor on the focal length that explains a part of the frames best, and by what share it is in doubt.

        Far from the truth the search ends anywhere: it begins at several places, and again where the best one ended.
        Then each half of the points has to find the same.
        """
        count = len(rows)
        frames = sorted({round(i) for i in np.linspace(0, count - 1, min(count, FOCAL_FRAMES))})
        number = np.full(count, -1)
        number[frames] = np.arange(len(frames))
        few = seen.only(number[seen.frame] >= 0)
        few = replace(few, frame=number[few.frame])
        halves = [few.only(few.point % 2 == half) for half in (0, 1)]
        ends = sorted(self._focal_from(halves[0], rows[frames], factor) for factor in FOCALS)
        found = []
        for half in halves:
            begun = [self._focal_from(half, rows[frames], factor) for _, factor in ends[:2]]
            found.append(min([*begun, self._focal_from(half, rows[frames], min(begun)[1])])[1])
        return float(np.sqrt(found[0] * found[1])), abs(float(np.log(found[0] / found[1])))

    def _focal_from(self, seen: Observations, rows: Float64, factor: float) -> tuple[float, float]:
        """What is left unexplained, as a share of all, and the factor on the focal length where the search ended."""
        cancel = self._watch.get("cancel")
        check(cancel)
        seen = seen.only(np.bincount(seen.point)[seen.point] > 1) if len(seen) else seen
        state, _ = placed(seen, rows * [factor, factor, 1, 1], self._width, focal="shared", cancel=cancel)
        if not len(seen):
            return 1.0, factor
        state, _ = self._adjusted(state, seen, "shared", 4 * MISFIT)
        off = np.minimum(residuals(state, seen).lengths / (MISFIT * self._width), 1.0)
        return float(off.mean()), factor * float(np.exp(state.log_focal[0]))

    def solve(
        self, seen: Observations, rows: Float64, focal: FocalFreedom
    ) -> tuple[tuple[Solution, Observations, Bool], Float64]:
        """Solution, what was seen in the end, which frames could be placed; and how sure each focal length is."""
        begin: FocalFreedom = "changing" if focal == "changing" else "fixed"  # one for all is near enough by now
        state, sure = placed(seen, rows, self._width, focal=begin, **self._watch)
        seen = seen.only((state.points[seen.point] != 0).any(axis=1))
        if not len(seen):
            return (state, seen, np.zeros(len(rows), np.bool_)), np.full(len(rows), np.inf)
        state, _ = self._adjusted(state, seen, focal, 4 * MISFIT)
        state, _ = self._adjusted(state, seen, focal, MISFIT)
        fits = residuals(state, seen).lengths < MISFIT * self._width
        seen = looked_again(state, seen, self._views, fits, **self._watch)
        state, _ = self._adjusted(state, seen, focal, 2 * MISFIT)
        state, deviation = self._adjusted(state, seen, focal, MISFIT)
        return (state, seen, sure), deviation

    def _adjusted(
        self, state: Solution, seen: Observations, focal: FocalFreedom, misfit: float
    ) -> tuple[Solution, Float64]:
        """Adjusted to what fits so far; depth counts by how well it agrees."""
        kept = fitting(state, seen, misfit * self._width)
        if not len(kept):
            return state, np.full(len(state.lens), np.inf)
        left = residuals(state, seen).log_depth
        off = np.abs(left[np.isfinite(left)])
        trust = trust_of(self._width, 1.48 * float(np.median(off)) if len(off) else 1.0)
        return adjusted(state, kept, trust, focal=focal, cancel=self._watch.get("cancel"))
