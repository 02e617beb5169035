"""One evaluation from start to end: scenes in, JSON and an HTML report out."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

from msgspec import structs

from ex4d.eval.dataset import find_scenes, load_scene
from ex4d.eval.extras import Extras, scene_extras
from ex4d.eval.geometry import FrameScore, TargetScore, VariantScores, evaluate_variants
from ex4d.eval.pictures import Picture, scene_pictures
from ex4d.eval.report import html_report, markdown_tables
from ex4d.eval.summary import merged, summarise
from ex4d.eval.variants import Variant
from ex4d.progress import Watch, check, report
from ex4d_ground.files import atomic_path
from ex4d_ground.parsing import parse_json

FORMAT, VERSION = "ex4d-eval", 1
JSON_NAME, HTML_NAME, TABLES_NAME = "eval.json", "report.html", "tables.md"
CODE = (
    "types.py", "dwmesh/*.py", "raster/*.py", "eval/dataset.py", "eval/extras.py", "eval/geometry.py",
    "eval/metrics.py", "eval/perturb.py", "eval/stability.py", "eval/variants.py", "eval/visibility.py",
)  # fmt: skip
"""Files of the package that scores depend on."""
MAX_PICTURE_VARIANTS = 4


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and pictures of it."""

    scores: list[VariantScores]
    pictures: list[Picture]
    title: str
    extras: tuple[Extras, ...] = ()

    def summary_json(self) -> dict[str, Any]:
        """The means by angle, by scene too for what was measured in full: small enough to keep beside the code."""
        variants = {}
        for s in self.scores:
            means = summarise(s) if s.frames else {}
            parts = ("by_angle",) if s.variant.angles_only else ("by_angle", "by_scene_and_angle")
            variants[s.variant.name] = {"unavailable": s.unavailable, **{k: means[k] for k in parts if means}}
        extras = [asdict(e) for e in self.extras]
        return finite(
            {"format": FORMAT, "version": VERSION, "title": self.title, "extras": extras, "variants": variants}
        )

    def as_json(self) -> dict[str, Any]:
        """Everything but the pictures: a summary per variant and every single row. NaN becomes null."""
        return finite(
            {
                "format": FORMAT,
                "version": VERSION,
                "title": self.title,
                "extras": [asdict(e) for e in self.extras],
                "variants": {
                    s.variant.name: {
                        "variant": {**asdict(s.variant), "options": structs.asdict(s.variant.options)},
                        "summary": summarise(s) if s.frames else {},
                        **_rows(s),
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
    with_extras: bool = False,
    keep: Path | None = None,
    **watch: Unpack[Watch],
) -> Evaluation:
    """Measure ``variants`` on every scene below ``root``.

    ``keep`` is a folder for each scene's finished scores: an evaluation that was stopped goes on from there, and scores
    of other variants, other code or another scene of the same name are made anew. ``with_extras`` adds
    :mod:`ex4d.eval.extras`. Raises the dataset's errors, SettingError and Cancelled.
    """
    per_scene, pictures, extras = [], [], []
    folders = find_scenes(root)
    for k, folder in enumerate(folders):
        check(watch.get("cancel"))
        report(watch.get("on_progress"), "scenes", k, len(folders), folder.name)
        scene = load_scene(folder, cancel=watch.get("cancel"))
        held = keep / f"{folder.name}.json" if keep is not None else None
        key = _key(folder, variants, with_extras) if held is not None else ""
        scores, extra = _read_scores(held, key, variants) if held is not None else (None, None)
        if scores is None:
            scores = evaluate_variants(scene, variants, rasterizer=rasterizer, **watch)
            extra = scene_extras(scene, cancel=watch.get("cancel")) if with_extras else None
            if held is not None:
                _write_scores(held, key, scores, extra)
        per_scene.append(scores)
        extras += [extra] if extra is not None else []
        available = [s.variant for s in scores if not s.unavailable and not s.variant.angles_only]
        pictures += scene_pictures(
            scene, available[:MAX_PICTURE_VARIANTS], rasterizer=rasterizer, cancel=watch.get("cancel")
        )
    report(watch.get("on_progress"), "scenes", len(folders), len(folders))
    return Evaluation(merged(per_scene), pictures, title, tuple(extras))


def _key(folder: Path, variants: Sequence[Variant], with_extras: bool) -> str:
    """Of everything that the scores depend on: variants, the scene's files, and our own code."""
    digest = hashlib.sha256(repr((list(variants), with_extras)).encode())
    package = Path(__file__).parents[1]
    for path in (f for pattern in CODE for f in sorted(package.glob(pattern))):
        digest.update(path.read_bytes())
    for path in sorted(f for f in folder.rglob("*") if f.is_file()):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()


def _read_scores(path: Path, key: str, variants: Sequence[Variant]) -> tuple[list[VariantScores] | None, Extras | None]:
    try:
        kept = parse_json(path.read_text())
    except (OSError, ValueError):
        return None, None
    if not isinstance(kept, dict) or kept.get("key") != key:
        return None, None
    scores = [
        VariantScores(
            variant,
            tuple(FrameScore(**known(row)) for row in held["frames"]),
            tuple(TargetScore(**known(row)) for row in held["targets"]),
            held["unavailable"],
        )
        for variant, held in zip(variants, kept["scores"], strict=True)
    ]
    return scores, Extras(**known(kept["extras"])) if kept["extras"] else None


def _write_scores(path: Path, key: str, scores: Sequence[VariantScores], extra: Extras | None) -> None:
    rows = [_rows(s) for s in scores]
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(finite({"key": key, "scores": rows, "extras": extra and asdict(extra)})))


def _rows(s: VariantScores) -> dict[str, Any]:
    frames, targets = [asdict(f) for f in s.frames], [asdict(t) for t in s.targets]
    return {"unavailable": s.unavailable, "frames": frames, "targets": targets}


def known(row: dict[str, Any]) -> dict[str, Any]:
    """The row with NaN where JSON has null."""
    return {name: math.nan if value is None else value for name, value in row.items()}


def write_evaluation(evaluation: Evaluation, folder: Path) -> tuple[Path, Path]:
    """Write ``eval.json``, ``tables.md`` and ``report.html`` into ``folder``.

    Returns the paths of the first and the last. Raises OutputError.
    """
    json_path, html_path = Path(folder) / JSON_NAME, Path(folder) / HTML_NAME
    with atomic_path(Path(folder) / TABLES_NAME) as path:
        path.write_text(markdown_tables(evaluation.title, evaluation.scores, evaluation.extras), encoding="utf-8")
    with atomic_path(json_path) as path:
        path.write_text(json.dumps(evaluation.as_json(), indent=1, allow_nan=False) + "\n")
    with atomic_path(html_path) as path:
        path.write_text(
            html_report(evaluation.title, evaluation.scores, evaluation.pictures, evaluation.extras), encoding="utf-8"
        )
    return json_path, html_path


def finite(value: Any) -> Any:
    """What JSON can hold: NaN and infinity become null."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
