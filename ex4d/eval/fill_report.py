"""The judgement of fills as tables, JSON and a page with pictures."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ex4d.eval.fill import FilledMove, FillScore
from ex4d.eval.metrics import known_mean
from ex4d.eval.pictures import Picture, shaded, side_by_side
from ex4d.eval.report import STYLE, jpeg
from ex4d.eval.run import finite
from ex4d.eval.tables import Table, number
from ex4d_ground.files import atomic_path

COLUMNS = (
    ("psnr", "PSNR, dB", 2), ("ssim", "SSIM", 3), ("patch_distance", "patch distance", 2),
    ("sharpness", "sharpness", 2), ("moved_error", "error along motion", 2), ("seconds", "CPU s", 2),
)  # fmt: skip
NEVER_WORSE_DB = 0.3
"""What the mean of a scene may lose against the first way of filling."""


@dataclass(frozen=True)
class Loss:
    """A scene where a way of filling is worse than the first one by more than is allowed."""

    scene: str
    mode: str
    filling: str
    decibels: float


def means(scores: Sequence[FillScore]) -> dict[str, dict[str, dict[str, float]]]:
    """Per mode and filling: the mean over scenes of each scene's mean."""
    return {
        mode: {
            filling: {
                key: known_mean(scene_mean(scores, scene, mode, filling, key) for scene in _names(scores, "scene"))
                for key, _, _ in COLUMNS
            }
            for filling in _names(scores, "filling")
        }
        for mode in _names(scores, "mode")
    }


def scene_mean(scores: Sequence[FillScore], scene: str, mode: str, filling: str, key: str) -> float:
    """The mean of one figure over a scene's moves."""
    wanted = scene, mode, filling
    return known_mean(getattr(s, key) for s in scores if (s.scene, s.mode, s.filling) == wanted)


def losses(scores: Sequence[FillScore]) -> list[Loss]:
    """Where the mean of a scene is worse than that of the first filling by more than ``NEVER_WORSE_DB``."""
    first, *others = _names(scores, "filling")
    found = [
        Loss(scene, mode, filling, scene_mean(scores, scene, mode, first, "psnr") - mean)
        for scene in _names(scores, "scene")
        for mode in _names(scores, "mode")
        for filling in others
        if not np.isnan(mean := scene_mean(scores, scene, mode, filling, "psnr"))
    ]
    return [loss for loss in found if loss.decibels > NEVER_WORSE_DB]


def strips(moves: Sequence[FilledMove]) -> list[Picture]:
    """The last frames of one move filled in several ways: guide, fills, truth."""
    kept: list[Picture] = []
    by_mode: dict[str, list[FilledMove]] = {}
    for move in moves:
        by_mode.setdefault(move.score.mode, []).append(move)
    for mode, ways in by_mode.items():
        target, guides, i = ways[0].target, ways[0].guides, len(ways[0].filled) - 1
        shown = [shaded(guides.colour[i], guides.mask[i]), *(way.filled[i] for way in ways), target.frames[i]]
        names = ", ".join(f"{w.score.filling} {w.score.psnr:.1f} dB" for w in ways)
        scene = ways[0].score.scene
        kept.append(Picture(scene, f"{target.name}, {mode}: guide, {names}, truth", side_by_side(shown)))
    return kept


def tables(scores: Sequence[FillScore]) -> list[tuple[str, Table]]:
    """A heading and a table each."""
    modes, fillings = _names(scores, "mode"), _names(scores, "filling")
    of_all = means(scores)
    rows = [
        [f"{mode}, {filling}", *(number(of_all[mode][filling][key], digits) for key, _, digits in COLUMNS)]
        for mode in modes
        for filling in fillings
    ]
    per_scene = [
        [f"{scene}, {mode}", *(number(scene_mean(scores, scene, mode, filling, "psnr"), 2) for filling in fillings)]
        for scene in _names(scores, "scene")
        for mode in modes
    ]
    return [
        ("Mean over the scenes", Table(["", *(label for _, label, _ in COLUMNS)], rows)),
        ("PSNR of each scene, dB", Table(["", *fillings], per_scene)),
    ]


def write_fill_report(folder: Path, title: str, scores: Sequence[FillScore], pictures: Sequence[Picture]) -> Path:
    """Write fill.json, fill.md and fill.html; returns the page. Raises OutputError."""
    told: dict[str, Any] = {
        "title": title,
        "means": means(scores),
        "worse": [asdict(loss) for loss in losses(scores)],
        "rows": [asdict(score) for score in scores],
    }
    found, page = tables(scores), Path(folder) / "fill.html"
    with atomic_path(Path(folder) / "fill.json") as path:
        path.write_text(json.dumps(finite(told), indent=1, allow_nan=False) + "\n")
    with atomic_path(Path(folder) / "fill.md") as path:
        parts = [f"# {title}", *(f"## {head}\n\n{table.markdown()}" for head, table in found)]
        path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    figures = "".join(
        f"<figure><img alt='{escape(p.caption, quote=True)}' src='data:image/jpeg;base64,{jpeg(p.image)}'>"
        f"<figcaption>{escape(p.scene)}, {escape(p.caption)}</figcaption></figure>"
        for p in pictures
    )
    body = "".join(f"<h2>{head}</h2>{table.html()}" for head, table in found)
    head = f"<meta charset=utf-8><title>{escape(title)}</title><style>{STYLE}</style>"
    with atomic_path(page) as path:
        text = f"<!doctype html><html lang=en>{head}<body><h1>{escape(title)}</h1>{body}<h2>Pictures</h2>{figures}\n"
        path.write_text(text, encoding="utf-8")
    return page


def _names(scores: Sequence[FillScore], part: str) -> list[str]:
    return list(dict.fromkeys(getattr(score, part) for score in scores))
