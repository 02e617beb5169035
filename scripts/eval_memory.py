"""What world memory is worth: scenes whose source camera moves, judged by what it saw at any time.

    python scripts/eval_memory.py SCENES OUT                 score and draw
    python scripts/eval_memory.py SCENES OUT --summary FILE  and the numbers to FILE

SCENES is made by make_scenes.py --moves orbit_right_30 orbit_left_60. Each orbit in turn becomes the source
(scripts/moving_sources.py), the others and the camera that stood still are the targets. Scored where source and target
are 30 degrees apart, with true depth and with depth made worse; what counts as known says ex4d.eval.memory. Writes
OUT/memory.json and OUT/memory.png: truth, solid, other frames and memory side by side, then what of the last is right
(blue), missing (red) and false (green).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.eval import find_scenes, load_scene
from ex4d.eval.dataset import Scene
from ex4d.eval.memory import MemoryScore, View, known_views, memory_scores
from ex4d.eval.metrics import known_mean
from ex4d.eval.perturb import perturbed
from ex4d.eval.tables import Table, number, percent
from ex4d_ground.arrays import UInt8
from ex4d_ground.options import MeshOptions

ANGLE_DEG = 30
SOURCES = ("orbit_right_30", "orbit_left_60")
FAULT = "drift+blur"
VARIANTS = {
    "solid": MeshOptions(mode="solid"),
    "other frames": MeshOptions(mode="solid", other_frames=True),
    "world memory": MeshOptions(mode="solid", other_frames=True, world_memory=True),
}
METRICS = ("iou", "recall", "false_visible", "right", "psnr")
Key = tuple[str, str, str]  # depth, scene, variant


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sources", nargs="+", default=SOURCES, help="the orbits that become sources")
    parser.add_argument("--summary", type=Path, help="also write the numbers to this JSON file")
    args = parser.parse_args()
    rows: dict[Key, list[MemoryScore]] = {}
    pictures = []
    for source in args.sources:
        for folder in find_scenes(moved(args.scenes, args.out / source, source)):
            print(source, folder.name, file=sys.stderr, flush=True)
            scene = load_scene(folder)
            views = known_views(scene, ANGLE_DEG)
            pictures += list(score(scene, views, rows))
    result = as_json(rows, args.sources)
    for path in filter(None, (args.out / "memory.json", args.summary)):
        path.write_text(json.dumps(result, indent=1) + "\n")
    cv2.imwrite(str(args.out / "memory.png"), np.concatenate(pictures)[..., ::-1])
    print(table(result).text())


def moved(scenes: Path, out: Path, source: str) -> Path:
    """The scenes with another source, as links."""
    maker = Path(__file__).parent / "moving_sources.py"
    command = [sys.executable, str(maker), str(scenes), str(out), "--source", source, "--standing"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out


def score(scene: Scene, views: list[View], rows: dict[Key, list[MemoryScore]]) -> Iterator[UInt8]:
    """Add a scene's scores to ``rows``; its views with true depth, as rows of a contact sheet."""
    for depth in ("true", FAULT):
        clip = scene.clip
        if depth != "true":
            clip = replace(clip, depth=perturbed(np.asarray(clip.depth), depth))
        drawn = []
        for name, options in VARIANTS.items():
            scores, guides = memory_scores(DWMesh(clip, options), views)
            rows.setdefault((depth, scene.name, name), []).extend(scores)
            drawn.append(guides)
        if depth == "true":
            for n, view in enumerate(views):
                known, mask = view.truth.visible[0], drawn[-1][n][1]
                verdict = np.stack([known & ~mask, mask & ~known, known & mask], axis=-1) * np.array(
                    [255, 255, 130], np.uint8
                )
                tiles = [view.target.frames[view.frame], *(guides[n][0] for guides in drawn), verdict]
                yield np.concatenate(tiles, axis=1).astype(np.uint8)


def as_json(rows: dict[Key, list[MemoryScore]], sources: list[str]) -> dict:
    """Means over each scene's views, by depth, scene and variant."""

    def means(scores: list[MemoryScore]) -> dict[str, float]:
        values = {m: [getattr(s if hasattr(s, m) else s.masks, m) for s in scores] for m in METRICS}
        return {m: round(known_mean(v), 2 if m == "psnr" else 4) for m, v in values.items()}

    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for (depth, scene, variant), scores in rows.items():
        found.setdefault(depth, {}).setdefault(scene, {})[variant] = means(scores)
    views = len(next(iter(rows.values())))
    head = {"format": "ex4d-eval-memory", "version": 1, "angle_deg": ANGLE_DEG, "sources": list(sources)}
    return {**head, "views_per_scene": views, "scores": found}


def table(result: dict) -> Table:
    """A line per depth, scene and variant."""
    lines = [
        [
            depth,
            scene,
            variant,
            number(m["iou"], 3),
            percent(m["false_visible"]),
            percent(m["right"]),
            f"{m['psnr']:.1f}",
        ]
        for depth, scenes in result["scores"].items()
        for scene, variants in scenes.items()
        for variant, m in variants.items()
    ]
    return Table(["depth", "scene", "guides", "mask IoU", "false-visible", "right surface", "PSNR"], lines)


if __name__ == "__main__":
    main()
