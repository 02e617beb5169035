"""How much better a mesh could be: what the same scenes allow to somebody who knows the truth.

Scored like guides, at the table's angles:

- *solid*: the library's default.
- *best thickness*: solid walls, the thickness of each pixel chosen by looking at the truth, for the most true pixels
  less false ones. What separates it from *solid* is what a better estimate of the thickness could win; what is left
  is not a matter of thickness.
- *nearest pixel*: no mesh at all. Each target pixel's true point is looked up in the source's depth, and counts as
  shown if the surface of the pixel that it falls into is there. What this gets wrong lies between the source's pixels.

Colours at 30 degrees have limits of their own, over the pixels that the solid mesh shows rightly: the source sampled at
the *right points*, and a *second render* of the very same view with other noise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.eval.dataset import ANGLES_DEG, Scene, Target
from ex4d.eval.metrics import known_mean, mask_scores, psnr
from ex4d.eval.visibility import Truth, project, source_points, true_visibility
from ex4d.progress import CancelToken, check
from ex4d.raster import Camera
from ex4d.raster.cpu import CpuRasterizer
from ex4d.types import Clip
from ex4d_ground.arrays import Bool, Float32, Float64, Int64, UInt8
from ex4d_ground.errors import SettingError
from ex4d_ground.options import MeshOptions

SOLID = MeshOptions(mode="solid")
CANDIDATES = tuple(float(s) for s in np.geomspace(0.002, 0.8, 16))
"""Shares of the depth that the best thickness is chosen from, besides none at all."""
View = tuple[Target, int]
"""A target and one of its frames."""


@dataclass(frozen=True)
class LimitScore:
    """Mean over one scene's orbit frames at one angle. NaN where there was nothing to measure."""

    scene: str
    angle_deg: int
    limit: str
    iou: float
    false_visible_known: float
    psnr: float


def scene_limits(scene: Scene, twin: Scene | None = None, *, cancel: CancelToken | None = None) -> list[LimitScore]:
    """Scores of everything above for one scene; ``twin`` is the same scene rendered with other noise.

    Raises SettingError for targets without depth or truth, Cancelled.
    """
    rows: list[LimitScore] = []
    for angle in ANGLES_DEG:
        scores: list[LimitScore] = []
        for t, views in _views(scene, angle).items():
            check(cancel)
            scores += _moment(scene, t, views, angle, twin)
        for limit in dict.fromkeys(r.limit for r in scores):
            same = [r for r in scores if r.limit == limit]
            means = (known_mean(getattr(r, m) for r in same) for m in _METRICS)
            rows.append(LimitScore(scene.name, angle, limit, *means))
    return rows


def best_thickness(clip: Clip, t: int, views: Sequence[View]) -> Float32:  # [H, W]
    """The thickness of each pixel of frame ``t``, in the depth's unit, that is best for what ``views`` see of it.

    All pixels are tried at each candidate. A target pixel that a wall hides from some candidate on is won or lost by
    the source pixel that the wall belongs to.
    """
    height, width = clip.height, clip.width
    gain = np.zeros((len(CANDIDATES) + 1, height * width))
    seen = [np.ones(target.frames.shape[1:3], np.bool_) for target, _ in views]
    rasterizer = CpuRasterizer()
    for k, share in enumerate((0.0, *CANDIDATES)):
        mesh = DWMesh(clip, MeshOptions(mode="solid", thickness=share, thickness_unit="share"))
        surface = mesh.surface(t)
        for n, (target, i) in enumerate(views):
            _, mask = rasterizer.draw(surface, Camera.of(target.trajectory, i))
            truth = _truth(target)
            hidden = seen[n] & ~mask & ~truth.unknowable[i]
            seen[n] &= mask
            if k > 0:
                owner, known = _owners(clip, t, target, i, 1 / np.maximum(rasterizer.inverse_depth, 1e-9), hidden)
                value = np.where(truth.visible[i][hidden], -1.0, 1.0)[known]
                np.add.at(gain[k], owner, value)
    best = gain.cumsum(axis=0).argmax(axis=0).reshape(height, width)
    return (np.array([0.0, *CANDIDATES])[best] * clip.depth[t]).astype(np.float32)


def _owners(clip: Clip, t: int, target: Target, i: int, depth: Float64, where: Bool) -> tuple[Int64, Bool]:
    """The source pixels whose walls are drawn at ``where``: the nearest of the four around. And which of them exist."""
    pose, lens = target.trajectory.world_from_camera[i], target.trajectory.frame_intrinsics(i)
    u, v, _ = project(source_points(depth.astype(np.float32), lens, pose)[where], clip.lens(t))
    known = (u > 0) & (v > 0) & (u < clip.width) & (v < clip.height)
    x, y = np.floor(u[known] - 0.5).astype(int), np.floor(v[known] - 0.5).astype(int)
    corners = []
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        corners.append((y + dy).clip(0, clip.height - 1) * clip.width + (x + dx).clip(0, clip.width - 1))
    index = np.stack(corners)
    nearest = clip.depth[t].ravel()[index].argmin(axis=0)
    return np.take_along_axis(index, nearest[None], axis=0)[0], known


def _moment(scene: Scene, t: int, views: Sequence[View], angle: int, twin: Scene | None) -> list[LimitScore]:
    """Every limit for the views of one source frame."""
    clip, rasterizer, rows = scene.clip, CpuRasterizer(), []
    solid = DWMesh(clip, SOLID).surface(t)
    best = DWMesh(clip, SOLID, thickness_map=best_thickness(clip, t, views)).surface(t)
    for target, i in views:
        camera, truth, true = Camera.of(target.trajectory, i), _truth(target), target.frames[i]
        visible, unknowable = truth.visible[i], truth.unknowable[i]
        sampled, pixel = resampled(clip, target, i)
        colour, mask = rasterizer.draw(solid, camera)
        both = mask & visible
        second = None if twin is None else next(x for x in twin.targets if x.name == target.name).frames[i]
        drawn = rasterizer.draw(best, camera)
        for limit, picture, shown in (
            ("solid", colour, mask),
            ("best thickness", drawn[0], drawn[1]),
            ("nearest pixel", sampled, pixel),
        ):
            scores = mask_scores(shown, visible, unknowable)
            quality = psnr(picture, true, shown & visible)
            rows.append(LimitScore(scene.name, angle, limit, scores.iou, scores.false_visible_known, quality))
        for limit, picture in (("right points", sampled), ("second render", second)):
            if picture is not None:
                rows.append(LimitScore(scene.name, angle, limit, math.nan, math.nan, psnr(picture, true, both)))
    return rows


def resampled(clip: Clip, target: Target, i: int) -> tuple[UInt8, Bool]:
    """The source's colours at each target pixel's true point, and where its nearest pixel shows that surface."""
    if target.depth is None:
        raise SettingError(f"Target {target.name} has no depth, which the limits are found by; give it depth.npz.")
    one = target.frames_only([i])
    pose, lens = one.trajectory.world_from_camera[0], one.trajectory.frame_intrinsics(0)
    t = math.floor(one.trajectory.source_time[0] + 0.5)
    u, v, _ = project(source_points(target.depth[i], lens, pose), clip.lens(t))
    frame = clip.frames[t]
    x, y = ((c - 0.5).clip(-1, max(clip.width, clip.height)).astype(np.float32) for c in (u, v))
    sampled = cv2.remap(frame, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, np.uint8), true_visibility(clip, one.trajectory, target.depth[i : i + 1]).visible[0]


def _views(scene: Scene, angle: int) -> dict[int, list[View]]:
    """Orbit frames at an angle, by the source frame that they go with."""
    views: dict[int, list[View]] = {}
    for target in scene.targets:
        for i in target.frames_at(angle) if target.truth is not None else ():
            views.setdefault(math.floor(target.trajectory.source_time[i] + 0.5), []).append((target, i))
    return views


def _truth(target: Target) -> Truth:
    if target.truth is None:
        raise SettingError(f"Target {target.name} has no truth, which the limits are found by; give it depth.npz.")
    return target.truth


_METRICS = ("iou", "false_visible_known", "psnr")
