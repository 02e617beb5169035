"""Simulated masks beside true occlusions: share hidden, persistence, sizes of holes. JSON and a plot out.

    python scripts/make_scenes.py SCENES --moves orbit_right_30 orbit_left_60 --size 128
    python benchmarks/train_masks.py OUT.json OUT.png --blender SCENES [--scenes N] [--frames T] [--size S]

A true occlusion is what a second camera, which orbits, sees that the first one never showed: pixels of its picture
whose point is hidden from the first camera at that moment or lies outside its picture. Two sorts of scenes show it:
SCENES rendered by Blender, where lines of sight were tested, and procedural ones (``ex4d.train.scenes``), where the
exact depth of both cameras tells. Simulated masks are drawn on the first camera's clip, one of each kind for each
second camera, not shrunk: on pictures this small a few pixels would be a lot.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ex4d.eval.dataset import find_scenes, load_scene
from ex4d.train.masks import ClipMasks, MaskRecipe, mask_renderer
from ex4d.train.scenes import SceneOptions, Scenes
from ex4d.train.statistics import SIZE_EDGES, hole_statistics
from ex4d.types import Clip
from ex4d_ground.cameras import Intrinsics


def truly_seen(source_depth: torch.Tensor, depth: torch.Tensor, pose: torch.Tensor, fov_deg: float) -> np.ndarray:
    """[T, H, W] bool: which of the second camera's pixels the first camera shows at the same moment."""
    count, height, width = depth.shape
    focal = 0.5 * width / math.tan(math.radians(fov_deg) / 2)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    ray = torch.stack([(x - width / 2) / focal, (y - height / 2) / focal, torch.ones_like(x)], -1)
    point = ray * depth[..., None]
    point = torch.einsum("tij,thwj->thwi", pose[:, :3, :3], point) + pose[:, None, None, :3, 3]
    z = point[..., 2].clamp_min(1e-6)
    u = (point[..., 0] / z * focal + width / 2).floor().long()
    v = (point[..., 1] / z * focal + height / 2).floor().long()
    inside = (u >= 0) & (v >= 0) & (u < width) & (v < height) & (point[..., 2] > 0)
    frame = torch.arange(count).view(-1, 1, 1).expand_as(u)
    there = source_depth[frame, v.clamp(0, height - 1), u.clamp(0, width - 1)]
    return (inside & ((there - z).abs() < 0.03 * z + 0.02)).numpy()


RECIPES = {
    "rendering": MaskRecipe(occluders="solid", erode=False),
    "rendering_endless": MaskRecipe(occluders="endless", erode=False),
    "tracking": MaskRecipe(erode=False),
}


def procedural(args: argparse.Namespace) -> Iterator[tuple[Clip, np.ndarray]]:
    """Clips of drawn scenes, and which pixels of a second camera each shows."""
    options = SceneOptions(frames=args.frames, size=args.size)
    lens = Intrinsics.from_fov(args.size, args.size, options.fov_deg)
    chance = torch.Generator().manual_seed(args.seed)
    found = 0
    while found < args.scenes:
        scenes = Scenes.draw(1, chance, options)
        yaw = (torch.rand(1, generator=chance) * 2 - 1) * options.orbit_deg
        pitch, distance = (torch.rand(1, generator=chance) * 2 - 1) * 8, 3 + 2 * torch.rand(1, generator=chance)
        pose = scenes.orbit(yaw, pitch, distance)
        if not bool(scenes.is_free(pose)):
            continue
        found += 1
        source, target = scenes.render(scenes.still()), scenes.render(pose)
        frames = (source.colour[0].numpy() * 255).round().astype(np.uint8)
        seen = truly_seen(source.depth[0], target.depth[0], pose[0], options.fov_deg)
        yield Clip(frames, source.depth[0].float().numpy(), lens), seen


def rendered(folder: Path) -> Iterator[tuple[Clip, np.ndarray]]:
    """The same of every orbit of the ground-truth scenes below ``folder``, whose lines of sight Blender tested."""
    for path in find_scenes(folder):
        scene = load_scene(path)
        for target in scene.targets:
            if target.kind == "orbit" and target.truth is not None and len(target.frames) == len(scene.clip.frames):
                yield scene.clip, target.truth.visible


def statistics(pairs: Iterable[tuple[Clip, np.ndarray]]) -> dict[str, Any]:
    """What true occlusions are like, and what masks of each kind on the same clips are like."""
    size, frames = (0, 0), 0
    found: dict[str, list[np.ndarray]] = {"truth": [], **{name: [] for name in RECIPES}}
    for seed, (clip, seen) in enumerate(pairs):
        found["truth"].append(seen)
        size, frames = (clip.width, clip.height), len(clip.frames)
        for name, recipe in RECIPES.items():
            maker = ClipMasks(clip, recipe, renderer=mask_renderer(clip))
            found[name].append(maker.draw_kind("tracking" if name == "tracking" else "rendering", seed).mask)
    if not found["truth"]:
        sys.exit("These scenes have no orbit with a true visibility; make them with --moves orbit_right_30.")
    kinds = {name: asdict(hole_statistics(masks)) for name, masks in found.items()}
    return {"views": len(found["truth"]), "size": size, "frames": frames, "kinds": kinds}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Both sorts of scenes, or the procedural ones alone."""
    results = {"seed": args.seed, "size_edges": list(SIZE_EDGES), "procedural": statistics(procedural(args))}
    if args.blender:
        results["blender"] = statistics(rendered(args.blender))
    return results


SORTS = {"blender": "scenes of Blender", "procedural": "procedural scenes"}
LABELS = {"truth": "true occlusions", "rendering": "rendering, solid", "rendering_endless": "rendering, endless",
          "tracking": "tracking"}  # fmt: skip


def _plot_row(row: Any, scenes: str, kinds: dict[str, Any]) -> None:
    shares, times, sizes = row
    holes = [f"{100 * a:g}-{100 * b:g}" for a, b in pairwise(SIZE_EDGES)]
    for index, (name, label) in enumerate(LABELS.items()):
        shares.bar(index, kinds[name]["persistence"], label=label)
        times.plot(np.linspace(0, 100, 10), 100 * np.array(kinds[name]["hidden_by_time"]), label=label)
        sizes.plot(holes, 100 * np.array(kinds[name]["area_by_size"]), marker="o", markersize=3, label=label)
    shares.set(title="hidden again in the next frame", ylabel=scenes, xticks=[], ylim=(0, 1))
    times.set(title="hidden pixels, %", xlabel="% of the clip")
    sizes.set(title="hidden area by size of hole, %", xlabel="hole, % of the picture")
    sizes.tick_params(axis="x", rotation=60, labelsize=7)
    times.legend(fontsize=7)


def plot(results: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    sorts = [sort for sort in ("blender", "procedural") if sort in results]
    figure = Figure(figsize=(11, 3.4 * len(sorts)), layout="constrained")
    for row, sort in zip(figure.subplots(len(sorts), 3, squeeze=False), sorts, strict=True):
        _plot_row(row, SORTS[sort], results[sort]["kinds"])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--blender", type=Path, metavar="SCENES", help="ground-truth scenes of scripts/make_scenes.py")
    parser.add_argument("--scenes", type=int, default=40, help="procedural scenes (default 40)")
    parser.add_argument("--frames", type=int, default=13)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    results = measure(args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1) + "\n")
    plot(results, args.picture)
    for sort in SORTS.keys() & results.keys():
        for name, kind in results[sort]["kinds"].items():
            print(f"{sort:11} {name:18} hidden {kind['hidden']:.3f}  persistence {kind['persistence']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
