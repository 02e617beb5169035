"""One evaluation from start to end: scenes in, JSON and an HTML report out."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ex4d.eval.dataset import find_scenes, load_scene
from ex4d.eval.geometry import VariantScores, evaluate_variants
from ex4d.eval.pictures import Picture, scene_pictures
from ex4d.eval.report import html_report
from ex4d.eval.summary import merged, summarise
from ex4d.eval.variants import Variant
from ex4d.files import atomic_path
from ex4d.progress import CancelToken, OnProgress, check, report

FORMAT, VERSION = "ex4d-eval", 1
JSON_NAME, HTML_NAME = "eval.json", "report.html"
MAX_PICTURE_VARIANTS = 4


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and pictures of it."""

    scores: list[VariantScores]
    pictures: list[Picture]
    title: str

    def as_json(self) -> dict[str, Any]:
        """Everything but the pictures: a summary per variant and every single row. NaN becomes null."""
        return _finite(
            {
                "format": FORMAT,
                "version": VERSION,
                "title": self.title,
                "variants": {
                    s.variant.name: {
                        "variant": asdict(s.variant),
                        "unavailable": s.unavailable,
                        "summary": summarise(s) if s.frames else {},
                        "frames": [asdict(f) for f in s.frames],
                        "targets": [asdict(t) for t in s.targets],
                    }
                    for s in self.scores
                },
            }
        )


def evaluate(
    root: Path,
    variants: Sequence[Variant],
    *,
    title: str = "Guides against ground truth",
    rasterizer: str = "cpu",
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> Evaluation:
    """Measure ``variants`` on every scene below ``root``. Raises the dataset's errors, SettingError and Cancelled."""
    per_scene, pictures = [], []
    folders = find_scenes(root)
    for k, folder in enumerate(folders):
        check(cancel)
        report(on_progress, "scenes", k, len(folders), folder.name)
        scene = load_scene(folder, cancel=cancel)
        per_scene.append(
            evaluate_variants(scene, variants, rasterizer=rasterizer, on_progress=on_progress, cancel=cancel)
        )
        available = [s.variant for s in per_scene[-1] if not s.unavailable]
        pictures += scene_pictures(scene, available[:MAX_PICTURE_VARIANTS], rasterizer=rasterizer, cancel=cancel)
    report(on_progress, "scenes", len(folders), len(folders))
    return Evaluation(merged(per_scene), pictures, title)


def write_evaluation(evaluation: Evaluation, folder: Path) -> tuple[Path, Path]:
    """Write ``eval.json`` and ``report.html`` into ``folder``; returns their paths. Raises OutputError."""
    json_path, html_path = Path(folder) / JSON_NAME, Path(folder) / HTML_NAME
    with atomic_path(json_path) as path:
        path.write_text(json.dumps(evaluation.as_json(), indent=1, allow_nan=False) + "\n")
    with atomic_path(html_path) as path:
        path.write_text(html_report(evaluation.title, evaluation.scores, evaluation.pictures), encoding="utf-8")
    return json_path, html_path


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
