"""Geometry against ground truth: render each variant's guides for every target and compare with what is true."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Unpack

import numpy as np

from ex4d.eval.dataset import ANGLES_DEG, Scene, Target
from ex4d.eval.metrics import mask_scores, psnr, ssim
from ex4d.eval.stability import Flow, backward_flows, flow_stability
from ex4d.eval.variants import Variant, surfaces, with_source_coordinates
from ex4d.eval.visibility import project, source_points
from ex4d.progress import CancelToken, Watch, check, report
from ex4d.raster import Camera, get_rasterizer
from ex4d.types import Clip
from ex4d_ground.arrays import Bool, UInt8
from ex4d_ground.errors import SettingError
from ex4d_ground.options import RasterOptions

STAGE = "evaluate"


@dataclass(frozen=True)
class FrameScore:
    """One frame of one target under one variant. Shares are 0..1, NaN where there was nothing to measure."""

    scene: str
    target: str
    kind: str
    frame: int
    angle_deg: float
    precision: float
    recall: float
    iou: float
    iou_known: float
    false_visible: float
    false_visible_known: float
    false_visible_of_picture: float
    coverage: float
    true_coverage: float
    psnr: float
    ssim: float
    reprojection_px: float
    """Median distance, in source pixels, between what the guide shows and what is truly there (both visible)."""


@dataclass(frozen=True)
class TargetScore:
    """One target as a video under one variant."""

    scene: str
    target: str
    kind: str
    largest_angle_deg: float
    warped_error: float
    true_warped_error: float
    """The same measure of the true pictures over the same pixels: the floor."""
    mask_flicker: float
    true_mask_flicker: float


@dataclass(frozen=True)
class VariantScores:
    """Everything measured for one variant; ``unavailable`` says why nothing was."""

    variant: Variant
    frames: tuple[FrameScore, ...] = ()
    targets: tuple[TargetScore, ...] = ()
    unavailable: str = ""


def evaluate_variants(
    scene: Scene,
    variants: Sequence[Variant],
    *,
    rasterizer: str = "cpu",
    options: RasterOptions = RasterOptions(),
    **watch: Unpack[Watch],
) -> list[VariantScores]:
    """Measure every variant on every target of ``scene`` that has a truth; a variant that cannot be built says why.

    Raises SettingError for an unknown rasterizer, Cancelled.
    """
    draw, cancel = GuideDrawer(rasterizer, options), watch.get("cancel")
    judged = [t for t in scene.targets if t.truth is not None]
    videos_too = any(not v.angles_only for v in variants)
    flows = {t.name: backward_flows(t.frames) for t in judged} if videos_too else {}
    result = []
    for k, variant in enumerate(variants):
        report(watch.get("on_progress"), STAGE, k, len(variants), f"{scene.name}: {variant.name}")
        try:
            surfaces(variant, scene.clip)
        except SettingError as reason:
            result.append(VariantScores(variant, unavailable=str(reason)))
            continue
        frames: list[FrameScore] = []
        videos: list[TargetScore] = []
        for target in judged:
            check(cancel)
            if variant.angles_only:
                frames += _evaluate_angles(scene, target, variant, draw, cancel)
                continue
            scored, video = _evaluate_target(scene, target, variant, draw, flows[target.name], cancel)
            frames += scored
            videos.append(video)
        result.append(VariantScores(variant, tuple(frames), tuple(videos)))
    report(watch.get("on_progress"), STAGE, len(variants), len(variants), scene.name)
    return result


class GuideDrawer:
    """Draws a variant's guides for a target, with the source coordinates that each pixel shows."""

    def __init__(self, rasterizer: str, options: RasterOptions) -> None:
        self._rasterizer = get_rasterizer(rasterizer)
        self._options = options

    def __call__(
        self, clip: Clip, target: Target, variant: Variant, cancel: CancelToken | None = None
    ) -> tuple[UInt8, Bool, UInt8]:  # [N, H, W, 3] colour, [N, H, W] mask, [N, H, W, 3] source coordinates
        """Colour, mask, and x / width and y / height of the source in red and green."""
        surface_of = surfaces(variant, clip)
        colour = np.zeros_like(target.frames)
        mask = np.zeros(colour.shape[:3], np.bool_)
        shown = np.zeros_like(colour)
        for i in range(len(target.trajectory)):
            check(cancel)
            t, camera = math.floor(target.trajectory.source_time[i] + 0.5), Camera.of(target.trajectory, i)
            surface = surface_of(t)
            colour[i], mask[i] = self._rasterizer.draw(surface, camera, self._options)
            coordinates = with_source_coordinates(surface, clip, t, vertex_is_pixel=variant.build != "points")
            shown[i], _ = self._rasterizer.draw(coordinates, camera, self._options)
        return colour, mask, shown


def _evaluate_angles(
    scene: Scene, target: Target, variant: Variant, draw: GuideDrawer, cancel: CancelToken | None
) -> list[FrameScore]:
    near = target.frames_at(*ANGLES_DEG)
    if not near:
        return []
    rows = _frame_scores(scene, target.frames_only(near), *draw(scene.clip, target.frames_only(near), variant, cancel))
    return [replace(row, frame=i) for row, i in zip(rows, near, strict=True)]


def _evaluate_target(
    scene: Scene, target: Target, variant: Variant, draw: GuideDrawer, flows: Sequence[Flow], cancel: CancelToken | None
) -> tuple[list[FrameScore], TargetScore]:
    colour, mask, shown = draw(scene.clip, target, variant, cancel)
    check(cancel)
    rows = _frame_scores(scene, target, colour, mask, shown)
    return rows, _video_score(scene.name, target, colour, mask, flows)


def _frame_scores(scene: Scene, target: Target, colour: UInt8, mask: Bool, shown: UInt8) -> list[FrameScore]:
    if target.truth is None:
        raise SettingError(f"Target {target.name} of {scene.name} has no truth; give it depth.npz.")
    angles = target.angle_deg
    rows = []
    for i in range(len(mask)):
        visible, unknowable = target.truth.visible[i], target.truth.unknowable[i]
        both = mask[i] & visible
        rows.append(
            FrameScore(
                scene=scene.name,
                target=target.name,
                kind=target.kind,
                frame=i,
                angle_deg=float(angles[i]),
                psnr=psnr(colour[i], target.frames[i], both),
                ssim=ssim(colour[i], target.frames[i], both),
                reprojection_px=reprojection_error(scene.clip, target, i, shown[i], both),
                **asdict(mask_scores(mask[i], visible, unknowable)),
            )
        )
    return rows


def _video_score(scene: str, target: Target, colour: UInt8, mask: Bool, flows: Sequence[Flow]) -> TargetScore:
    angle = float(target.angle_deg.max())
    if len(mask) < 2 or target.truth is None:
        return TargetScore(scene, target.name, target.kind, angle, *(math.nan,) * 4)
    guide = flow_stability(colour, mask, flows=flows)
    # The floor over the same pixels for colours; the truth's own flicker for masks.
    floor = flow_stability(target.frames, mask, flows=flows)
    truth = flow_stability(target.frames, target.truth.visible, flows=flows)
    return TargetScore(
        scene=scene,
        target=target.name,
        kind=target.kind,
        largest_angle_deg=angle,
        warped_error=guide.warped_error,
        true_warped_error=floor.warped_error,
        mask_flicker=guide.mask_flicker,
        true_mask_flicker=truth.mask_flicker,
    )


def reprojection_error(clip: Clip, target: Target, i: int, shown: UInt8, where: Bool) -> float:
    """Median distance in source pixels between the source point a guide shows and the true one, over ``where``.

    ``shown`` holds x / width and y / height in 255 steps, so errors below about width / 500 pixels drown in rounding.
    """
    if target.depth is None or not where.any():
        return math.nan
    points = source_points(
        target.depth[i], target.trajectory.frame_intrinsics(i), target.trajectory.world_from_camera[i]
    )
    u, v, _ = project(points, clip.lens(math.floor(target.trajectory.source_time[i] + 0.5)))
    x, y = shown[..., 0] / 255.0 * clip.width, shown[..., 1] / 255.0 * clip.height
    return float(np.median(np.hypot(x - u, y - v)[where]))
