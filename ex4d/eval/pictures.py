"""Pictures for the report: source, truth, guide and where the guide is wrong, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.eval.dataset import Scene, Target
from ex4d.eval.geometry import GuideDrawer
from ex4d.eval.metrics import mask_scores
from ex4d.eval.variants import Variant
from ex4d.eval.visibility import Truth
from ex4d.progress import CancelToken, check
from ex4d_ground.arrays import Bool, UInt8
from ex4d_ground.options import RasterOptions

PICTURE_ANGLES = (30.0, 90.0)
NEAR_ENOUGH_DEG = 5.0
HOLE = (52, 54, 62)
RIGHT, FALSE, MISSED, UNKNOWN = (74, 160, 98), (214, 64, 56), (240, 178, 54), (110, 116, 140)
LEGEND = (
    (RIGHT, "shown and true"),
    (FALSE, "shown, but not true"),
    (MISSED, "true, but hidden"),
    (UNKNOWN, "shown where nothing can be known"),
    (HOLE, "rightly empty"),
)


@dataclass(frozen=True)
class Picture:
    """A strip of pictures with a caption."""

    scene: str
    caption: str
    image: UInt8  # [H, W, 3] RGB


def scene_pictures(
    scene: Scene, variants: Sequence[Variant], *, rasterizer: str = "cpu", cancel: CancelToken | None = None
) -> list[Picture]:
    """A strip per variant for the scene's orbit frames nearest PICTURE_ANGLES (or its last target's last frame)."""
    draw = GuideDrawer(rasterizer, RasterOptions())
    strips = []
    for target, truth, i in _chosen(scene):
        for variant in variants:
            check(cancel)
            colour, mask, _ = draw(scene.clip, target.frames_only([i]), variant, cancel)
            scores = mask_scores(mask[0], truth.visible[i], truth.unknowable[i])
            t = int(target.trajectory.source_time[i] + 0.5)
            strip = [
                scene.clip.frames[t],
                target.frames[i],
                shaded(target.frames[i], truth.visible[i]),
                shaded(colour[0], mask[0]),
                error_map(mask[0], truth, i),
            ]
            strips.append(
                Picture(
                    scene.name,
                    f"{target.name}, {target.angle_deg[i]:.0f} degrees, {variant.name}: IoU {scores.iou:.3f}, "
                    f"false-visible {100 * scores.false_visible:.1f} % "
                    f"({100 * scores.false_visible_known:.1f} % without the unknowable)",
                    side_by_side(strip),
                )
            )
    return strips


def _chosen(scene: Scene) -> list[tuple[Target, Truth, int]]:
    judged = [(t, t.truth) for t in scene.targets if t.truth is not None]
    orbits = [(t, truth) for t, truth in judged if t.kind == "orbit"]
    picks: dict[tuple[str, int], tuple[Target, Truth, int]] = {}
    for angle in PICTURE_ANGLES if orbits else ():
        target, truth = min(orbits, key=lambda pair: float(np.abs(pair[0].angle_deg - angle).min()))
        i = int(np.abs(target.angle_deg - angle).argmin())
        if abs(float(target.angle_deg[i]) - angle) <= NEAR_ENOUGH_DEG:
            picks[target.name, i] = (target, truth, i)
    if not picks and judged:
        target, truth = judged[-1]
        return [(target, truth, len(target.frames) - 1)]
    return list(picks.values())


def shaded(image: UInt8, mask: Bool) -> UInt8:
    """The picture where ``mask`` is set, a flat dark tone elsewhere."""
    return np.where(mask[..., None], image, np.array(HOLE, np.uint8))


def error_map(mask: Bool, truth: Truth, i: int) -> UInt8:
    """The legend's colours: right, falsely visible, missed, unknowable, rightly empty."""
    visible, unknowable = truth.visible[i], truth.unknowable[i]
    out = np.empty((*mask.shape, 3), np.uint8)
    out[...] = HOLE
    out[mask & visible] = RIGHT
    out[mask & ~visible] = FALSE
    out[visible & ~mask] = MISSED
    out[mask & ~visible & unknowable] = UNKNOWN
    return out


def side_by_side(images: Sequence[UInt8], gap: int = 4) -> UInt8:
    """Pictures in a row with white gaps, all scaled to the first one's height."""
    height = images[0].shape[0]
    row: list[np.ndarray] = []
    for image in images:
        if image.shape[0] != height:
            width = round(image.shape[1] * height / image.shape[0])
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        row += [image, np.full((height, gap, 3), 255, np.uint8)]
    return np.hstack(row[:-1])
