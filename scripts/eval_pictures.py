"""Make the documentation's pictures of the evaluation from what scripts/run_eval.py left.

    python scripts/eval_pictures.py OUT SCENES [--limits FILE] [--output docs/images]

OUT holds eval.json; SCENES are the scenes it was made from. Writes endless_vs_solid.png (one moment from the side, both
meshes) and eval_by_angle.png (what both keep and get wrong over the angle). With what scripts/eval_limits.py found out
about the same scenes also eval_failures.webp and eval_colours.webp: every scene that misses a bar, and why.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from failure_pictures import SOLID, colour_failures, mask_failures, nearest
from PIL import Image, ImageDraw

from ex4d.eval import Scene, Variant, VariantScores, find_scenes, load_scene, plots
from ex4d.eval.geometry import FrameScore, GuideDrawer
from ex4d.eval.run import known
from ex4d.pictures import checkered
from ex4d_ground.arrays import UInt8
from ex4d_ground.options import MeshOptions, RasterOptions

SIDE_KINDS = ("figures", "thin", "interior")
SIDE_ANGLE = 30.0
TILE, GAP, BAND = 256, 6, 22
PAGE, INK = (250, 250, 248), (32, 36, 44)
ENDLESS = Variant("endless")
FILLED = Variant("solid, other frames", MeshOptions(mode="solid", other_frames=True))


def main() -> int:
    """Write the pictures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--limits", type=Path, help="limits.json of scripts/eval_limits.py")
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
    if args.limits is not None:
        limits = json.loads(args.limits.read_text())
        save_photos(args.output / "eval_failures.webp", mask_failures(limits, folders))
        save_photos(args.output / "eval_colours.webp", colour_failures(limits, folders))
    return 0


def read_scores(evaluation: dict[str, Any]) -> list[VariantScores]:
    """Solid and endless of an eval.json, frames only."""
    found = []
    for variant in (SOLID, ENDLESS):
        rows = evaluation["variants"][variant.name]["frames"]
        frames = [FrameScore(**known(row)) for row in rows]
        found.append(VariantScores(variant, tuple(frames)))
    return found


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


def side_row(scene: Scene) -> list[UInt8]:
    """Source, truth and the guides of both meshes, and of the solid one with other frames."""
    target, _, i = nearest(scene, SIDE_ANGLE)
    one, draw = target.frames_only([i]), GuideDrawer("cpu", RasterOptions())
    t = int(target.trajectory.source_time[i] + 0.5)
    row = [scene.clip.frames[t], target.frames[i]]
    for variant in (ENDLESS, SOLID, FILLED):
        colour, mask, _ = draw(scene.clip, one, variant)
        row.append(checkered(colour[0], mask[0]))
    return row


def sheet(titles: list[str], rows: list[list[UInt8]]) -> UInt8:
    """Rows of tiles under titles."""
    width = len(titles) * (TILE + GAP) + GAP
    page = Image.new("RGB", (width, BAND + len(rows) * (TILE + GAP) + GAP), PAGE)
    pen = ImageDraw.Draw(page)
    for c, title in enumerate(titles):
        pen.text((GAP + c * (TILE + GAP) + 2, 6), title, fill=INK)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            scaled = cv2.resize(tile, (TILE, TILE), interpolation=cv2.INTER_AREA)
            page.paste(Image.fromarray(scaled), (GAP + c * (TILE + GAP), BAND + r * (TILE + GAP)))
    return np.asarray(page)


def save(path: Path, image: UInt8) -> None:
    """As a PNG of 256 colours, small enough for a repository."""
    picture = Image.fromarray(image)
    palette = picture.quantize(256)
    picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(f"{path}  {path.stat().st_size / 1000:.0f} KB")


def save_photos(path: Path, page: Image.Image) -> None:
    """As a WebP: many colours, still small."""
    page.save(path, quality=82, method=6)
    print(f"{path}  {path.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    sys.exit(main())
