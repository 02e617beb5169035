"""The first guess, frame by frame: where the camera must stand to see known points where they are seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

import cv2
import numpy as np

from ex4d.progress import Watch, reported
from ex4d.solve.bundle import FocalFreedom, Observations, Solution, Trust, adjusted
from ex4d.solve.tracks import frames_in, lifted
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, Float64
from ex4d_ground.poses import inverse

FEWEST = 12
"""Points that a frame needs."""
MISFIT = 0.012
"""Share of the picture's width by which a point may be off and still speak for a pose."""
EVERY = 6
"""Frames after which everything known is adjusted, so that the depth's faults do not add up."""
_STRAIGHT = np.zeros(4)  # no distortion
ROUGH = Trust(pixel=0.5, depth=0.15)


def placed(
    seen: Observations,
    lens: Float64,  # [T, 4]
    width: int,
    *,
    focal: FocalFreedom = "fixed",
    **watch: Unpack[Watch],
) -> tuple[Solution, Bool]:  # and [T]: whether the frame could be placed
    """A pose for each frame, by RANSAC among the points that earlier frames lifted by their depth.

    A frame that sees too few known points keeps the pose of the one before. Raises Cancelled.
    """
    count = len(lens)
    poses = np.tile(np.eye(4), (count, 1, 1))
    points = np.full((int(seen.point.max(initial=-1)) + 1, 3), np.nan)
    state = Solution(poses, lens, np.zeros(count), np.zeros(count), points)
    sure = np.zeros(count, np.bool_)
    fits = np.ones(len(seen), np.bool_)
    rows_of = dict(frames_in(seen))
    done: list[int] = []
    for t in reported(range(count), stages.PLACING, count, **watch):
        rows = rows_of.get(t, np.zeros(0, np.int64))
        if t:
            state.log_focal[t] = state.log_focal[t - 1]
        known = rows[np.isfinite(state.points[seen.point[rows], 0])]
        if t == 0:
            sure[t] = len(rows) >= FEWEST
        elif len(known) >= FEWEST:
            sure[t] = _place(state, seen, t, known, fits, MISFIT * width)
        if t and not sure[t]:
            state.camera_from_world[t] = state.camera_from_world[t - 1]
        _lift(state, seen, t, rows)
        done.append(t)
        if t and t % EVERY == 0:
            chosen = np.flatnonzero(fits & (seen.frame <= t) & np.isfinite(state.points[seen.point, 0]))
            state, _ = adjusted(
                state, _often(seen.only(chosen)), ROUGH, focal=focal, rounds=4, cancel=watch.get("cancel")
            )
    return replace(state, points=np.where(np.isfinite(state.points), state.points, 0.0)), sure


def _often(seen: Observations) -> Observations:
    """Points that are seen twice or more."""
    return seen.only(np.bincount(seen.point)[seen.point] > 1)


def _place(state: Solution, seen: Observations, t: int, rows: np.ndarray, fits: Bool, misfit: float) -> bool:
    lens = state.intrinsics[t]
    matrix = np.array([[lens[0], 0, lens[2]], [0, lens[1], lens[3]], [0, 0, 1]])
    places, xy = state.points[seen.point[rows]], seen.xy[rows]
    guess = state.camera_from_world[t - 1]
    turn, shift = cv2.Rodrigues(guess[:3, :3])[0], guess[:3, 3].reshape(3, 1).copy()
    ok, turn, shift, chosen = cv2.solvePnPRansac(
        places, xy, matrix, _STRAIGHT, turn, shift, True, 200, misfit, 0.999, flags=cv2.SOLVEPNP_ITERATIVE
    )
    if not ok or chosen is None or len(chosen) < FEWEST:
        return False
    inside = np.asarray(chosen, np.int64).ravel()
    turn, shift = cv2.solvePnPRefineLM(places[inside], xy[inside], matrix, _STRAIGHT, turn, shift)
    state.camera_from_world[t, :3, :3], state.camera_from_world[t, :3, 3] = cv2.Rodrigues(turn)[0], shift.ravel()
    fits[rows] = False
    fits[rows[inside]] = True
    return True


def _lift(state: Solution, seen: Observations, t: int, rows: np.ndarray) -> None:
    new = rows[~np.isfinite(state.points[seen.point[rows], 0]) & np.isfinite(seen.depth[rows])]
    depth = seen.depth[new] / np.exp(state.log_scale[t])
    world_from_camera = inverse(state.camera_from_world[t])
    state.points[seen.point[new]] = lifted(seen.xy[new], depth, state.intrinsics[t], world_from_camera)
