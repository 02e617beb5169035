"""Bundle adjustment: cameras, points, lens and each frame's depth scale that explain all tracks at once.

Unknown are each frame's pose, a factor on its depth (estimated depth breathes), the logarithm of its focal length where
that is asked for, and every point. A track's place in a frame is one measurement, the depth read there a second, weaker
one. Points are eliminated (Schur complement), so that what is solved grows with frames alone; far too large residuals
count little (Cauchy). Frame 0 stands at the origin.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ex4d.progress import CancelToken, check
from ex4d.solve.links import Link, add_links
from ex4d.solve.links import cost as cost_of_links
from ex4d_ground.arrays import Bool, Float64, Int64
from ex4d_ground.poses import so3_exp

FocalFreedom = Literal["fixed", "shared", "changing"]
"""What may change of the focal length: nothing, one factor for all frames, or one a frame."""

SCALE, FOCAL, SIZE = 6, 7, 8
"""A camera's eight unknowns: turn and shift, log of the depth's scale, log of the focal length's factor."""
_AT_A_TIME = 512


@dataclass(frozen=True)
class Observations:
    """Where points are seen: one row for each point and frame, at most one for a pair."""

    point: Int64  # [K]
    frame: Int64  # [K]
    xy: Float64  # [K, 2] pixels from the picture's upper left corner
    depth: Float64  # [K] what the clip's depth says there, NaN where it says nothing that can be used

    def __len__(self) -> int:
        return len(self.point)

    def only(self, chosen: Bool | Int64) -> Observations:
        """Some of the rows."""
        return Observations(self.point[chosen], self.frame[chosen], self.xy[chosen], self.depth[chosen])


@dataclass(frozen=True)
class Solution:
    """Cameras and points."""

    camera_from_world: Float64  # [T, 4, 4]
    lens: Float64  # [T, 4] fx, fy, cx, cy without the factor
    log_scale: Float64  # [T] of what the depth says over what is
    log_focal: Float64  # [T] of the factor on fx and fy
    points: Float64  # [P, 3]

    @property
    def intrinsics(self) -> Float64:  # [T, 4]
        """The lens with its factor."""
        out = self.lens.copy()
        out[:, :2] *= np.exp(self.log_focal)[:, None]
        return out


@dataclass(frozen=True)
class Trust:
    """How much each kind of measurement counts."""

    pixel: float
    """Standard deviation of a track's place, in pixels."""
    depth: float
    """Standard deviation of the logarithm of a depth, as one of many that are wrong together."""
    scale: float = 0.1
    """Standard deviation of the logarithm of a frame's depth scale."""
    focal: float = 0.5
    """Standard deviation of the logarithm of the focal length's factor; of its change a frame, a twentieth of it."""


@dataclass(frozen=True)
class Residuals:
    """What is left of each observation."""

    pixels: Float64  # [K, 2]
    log_depth: Float64  # [K], NaN where the depth says nothing
    z: Float64  # [K] distance along the view axis

    @property
    def lengths(self) -> Float64:  # [K]
        """Distance in pixels; infinite behind the camera."""
        return np.where(self.z > 0, np.linalg.norm(self.pixels, axis=1), np.inf)


def residuals(solution: Solution, seen: Observations) -> Residuals:
    """Measured against what the solution says."""
    poses = solution.camera_from_world[seen.frame]
    x = np.einsum("kij,kj->ki", poses[:, :3, :3], solution.points[seen.point]) + poses[:, :3, 3]
    z = np.where(np.abs(x[:, 2]) < 1e-9, 1e-9, x[:, 2])
    lens = solution.intrinsics[seen.frame]
    pixels = lens[:, :2] * x[:, :2] / z[:, None] + lens[:, 2:] - seen.xy
    with np.errstate(invalid="ignore", divide="ignore"):
        log_depth = np.log(np.where(z > 0, z, np.nan)) + solution.log_scale[seen.frame] - np.log(seen.depth)
    return Residuals(pixels, log_depth, x[:, 2])


def adjusted(
    start: Solution,
    seen: Observations,
    trust: Trust,
    *,
    focal: FocalFreedom = "fixed",
    rounds: int = 12,
    links: Sequence[Link] = (),
    cancel: CancelToken | None = None,
) -> tuple[Solution, Float64]:  # solution, [T] standard deviation of log_focal (0 where fixed)
    """The solution from ``start`` that explains ``seen`` best (Levenberg-Marquardt), of the frames and points in it.

    ``links`` say beside that how cameras stand to each other. Where nothing is seen, nothing changes. Raises Cancelled.
    """
    if not len(seen):
        return start, np.zeros(len(start.lens))
    system = _System(start, seen, trust, focal, links)
    state, cost, damping = start, system.cost(start), 1e-4
    for _ in range(rounds):
        check(cancel)
        equations = system.equations(state)
        for _ in range(6):
            step = system.step(equations, damping)
            trial = system.moved(state, *step)
            new = system.cost(trial)
            if new < cost:
                break
            damping *= 8
        else:
            break
        gain, state, cost, damping = (cost - new) / cost, trial, new, max(damping / 4, 1e-9)
        if gain < 1e-5:
            break
    return state, system.focal_deviation(state)


@dataclass(frozen=True)
class _Equations:
    cameras: Float64  # [T, 8, 8]
    cameras_right: Float64  # [T, 8]
    points: Float64  # [P, 3, 3]
    points_right: Float64  # [P, 3]
    mixed: Float64  # [K, 8, 3]
    camera_from_world: Float64  # [T of the solution, 4, 4] where they hold


class _System:
    """The least-squares problem, with frames and points counted among those that are observed."""

    def __init__(
        self, start: Solution, seen: Observations, trust: Trust, focal: FocalFreedom, links: Sequence[Link]
    ) -> None:
        self._frames, self._frame = np.unique(seen.frame, return_inverse=True)
        self._used, self._point = np.unique(seen.point, return_inverse=True)
        order = np.argsort(self._frame, kind="stable")
        self._seen, self._trust = seen.only(order), trust
        self._frame, self._point = self._frame[order], self._point[order]
        self._by_frame = np.searchsorted(self._frame, np.arange(len(self._frames)))
        self._by_point = np.argsort(self._point, kind="stable")
        self._point_starts = np.searchsorted(self._point[self._by_point], np.arange(len(self._used)))
        self._has_depth = np.isfinite(seen.depth[order])
        self._free = self._freedom(focal)
        self._focal: FocalFreedom = focal
        self._at = np.full(len(start.lens), -1)
        self._at[self._frames] = SIZE * np.arange(len(self._frames))
        self._links = [each for each in links if min(self._at[each.first], self._at[each.second]) >= 0]

    def _freedom(self, focal: FocalFreedom) -> Float64:  # [8 T, n]
        """Which unknowns there are: columns of what is free, or the same for all frames."""
        count = len(self._frames)
        columns = [8 * i + k for i in range(count) for k in range(7) if k == SCALE or self._frames[i] != 0]
        matrix = np.zeros((8 * count, len(columns)))
        matrix[columns, np.arange(len(columns))] = 1
        focals = np.zeros((8 * count, count))
        focals[8 * np.arange(count) + FOCAL, np.arange(count)] = 1
        if focal == "shared":
            matrix = np.hstack([matrix, focals.sum(axis=1, keepdims=True)])
        elif focal == "changing":
            matrix = np.hstack([matrix, focals])
        return matrix

    def cost(self, state: Solution) -> float:
        left = residuals(state, self._seen)
        pixel = np.log1p((left.lengths / self._trust.pixel) ** 2 / 4).clip(max=50)
        depth = np.log1p((left.log_depth[self._has_depth] / self._trust.depth) ** 2 / 4)
        total = float(2 * pixel.sum() + 2 * np.where(np.isfinite(depth), depth, 50).sum())
        scale, focal = state.log_scale[self._frames], state.log_focal[self._frames]
        total += (
            float((scale**2).sum()) / 2 / self._trust.scale**2 + float((focal**2).mean()) / 2 / self._trust.focal**2
        )
        if self._focal == "changing":
            total += float((np.diff(focal) ** 2).sum()) / 2 / (self._trust.focal / 20) ** 2
        return total + cost_of_links(self._links, state.camera_from_world)

    def equations(self, state: Solution) -> _Equations:
        seen, trust = self._seen, self._trust
        left = residuals(state, seen)
        poses, lens = state.camera_from_world[seen.frame], state.intrinsics[seen.frame]
        turn = poses[:, :3, :3]
        x = np.einsum("kij,kj->ki", turn, state.points[seen.point]) + poses[:, :3, 3]
        z = np.where(np.abs(x[:, 2]) < 1e-9, 1e-9, x[:, 2])
        by_x = np.zeros((len(seen), 3, 3))  # rows u, v, log depth; by the point in camera axes
        by_x[:, 0, 0], by_x[:, 1, 1] = lens[:, 0] / z, lens[:, 1] / z
        by_x[:, :2, 2] = -lens[:, :2] * x[:, :2] / (z**2)[:, None]
        by_x[:, 2, 2] = 1 / z
        by_camera = np.zeros((len(seen), 3, SIZE))
        by_camera[:, :, 3:6] = by_x
        for i, (a, b) in enumerate(((1, 2), (2, 0), (0, 1))):  # a turn moves the point by its cross product
            by_camera[:, :, i] = by_x[:, :, b] * x[:, a, None] - by_x[:, :, a] * x[:, b, None]
        by_camera[:, 2, SCALE] = 1
        by_camera[:, :2, FOCAL] = lens[:, :2] * x[:, :2] / z[:, None]
        by_point = by_x @ turn
        usual = (left.z > 0) / (trust.pixel**2 * (1 + (left.lengths.clip(max=1e6) / trust.pixel) ** 2 / 4))
        depth = np.where(self._has_depth & np.isfinite(left.log_depth), left.log_depth, 0)
        deep = self._has_depth * (left.z > 0) / (trust.depth**2 * (1 + (depth / trust.depth) ** 2 / 4))
        weight = np.stack([usual, usual, deep], axis=1)
        error = np.concatenate([left.pixels, depth[:, None]], axis=1) * weight
        weighted = by_camera * weight[:, :, None]
        turned = np.swapaxes(weighted, 1, 2)
        pull = np.einsum("kij,ki->kj", by_camera, error)
        sums = [np.add.reduceat(part, self._by_frame) for part in (turned @ by_camera, pull)]
        of_points = np.swapaxes(by_point * weight[:, :, None], 1, 2) @ by_point
        right = np.einsum("kij,ki->kj", by_point, error)
        point_sums = [np.add.reduceat(part[self._by_point], self._point_starts) for part in (of_points, right)]
        self._add_priors(state, *sums)
        of_points, right = point_sums
        return _Equations(sums[0], sums[1], of_points, right, turned @ by_point, state.camera_from_world)

    def _add_priors(self, state: Solution, matrix: Float64, right: Float64) -> None:
        scale, focal = state.log_scale[self._frames], state.log_focal[self._frames]
        matrix[:, SCALE, SCALE] += 1 / self._trust.scale**2
        right[:, SCALE] += scale / self._trust.scale**2
        loose = 1 / self._trust.focal**2 / len(focal)
        matrix[:, FOCAL, FOCAL] += loose
        right[:, FOCAL] += loose * focal
        if self._focal == "changing":
            pull = np.diff(focal) / (self._trust.focal / 20) ** 2
            right[1:, FOCAL] += pull
            right[:-1, FOCAL] -= pull

    def _reduced(self, equations: _Equations, damping: float) -> tuple[Float64, Float64, Float64]:
        """Matrix and right side for the cameras alone, and the inverses of the points' own matrices."""
        count = len(self._frames)
        diagonal = np.einsum("pii->pi", equations.points)
        extra = damping * diagonal + 1e-9 * diagonal.sum(axis=1, keepdims=True) + 1e-12
        damped = equations.points + np.eye(3) * extra[:, None]
        inverse = np.linalg.inv(damped)
        root = np.linalg.cholesky((inverse + np.swapaxes(inverse, 1, 2)) / 2)
        matrix = np.zeros((count * SIZE, count * SIZE))
        for i in range(count):
            block = equations.cameras[i] + np.diag(np.diag(equations.cameras[i]) * damping)
            matrix[i * SIZE : (i + 1) * SIZE, i * SIZE : (i + 1) * SIZE] = block
        right = equations.cameras_right.copy()
        towards = np.einsum("pij,pj->pi", inverse, equations.points_right)
        carried = np.einsum("kij,kj->ki", equations.mixed, towards[self._point])
        right -= np.add.reduceat(carried, self._by_frame)
        part = equations.mixed @ root[self._point]
        for first in range(0, len(self._used), _AT_A_TIME):  # points that begin together are seen in few frames
            rows = np.flatnonzero((self._point >= first) & (self._point < first + _AT_A_TIME))
            low, high = self._frame[rows].min(), self._frame[rows].max() + 1
            dense = np.zeros((high - low, SIZE, min(_AT_A_TIME, len(self._used) - first), 3))
            dense[self._frame[rows] - low, :, self._point[rows] - first] = part[rows]
            flat = dense.reshape((high - low) * SIZE, -1)
            block = slice(low * SIZE, high * SIZE)
            matrix[block, block] -= flat @ flat.T
        if self._focal == "changing":
            self._tie_focals(matrix)
        right = right.ravel()
        add_links(self._links, equations.camera_from_world, self._at, matrix, right)
        return matrix, right, inverse

    def _tie_focals(self, matrix: Float64) -> None:
        """Focal lengths of neighbouring frames are alike."""
        strength = 1 / (self._trust.focal / 20) ** 2
        at = SIZE * np.arange(len(self._frames)) + FOCAL
        for a, b in itertools.pairwise(at):
            matrix[a, a] += strength
            matrix[b, b] += strength
            matrix[a, b] -= strength
            matrix[b, a] -= strength

    def step(self, equations: _Equations, damping: float) -> tuple[Float64, Float64]:  # [T, 8], [P, 3]
        matrix, right, inverse = self._reduced(equations, damping)
        free = self._free.T @ matrix @ self._free
        free += np.eye(len(free)) * (1e-10 * np.trace(free) / len(free))
        cameras = -(self._free @ np.linalg.solve(free, self._free.T @ right)).reshape(-1, SIZE)
        back = np.einsum("kij,ki->kj", equations.mixed, cameras[self._frame])
        total = np.add.reduceat(back[self._by_point], self._point_starts) + equations.points_right
        return cameras, -np.einsum("pij,pj->pi", inverse, total)

    def moved(self, state: Solution, cameras: Float64, points: Float64) -> Solution:
        poses, scale, focal = state.camera_from_world.copy(), state.log_scale.copy(), state.log_focal.copy()
        for i, t in enumerate(self._frames):
            turn = so3_exp(cameras[i, :3])
            poses[t, :3] = turn @ poses[t, :3]
            poses[t, :3, 3] += cameras[i, 3:6]
        scale[self._frames] += cameras[:, SCALE]
        focal[self._frames] += cameras[:, FOCAL]
        places = state.points.copy()
        places[self._used] += points
        return replace(state, camera_from_world=poses, log_scale=scale, log_focal=focal, points=places)

    def focal_deviation(self, state: Solution) -> Float64:  # [T of the solution]
        out = np.zeros(len(state.log_focal))
        if self._focal == "fixed":
            return out
        matrix, _, _ = self._reduced(self.equations(state), 0.0)
        covariance = np.linalg.pinv(self._free.T @ matrix @ self._free, hermitian=True)
        rows = self._free[FOCAL::SIZE]
        out[self._frames] = np.sqrt(np.maximum(np.einsum("ti,ij,tj->t", rows, covariance, rows), 0))
        return out
