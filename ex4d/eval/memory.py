"""What a world memory is judged by: surfaces that the source shows now, or that stand still and it showed at any time.

A target pixel's true point is looked for in every frame of the source. Where a frame shows a surface right there, that
frame *saw* it; what has moved since lies elsewhere and is not found. A pixel is

- *known* if the source shows it at the same moment (:mod:`ex4d.eval.visibility`), or any of its frames saw it;
- *unknowable* if it lies outside the pictures of all frames.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.eval.dataset import Scene, Target
from ex4d.eval.extras import SAME_SURFACE
from ex4d.eval.metrics import MaskScores, mask_scores, psnr
from ex4d.eval.visibility import DEFAULT_TOLERANCE, Truth, not_behind, project, source_points
from ex4d.progress import CancelToken, check
from ex4d.raster import Camera
from ex4d.raster.cpu import CpuRasterizer
from ex4d.types import Clip
from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import SettingError

SAME_PLACE = 0.02
"""Share of the depth by which a point may lie in front of what another frame shows and still be that surface's."""


@dataclass(frozen=True)
class View:
    """One frame of a target, and what the source knows of it over time."""

    target: Target
    frame: int
    truth: Truth  # [1, H, W]

    @property
    def now(self) -> Truth:  # [1, H, W]
        """What the source knows of it at the same moment."""
        truth = self.target.frames_only([self.frame]).truth
        assert truth is not None
        return truth

    @property
    def depth(self) -> Float32:  # [H, W]
        """Its true depth."""
        assert self.target.depth is not None
        return self.target.depth[self.frame]

    @property
    def source_frame(self) -> int:
        """The source frame of the same moment."""
        return math.floor(self.target.trajectory.source_time[self.frame] + 0.5)


@dataclass(frozen=True)
class MemoryScore:
    """One view under one way to build the mesh."""

    target: str
    frame: int
    masks: MaskScores
    right: float
    """Share of what is shown whose true surface is the one shown."""
    psnr: float
    """Of what is shown rightly, dB."""


def known_views(scene: Scene, angle_deg: float, *, cancel: CancelToken | None = None) -> list[View]:
    """The orbits' frames at an angle, with their truth. Raises SettingError for a target without depth, Cancelled."""
    views = []
    for target in scene.targets:
        for i in target.frames_at(angle_deg):
            check(cancel)
            views.append(View(target, i, known_over_time(scene.clip, target, i)))
    return views


def known_over_time(clip: Clip, target: Target, i: int) -> Truth:  # [1, H, W]
    """What the source knows of frame ``i`` of a target. Raises SettingError for one without depth or truth."""
    if target.depth is None or target.truth is None:
        raise SettingError(f"Target {target.name} has no depth, which memory is judged by; give it depth.npz.")
    camera, move = clip.moving_camera, target.trajectory
    known, outside = target.truth.visible[i].copy(), target.truth.unknowable[i].copy()
    if camera is None:
        return Truth(known[None], outside[None])
    poses = camera.world_from_camera
    pose = poses[math.floor(move.source_time[i] + 0.5)] @ move.world_from_camera[i]
    for j, there in enumerate(poses):
        points = source_points(target.depth[i], move.frame_intrinsics(i), np.linalg.inv(there) @ pose)
        inside, seen = seen_in_place(np.asarray(clip.depth[j]), clip.lens(j), points)
        known |= seen & np.isfinite(target.depth[i])
        outside &= ~inside
    return Truth(known[None], outside[None])


def seen_in_place(depth: Float32, lens: Intrinsics, points: np.ndarray) -> tuple[Bool, Bool]:  # [H, W, 3] in its axes
    """Whether points lie in a frame's picture, and whether it shows a surface just there."""
    u, v, z = project(points, lens)
    inside = (z > 0) & (u >= 0) & (u < lens.width) & (v >= 0) & (v < lens.height)
    column, row = (np.where(inside, c, 0).astype(int) for c in (u, v))
    nearest = cv2.erode(depth, np.ones((3, 3), np.uint8))[row, column]
    close = np.where(inside, z, 0) > (1 - SAME_PLACE) * nearest
    return inside, not_behind(depth, u, v, z, inside, DEFAULT_TOLERANCE) & close


def memory_scores(
    mesh: DWMesh, views: Sequence[View], *, cancel: CancelToken | None = None
) -> tuple[list[MemoryScore], list[tuple[UInt8, Bool]]]:
    """How a mesh's guides agree with what is known, and the guides. Raises Cancelled."""
    rasterizer, scores, drawn = CpuRasterizer(), [], []
    for view in views:
        check(cancel)
        camera = Camera.of(view.target.trajectory, view.frame)
        colour, mask = rasterizer.draw(mesh.surface(view.source_frame), camera)
        known, outside = view.truth.visible[0], view.truth.unknowable[0]
        quality = psnr(colour, view.target.frames[view.frame], mask & known)
        miss = np.abs(1 - rasterizer.inverse_depth * view.depth)
        right = float((miss[mask] < SAME_SURFACE).mean()) if mask.any() else math.nan
        scores.append(MemoryScore(view.target.name, view.frame, mask_scores(mask, known, outside), right, quality))
        drawn.append((colour, mask))
    return scores, drawn
