"""Make the documentation's pictures of the evaluation from what scripts/run_eval.py left.

    python scripts/eval_pictures.py OUT SCENES [--output docs/images]

OUT holds eval.json; SCENES are the scenes it was made from. Writes endless_vs_solid.png (one moment from the side, both
meshes), eval_by_angle.png (what both keep and get wrong over the angle) and eval_failures.png (where the default is
wrong at 90 degrees in the scenes where it is worst).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ex4d.eval import Scene, Target, Variant, VariantScores, find_scenes, load_scene, plots
from ex4d.eval.geometry import FrameScore, GuideDrawer
from ex4d.eval.pictures import FALSE, LEGEND, error_map
from ex4d.pictures import checkered
from ex4d.types import MeshOptions, RasterOptions, UInt8

SIDE_KINDS = ("figures", "thin", "interior")
SIDE_ANGLE, FAILURE_ANGLE = 30.0, 90.0
TILE, GAP, BAND = 256, 6, 22
PAGE, INK = (250, 250, 248), (32, 36, 44)
SOLID, ENDLESS = Variant("solid", MeshOptions(mode="solid")), Variant("endless")
FILLED = Variant("solid, other frames", MeshOptions(mode="solid", other_frames=True))


def main() -> int:
    """Write the pictures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    source = args.evaluation / "eval.json"
    if not source.is_file():
        print(f"{source} is not there; run scripts/run_eval.py first.", file=sys.stderr)
        return 2
    args.output.mkdir(parents=True, exist_ok=True)
    folders = {path.name.rsplit("_", 1)[0]: path for path in find_scenes(args.scenes)}
    scores = read_scores(json.loads(source.read_text()))
    save(args.output / "eval_by_angle.png", angle_plots(scores))
    sides = [side_row(load_scene(folders[kind])) for kind in SIDE_KINDS if kind in folders]
    titles = ["source", "what is truly there", "endless (as published)", "solid", "solid, other frames"]
    save(args.output / "endless_vs_solid.png", sheet(titles, sides))
    worst = sorted(folders, key=lambda kind: -false_share(scores[0], kind))[:3]
    rows = [failure_row(load_scene(folders[kind])) for kind in worst]
    save(
        args.output / "eval_failures.png", sheet(["source", "what is truly there", "solid", "where it is wrong"], rows)
    )
    return 0


def read_scores(evaluation: dict[str, Any]) -> list[VariantScores]:
    """Solid and endless of an eval.json, frames only."""
    found = []
    for variant in (SOLID, ENDLESS):
        rows = evaluation["variants"][variant.name]["frames"]
        frames = [FrameScore(**known(row)) for row in rows]
        found.append(VariantScores(variant, tuple(frames)))
    return found


def known(row: dict[str, Any]) -> dict[str, Any]:
    """The row with NaN where JSON has null."""
    return {name: math.nan if value is None else value for name, value in row.items()}


def false_share(scores: VariantScores, scene: str) -> float:
    """Mean falsely visible share of a scene at the angle of the failures."""
    rows = [f for f in scores.frames if f.scene == scene and abs(f.angle_deg - FAILURE_ANGLE) < 2]
    return float(np.mean([r.false_visible_known for r in rows])) if rows else 0.0


def angle_plots(scores: list[VariantScores]) -> UInt8:
    """Mask IoU, coverage and false share over the angle, side by side."""
    drawn = [
        plots.by_angle(scores, "iou", "mask IoU"),
        plots.by_angle(scores, "coverage", "share of the picture that is shown (%)", percent=True),
        plots.by_angle(scores, "false_visible_known", "shown but not true, of what is shown (%)", percent=True),
    ]
    images = [
        cv2.cvtColor(cv2.imdecode(np.frombuffer(p, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB) for p in drawn
    ]
    return np.ascontiguousarray(np.hstack(images), np.uint8)


def nearest(scene: Scene, angle: float) -> tuple[Target, int]:
    """The orbit frame of ``scene`` nearest ``angle``."""
    orbits = [t for t in scene.targets if t.kind == "orbit"]
    target = min(orbits, key=lambda t: float(np.abs(t.angle_deg - angle).min()))
    return target, int(np.abs(target.angle_deg - angle).argmin())


def side_row(scene: Scene) -> list[UInt8]:
    """Source, truth and the guides of both meshes, and of the solid one with other frames."""
    target, i = nearest(scene, SIDE_ANGLE)
    one, draw = target.frames_only([i]), GuideDrawer("cpu", RasterOptions())
    t = int(target.trajectory.source_time[i] + 0.5)
    row = [scene.clip.frames[t], target.frames[i]]
    for variant in (ENDLESS, SOLID, FILLED):
        colour, mask, _ = draw(scene.clip, one, variant)
        row.append(checkered(colour[0], mask[0]))
    return row


def failure_row(scene: Scene) -> list[UInt8]:
    """Source, truth, guide and its errors."""
    target, i = nearest(scene, FAILURE_ANGLE)
    if target.truth is None:
        raise SystemExit(f"{scene.name} has no truth for {target.name}; make the scene again.")
    colour, mask, _ = GuideDrawer("cpu", RasterOptions())(scene.clip, target.frames_only([i]), SOLID)
    t = int(target.trajectory.source_time[i] + 0.5)
    errors = error_map(mask[0], target.truth, i)
    return [scene.clip.frames[t], target.frames[i], checkered(colour[0], mask[0]), errors]


def sheet(titles: list[str], rows: list[list[UInt8]]) -> UInt8:
    """Rows of tiles under titles, with the legend below where a row has an error map."""
    columns = len(titles)
    width = columns * TILE + (columns + 1) * GAP
    legend = BAND if any((tile == FALSE).all(axis=2).any() for row in rows for tile in row[-1:]) else 0
    page = Image.new("RGB", (width, BAND + len(rows) * (TILE + GAP) + GAP + legend), PAGE)
    pen = ImageDraw.Draw(page)
    for c, title in enumerate(titles):
        pen.text((GAP + c * (TILE + GAP) + 2, 6), title, fill=INK)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            scaled = cv2.resize(tile, (TILE, TILE), interpolation=cv2.INTER_AREA)
            page.paste(Image.fromarray(scaled), (GAP + c * (TILE + GAP), BAND + r * (TILE + GAP)))
    x = GAP
    for colour, text in LEGEND if legend else ():
        pen.rectangle((x, page.height - BAND + 5, x + 10, page.height - BAND + 15), fill=colour)
        pen.text((x + 15, page.height - BAND + 4), text, fill=INK)
        x += 30 + int(pen.textlength(text))
    return np.asarray(page)


def save(path: Path, image: UInt8) -> None:
    """As a PNG of 256 colours, small enough for a repository."""
    picture = Image.fromarray(image)
    palette = picture.quantize(256)
    picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(f"{path}  {path.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    sys.exit(main())
