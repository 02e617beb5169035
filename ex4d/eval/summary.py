"""From frames to the numbers people compare: by angle, by range, by scene, by kind of move."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ex4d.eval.dataset import ANGLE_TOLERANCE_DEG, ANGLES_DEG
from ex4d.eval.extras import Extras
from ex4d.eval.geometry import FrameScore, TargetScore, VariantScores
from ex4d.eval.metrics import known_mean
from ex4d.eval.tables import Table, number, percent

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
        scenes.setdefault(row.scene, []).append(float(getattr(row, metric)))
    return known_mean(known_mean(values) for values in scenes.values())


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
    for s in (scores for scene in per_scene for scores in scene):
        old = joined.get(s.variant.name, VariantScores(s.variant))
        joined[s.variant.name] = VariantScores(
            s.variant, old.frames + s.frames, old.targets + s.targets, old.unavailable or s.unavailable
        )
    return list(joined.values())


def angle_table(scores: Sequence[VariantScores], *, unit: str = " deg") -> Table:
    """ "IoU (false-visible %, without the unknowable %)" at each angle: the rows that people compare."""

    def cell(m: Mapping[str, float]) -> str:
        return f"{number(m['iou'], 3)} ({number(100 * m['false_visible'], 1)} / {percent(m['false_visible_known'])})"

    rows = [[s.variant.name, *_at_angles(summarise(s)["by_angle"], cell)] for s in scores if s.frames]
    return Table(["variant", *(f"{a}{unit}" for a in ANGLES_DEG)], rows)


def known_table(scores: Sequence[VariantScores]) -> Table:
    """ "IoU (false-visible % without the unknowable)" at each angle, and how good the pictures are at 30 degrees."""
    rows = [[s.variant.name, *_known_cells(summarise(s)["by_angle"])] for s in scores]
    return Table(["variant", *_KNOWN_HEAD], rows)


def scene_table(scores: Sequence[VariantScores]) -> Table:
    """:func:`known_table` scene by scene."""
    rows = []
    for scene in sorted({f.scene for s in scores for f in s.frames}):
        for s in scores:
            rows.append([scene, s.variant.name, *_known_cells(summarise(s)["by_scene_and_angle"].get(scene, {}))])
    return Table(["scene", "variant", *_KNOWN_HEAD], rows)


_KNOWN_HEAD = [*(f"{a}°" for a in ANGLES_DEG), "PSNR at 30°", "SSIM at 30°"]


def _known_cells(means: Mapping[str, Mapping[str, float]]) -> list[str]:
    angles = _at_angles(means, lambda m: f"{number(m['iou'], 3)} ({percent(m['false_visible_known'])})")
    at_30 = means.get("30", {})
    return [*angles, number(at_30.get("psnr", math.nan), 1), number(at_30.get("ssim", math.nan), 3)]


def _at_angles(means: Mapping[str, Mapping[str, float]], cell: Callable[[Mapping[str, float]], str]) -> Iterator[str]:
    return (cell(means[str(a)]) if str(a) in means else "–" for a in ANGLES_DEG)


def extra_table(extras: Sequence[Extras]) -> Table:
    """What stands beside the scores."""
    head = ["scene", "thickness, spread over time", "filled in", "of that right", "PSNR of it"]
    rows = [
        [
            e.scene,
            percent(e.thickness_spread),
            percent(e.filled),
            percent(e.filled_right, 0),
            number(e.filled_psnr, 1, " dB"),
        ]
        for e in extras
    ]
    return Table(head, rows)
