"""From frames to the numbers people compare: by angle, by range, by scene, by kind of move."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ex4d.eval.geometry import ANGLE_TOLERANCE_DEG, ANGLES_DEG, FrameScore, TargetScore, VariantScores

RANGES: dict[str, float] = {"small (30)": 30.0, "large (60)": 60.0, "extreme (90)": 90.0}
"""EX-4D's ranges: orbits whose largest angle is this. "full (+-90)" pools all orbits, both ways."""
FULL_RANGE = "full (+-90)"
_RANGE_TOLERANCE_DEG = 5.0

FRAME_METRICS = (
    "iou", "iou_known", "precision", "recall", "false_visible", "false_visible_known", "false_visible_of_picture",
    "coverage", "true_coverage", "psnr", "ssim", "reprojection_px",
)  # fmt: skip
VIDEO_METRICS = ("warped_error", "true_warped_error", "mask_flicker", "true_mask_flicker")


def scene_mean(rows: Sequence[FrameScore | TargetScore], metric: str) -> float:
    """Mean of ``metric`` within each scene, then over scenes: every scene counts the same. NaN rows are left out."""
    scenes: dict[str, list[float]] = {}
    for row in rows:
        value = float(getattr(row, metric))
        if not math.isnan(value):
            scenes.setdefault(row.scene, []).append(value)
    means = [float(np.mean(v)) for v in scenes.values()]
    return float(np.mean(means)) if means else math.nan


def at_angle(rows: Iterable[FrameScore], angle_deg: float) -> list[FrameScore]:
    """Frames of orbits within two degrees of ``angle_deg``: a tilted camera turns a little less than its orbit."""
    return [r for r in rows if r.kind == "orbit" and abs(r.angle_deg - angle_deg) <= ANGLE_TOLERANCE_DEG]


def in_range(scores: VariantScores, name: str) -> tuple[list[FrameScore], list[TargetScore]]:
    """Frames and videos of the orbits that belong to one of the ranges."""
    orbits = [t for t in scores.targets if t.kind == "orbit"]
    if name != FULL_RANGE:
        orbits = [t for t in orbits if abs(t.largest_angle_deg - RANGES[name]) <= _RANGE_TOLERANCE_DEG]
    names = {(t.scene, t.target) for t in orbits}
    return [f for f in scores.frames if (f.scene, f.target) in names], orbits


def summarise(scores: VariantScores) -> dict[str, Any]:
    """Tables of means: ``by_angle``, ``by_range``, ``by_kind``, ``by_scene`` (each name -> metric -> value)."""
    frames, videos = scores.frames, scores.targets
    angles = {f"{a}": _means(at_angle(frames, a), []) for a in ANGLES_DEG}
    ranges = {name: _means(*in_range(scores, name)) for name in (*RANGES, FULL_RANGE)}
    return {
        "by_angle": {k: v for k, v in angles.items() if v["frames"]},
        "by_range": {k: v for k, v in ranges.items() if v["frames"]},
        "by_kind": _grouped(frames, videos, lambda r: r.kind if r.kind == "orbit" else r.target),
        "by_scene": _grouped(frames, videos, lambda r: r.scene),
        "by_scene_and_angle": {
            scene: {
                f"{a}": _means([f for f in at_angle(frames, a) if f.scene == scene], [])
                for a in ANGLES_DEG
                if any(f.scene == scene for f in at_angle(frames, a))
            }
            for scene in sorted({f.scene for f in frames})
        },
    }


def _grouped(
    frames: Sequence[FrameScore], videos: Sequence[TargetScore], key: Callable[[FrameScore | TargetScore], str]
) -> dict[str, Any]:
    names = sorted({key(f) for f in frames})
    return {n: _means([f for f in frames if key(f) == n], [v for v in videos if key(v) == n]) for n in names}


def _means(frames: Sequence[FrameScore], videos: Sequence[TargetScore]) -> dict[str, float]:
    # A camera at the source's own place proves nothing about occlusion: frames without any motion are left out.
    moved = [f for f in frames if f.frame > 0]
    row: dict[str, float] = {m: scene_mean(moved, m) for m in FRAME_METRICS}
    row |= {m: scene_mean(videos, m) for m in VIDEO_METRICS} if videos else {}
    row["frames"] = len(moved)
    return row


def merged(per_scene: Iterable[Sequence[VariantScores]]) -> list[VariantScores]:
    """Join the scores of several scenes, variant by variant."""
    joined: dict[str, VariantScores] = {}
    for scores in per_scene:
        for s in scores:
            old = joined.get(s.variant.name)
            joined[s.variant.name] = (
                s
                if old is None
                else VariantScores(
                    s.variant, old.frames + s.frames, old.targets + s.targets, old.unavailable or s.unavailable
                )
            )
    return list(joined.values())


def angle_cells(scores: VariantScores) -> list[str]:
    """ "IoU (false-visible %, without the unknowable %)" at each angle: the row that people compare."""
    table = summarise(scores)["by_angle"]
    return [
        f"{m['iou']:.3f} ({100 * m['false_visible']:.1f} / {100 * m['false_visible_known']:.1f} %)" if m else "–"
        for m in (table.get(str(a)) for a in ANGLES_DEG)
    ]


def angle_table(scores: Sequence[VariantScores]) -> str:
    """The by-angle table as aligned text."""
    rows = [["variant", *(f"{a} deg" for a in ANGLES_DEG)]]
    rows += [[s.variant.name, *angle_cells(s)] for s in scores if s.frames]
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows)
