"""The numbers as Markdown: by angle, by scene, and what other frames fill in."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ex4d.eval.extras import Extras
from ex4d.eval.geometry import ANGLES_DEG, VariantScores
from ex4d.eval.summary import summarise


def markdown_tables(title: str, scores: Sequence[VariantScores], extras: Sequence[Extras] = ()) -> str:
    """Everything a page about an evaluation needs. Shares of falsely visible pixels are without the unknowable."""
    done = [s for s in scores if s.frames]
    head = ["variant", *(f"{a}°" for a in ANGLES_DEG), "PSNR at 30°", "SSIM at 30°"]
    rows = []
    for s in done:
        table = summarise(s)["by_angle"]
        rows.append([s.variant.name, *(_cell(table.get(str(a))) for a in ANGLES_DEG), *_quality(table.get("30"))])
    parts = [f"# {title}", "Mask IoU, and the falsely visible share without the unknowable.", _table(head, rows)]
    scenes = sorted({f.scene for s in done for f in s.frames})
    per_scene = []
    for name in scenes:
        for s in done:
            if not s.variant.angles_only:
                table = summarise(s)["by_scene_and_angle"].get(name, {})
                cells = (_cell(table.get(str(a))) for a in ANGLES_DEG)
                per_scene.append([name, s.variant.name, *cells, *_quality(table.get("30"))])
    parts += ["## By scene", _table(["scene", *head], per_scene)]
    if extras:
        parts += ["## Thickness over time, and what other frames fill in", _table(*extra_rows(extras))]
    missing = [f"- {s.variant.name}: {s.unavailable}" for s in scores if s.unavailable]
    if missing:
        parts += ["## Not measured everywhere", "\n".join(missing)]
    return "\n\n".join(parts) + "\n"


def extra_rows(extras: Sequence[Extras]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table beside the scores."""
    head = ["scene", "thickness, spread over time", "filled in", "of that right", "PSNR of it"]
    rows = [
        [
            e.scene,
            _number(100 * e.thickness_spread, 1, " %"),
            _number(100 * e.filled, 1, " %"),
            _number(100 * e.filled_right, 0, " %"),
            _number(e.filled_psnr, 1, " dB"),
        ]
        for e in extras
    ]
    return head, rows


def _cell(row: dict[str, float] | None) -> str:
    return "–" if row is None else f"{_number(row['iou'], 3)} ({_number(100 * row['false_visible_known'], 1)} %)"


def _quality(row: dict[str, float] | None) -> tuple[str, str]:
    return ("–", "–") if row is None else (_number(row["psnr"], 1), _number(row["ssim"], 3))


def _number(value: float, digits: int, unit: str = "") -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}{unit}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
