"""How far an estimated source camera is from the true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ex4d.eval.filmed import Filmed
from ex4d.solve.tracks import lifted
from ex4d.trajectory.metrics import rotation_angles
from ex4d_ground.arrays import Float64
from ex4d_ground.errors import ShapeError
from ex4d_ground.source_camera import SourceCamera

POINTS = 400
LONG_PATH = 0.05
"""Share of the median depth beyond which a path is long, and errors are told as a share of it."""


@dataclass(frozen=True)
class CameraErrors:
    """What people see of a wrong camera, as shares in per cent and degrees."""

    ate_of_depth: float
    """Root mean square distance of the positions, in per cent of the median depth."""
    ate_of_path: float
    """The same in per cent of the path's length; NaN where the path is short."""
    rotation_deg: float
    """Root mean square angle between the cameras."""
    swim_median: float
    """Median way of fixed points in the picture, in per cent of its width."""
    swim_95: float
    """The same, exceeded by one in twenty."""
    focal: float
    """Largest error of the focal length, in per cent."""


def camera_errors(filmed: Filmed, estimate: SourceCamera, *, fit_scale: bool = False) -> CameraErrors:
    """Compare with the truth. With ``fit_scale`` positions are first scaled by one factor, as wrong depth has a unit.

    Fixed points are those of the steady world that frames all along the clip show: each is drawn with the true and
    with the estimated camera. Raises ShapeError for another number of frames.
    """
    truth = filmed.camera
    if len(truth) != len(estimate):
        raise ShapeError(f"The estimate has {len(estimate)} poses, the truth {len(truth)}.")
    where, found = truth.world_from_camera[:, :3, 3], estimate.world_from_camera[:, :3, 3]
    energy = float((found**2).sum())
    factor = float((where * found).sum()) / energy if fit_scale and energy > 1e-12 else 1.0
    factor = factor if factor > 0 else 1.0
    error = float(np.sqrt(((found * factor - where) ** 2).sum(axis=1).mean()))
    depth = float(np.median(filmed.clip.depth))
    path = float(np.linalg.norm(np.diff(where, axis=0), axis=1).sum())
    turns = rotation_angles(truth.world_from_camera[:, :3, :3], estimate.world_from_camera[:, :3, :3])
    swim = _swim(filmed, estimate.scaled(factor))
    focal = np.abs(estimate.intrinsics[:, 0] / truth.intrinsics[:, 0] - 1).max()
    return CameraErrors(
        100 * error / depth,
        100 * error / path if path > LONG_PATH * depth else float("nan"),
        float(np.degrees(np.sqrt((turns**2).mean()))),
        100 * float(np.median(swim)),
        100 * float(np.percentile(swim, 95)),
        100 * float(focal),
    )


def _swim(filmed: Filmed, estimate: SourceCamera) -> Float64:  # [N] shares of the width
    truth, clip = filmed.camera, filmed.clip
    chance = np.random.default_rng(0)
    out = []
    for first in sorted({0, len(truth) // 2, len(truth) - 1}):
        row, column = chance.integers(0, [clip.height, clip.width], (POINTS, 2)).T
        steady = ~filmed.matte[first, row, column]
        xy = np.column_stack([column, row])[steady] + 0.5
        deep = clip.depth[first, row[steady], column[steady]].astype(np.float64)
        points = lifted(xy, deep, truth.intrinsics[first], truth.world_from_camera[first])
        for t in range(len(truth)):
            a, seen = _projected(points, truth, t)
            b, _ = _projected(points, estimate, t)
            out.append(np.linalg.norm(a - b, axis=1)[seen] / clip.width)
    return np.concatenate(out)


def _projected(points: Float64, camera: SourceCamera, t: int) -> tuple[Float64, np.ndarray]:
    pose, lens = camera.camera_from_world[t], camera.intrinsics[t]
    x = points @ pose[:3, :3].T + pose[:3, 3]
    z = np.maximum(x[:, 2], 1e-6)
    xy = lens[:2] * x[:, :2] / z[:, None] + lens[2:]
    inside = (x[:, 2] > 0.1) & (xy >= 0).all(axis=1) & (xy[:, 0] < camera.width) & (xy[:, 1] < camera.height)
    return xy, inside
