"""Frames' surfaces laid onto each other, where the clip's depth was measured: it knows more than a few followed points.

A followed point's depth tells how far it is, not where on its surface it lies. Whole surfaces laid onto each other
(point to plane, with robust weights) tell turns and shifts, also between frames that share few points. That holds where
what is wrong with the depth is noise, new in every frame. Estimated depth is wrong over whole areas and changes slowly:
its surfaces fit the next frame's well, and lead astray. How a point's views scatter tells the two apart
(:func:`is_steady`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ex4d.progress import CancelToken, check
from ex4d.solve.bundle import Observations, Solution, adjusted, residuals
from ex4d.solve.links import TWIST, Link
from ex4d.solve.tracks import Views
from ex4d.solve.trust import (
    MISFIT,
    by_scatter,
    depth_scatter,
    fit_about_as_well,
    fitting,
    nearer_to_depth,
    neighbours_scatter,
    trust_of,
)
from ex4d_ground.arrays import Bool, Float32, Float64
from ex4d_ground.poses import inverse, se3_exp

GAPS = (1, 3, 8, 16)
"""How many frames after a frame those are that it is laid onto."""
COLUMNS = 80
"""Points along the picture's longer side that surfaces are laid by."""
STEADY = 3.0
"""Factor by which all views of a point may scatter more than neighbouring ones, with depth that does not drift."""
STEADY_SCALE = 0.01
"""Standard deviation of the logarithm of a frame's depth scale then: such depth does not breathe."""
LEAST_NOISE = 0.002
"""The least standard deviation of the depth's logarithm that a link counts by: a surface is not plane to more."""
AREA = 5.0
"""Points that are wrong together: so many of them count as one."""
ROUNDS, WIDE_ROUNDS = 6, 2
WIDE, NARROW = 8.0, 4.0
"""Standard deviations of the depth beyond which two points are no pair, in the first rounds and then."""
BEHIND = 0.05
"""Share of the depth by which, beside that, a pair's two points may lie one behind the other on a slanted surface."""
JUMP = 0.1
"""Share of the depth by which it may change across two points of a surface."""
FEWEST = 200
"""Pairs of points that a link needs."""
DAMPING = 1e-3
"""What the points hardly tell, a shift along a wall, stays as it was."""
UNTOLD = 1e-6
"""The same, as a share of all that the points tell, of what they do not tell at all: a wall straight ahead."""
ABOUT_AS_WELL = 1.5
"""Factor on the pictures' usual misfit up to which cameras may leave the pictures for measured depth."""


class Surface(NamedTuple):
    """Some of a frame's depth in its camera's axes, NaN where nothing is known."""

    places: Float64  # [h, w, 3]
    normals: Float64  # [h, w, 3]
    lens: Float64  # [4] for places in whole points of the surface


def by_depth(state: Solution, seen: Observations, views: Views, *, cancel: CancelToken | None = None) -> Solution:
    """Of the cameras that explain the pictures about as well as ``state``, one that agrees better with the depth.

    That is of whole surfaces where the depth is steady, else of the followed points. Pictures that hardly know
    distances make depth look as if it drifted: it is looked at once more when the points agree with it. Raises
    Cancelled.
    """
    laid = on_surfaces(state, seen, views, cancel=cancel)
    if laid is not state:
        return laid
    nearer = nearer_to_depth(state, seen, views.frames.shape[2], cancel=cancel)
    return nearer if nearer is state else on_surfaces(nearer, seen, views, cancel=cancel)


def on_surfaces(state: Solution, seen: Observations, views: Views, *, cancel: CancelToken | None = None) -> Solution:
    """``state`` with the frames' surfaces laid onto each other as well, or itself where depth drifts.

    What the pictures say counts as before; where they fit clearly worse with it, ``state`` itself is given back. Raises
    Cancelled.
    """
    width = views.frames.shape[2]
    kept = fitting(state, seen, MISFIT * width)
    if not len(kept) or not is_steady(kept, residuals(state, kept).log_depth):
        return state
    laid = by_scatter(state, seen, width, scale=STEADY_SCALE, cancel=cancel)
    kept = fitting(laid, seen, MISFIT * width)
    scatter = depth_scatter(kept.point, residuals(laid, kept).log_depth)
    links = laid_links(laid, views, scatter, cancel=cancel)
    trust = replace(trust_of(width, scatter), scale=STEADY_SCALE)
    laid, _ = adjusted(laid, kept, trust, links=links, cancel=cancel)
    return laid if fit_about_as_well(laid, state, seen, width, ABOUT_AS_WELL) else state


def is_steady(seen: Observations, log_depth: Float64) -> bool:  # [K] NaN where depth says nothing
    """Whether what is wrong with the depth is noise rather than a slow drift: see the module."""
    return depth_scatter(seen.point, log_depth) <= STEADY * neighbours_scatter(seen, log_depth)


def laid_links(state: Solution, views: Views, noise: float, *, cancel: CancelToken | None = None) -> list[Link]:
    """How frames stand to others :data:`GAPS` after them by their surfaces; only where enough of these meet.

    ``noise`` is the standard deviation of the depth's logarithm. Raises Cancelled.
    """
    surfaces: list[Surface] = []
    counts = min(noise / LEAST_NOISE, 1.0) ** 2 / AREA
    for t, lens in enumerate(state.intrinsics):
        check(cancel)
        depth, usable = views.usable(t)
        surfaces.append(surface(depth, usable, lens, float(np.exp(state.log_scale[t]))))
    found = []
    for first in range(len(surfaces)):
        check(cancel)
        for second in (first + gap for gap in GAPS if first + gap < len(surfaces)):
            guess = state.camera_from_world[first] @ inverse(state.camera_from_world[second])
            pose, information, count = laid_on(surfaces[first], surfaces[second], guess, noise)
            if count >= FEWEST:
                found.append(Link(first, second, pose, information * counts, count * counts))
    return found


def surface(depth: Float32, usable: Bool, lens: Float64, scale: float) -> Surface:  # [H, W], [H, W], [4]
    """A frame's depth, divided by ``scale``, in space; with the normals between each point's neighbours."""
    step = max(round(max(depth.shape) / COLUMNS), 1)
    begin = step // 2
    z = np.where(usable, depth, np.nan)[begin::step, begin::step] / np.float64(scale)
    thin = np.concatenate([lens[:2], lens[2:] - 0.5 - begin]) / step
    row, column = np.indices(z.shape)
    places = np.stack([(column - thin[2]) / thin[0] * z, (row - thin[3]) / thin[1] * z, z], axis=-1)
    across, down = np.full_like(places, np.nan), np.full_like(places, np.nan)
    across[:, 1:-1], down[1:-1] = places[:, 2:] - places[:, :-2], places[2:] - places[:-2]
    normals = np.cross(across, down)
    with np.errstate(invalid="ignore"):
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        normals[(np.abs(across[..., 2]) > JUMP * z) | (np.abs(down[..., 2]) > JUMP * z)] = np.nan
    return Surface(places, normals, thin)


def laid_on(here: Surface, there: Surface, guess: Float64, noise: float) -> tuple[Float64, Float64, int]:
    """The pose [4, 4] that brings the points ``there`` onto the surface ``here``, how sure it is, of how many pairs.

    How sure is told as the information [6, 6] of a turn and shift after the pose.
    """
    moving = there.places[np.isfinite(there.places).all(axis=-1)]
    pose, information, count = guess.copy(), np.zeros((TWIST, TWIST)), 0
    for n in range(ROUNDS):
        most = noise * (WIDE if n < WIDE_ROUNDS else NARROW)
        points, normals, away = _pairs(here, moving @ pose[:3, :3].T + pose[:3, 3], most)
        count = len(away)
        if count < FEWEST:
            return guess, information, 0
        deviation = noise * points[:, 2]
        weight = 1 / deviation**2 / (1 + (away / deviation) ** 2 / 4)
        slopes = np.hstack([np.cross(points, normals), normals])
        information = (slopes.T * weight) @ slopes
        damped = information + DAMPING * (
            np.diag(np.diag(information)) + UNTOLD * np.trace(information) * np.eye(TWIST)
        )
        step = -np.linalg.solve(damped, (slopes.T * weight) @ away)
        pose = se3_exp(np.roll(step, TWIST // 2)) @ pose
    return pose, information, count


def _pairs(here: Surface, points: Float64, most: float) -> tuple[Float64, Float64, Float64]:
    """Points [N, 3] that lie near the surface, its normals [N, 3] there, and how far they are off along these [N].

    ``most`` is a share of the depth.
    """
    height, width = here.places.shape[:2]
    points = points[points[:, 2] > 0]
    column, row = np.rint(points[:, :2] / points[:, 2:] * here.lens[:2] + here.lens[2:]).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    points, row, column = points[inside], row[inside], column[inside]
    target, normals, z = here.places[row, column], here.normals[row, column], points[:, 2]
    away = ((points - target) * normals).sum(axis=1)
    near = (np.abs(away) < most * z) & (np.abs(target[:, 2] - z) < (3 * most + BEHIND) * z)  # NaN is not
    return points[near], normals[near], away[near]
