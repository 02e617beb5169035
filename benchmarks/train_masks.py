"""Simulated masks beside true occlusions: share hidden, persistence, sizes of holes. JSON and a plot out.

    python benchmarks/train_masks.py OUT.json OUT.png [--scenes N] [--frames T] [--size S]

Scenes are procedural (``ex4d.train.scenes``). A true occlusion is what a second camera, which orbits, sees that the
first one never showed: pixels of its picture whose point is hidden from the first camera at that moment or lies outside
its picture, told by the exact depth of both. Simulated masks are drawn on the first camera's clip, not shrunk: on
pictures this small a few pixels would be a lot.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

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


def measure(args: argparse.Namespace) -> dict[str, Any]:
    options = SceneOptions(frames=args.frames, size=args.size)
    chance = torch.Generator().manual_seed(args.seed)
    found: dict[str, list[np.ndarray]] = {"truth": [], "rendering": [], "rendering_endless": [], "tracking": []}
    recipes = {
        "rendering": MaskRecipe(occluders="solid", erode=False),
        "rendering_endless": MaskRecipe(occluders="endless", erode=False),
        "tracking": MaskRecipe(erode=False),
    }
    seed = 0
    while len(found["truth"]) < args.scenes:
        scenes = Scenes.draw(1, chance, options)
        yaw = (torch.rand(1, generator=chance) * 2 - 1) * options.orbit_deg
        pitch, distance = (torch.rand(1, generator=chance) * 2 - 1) * 8, 3 + 2 * torch.rand(1, generator=chance)
        pose = scenes.orbit(yaw, pitch, distance)
        if not bool(scenes.is_free(pose)):
            continue
        source, target = scenes.render(scenes.still()), scenes.render(pose)
        found["truth"].append(truly_seen(source.depth[0], target.depth[0], pose[0], options.fov_deg))
        frames = (source.colour[0].numpy() * 255).round().astype(np.uint8)
        lens = Intrinsics.from_fov(args.size, args.size, options.fov_deg)
        clip = Clip(frames, source.depth[0].float().numpy(), lens)
        for name, recipe in recipes.items():
            maker = ClipMasks(clip, recipe, renderer=mask_renderer(clip))
            found[name].append(maker.draw_kind("tracking" if name == "tracking" else "rendering", seed).mask)
        seed += 1
    return {
        "scenes": args.scenes, "frames": args.frames, "size": args.size, "seed": args.seed,
        "size_edges": list(SIZE_EDGES),
        "kinds": {name: asdict(hole_statistics(masks)) for name, masks in found.items()},
    }  # fmt: skip


def plot(results: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    shares, times, sizes = figure.subplots(1, 3)
    names = {"truth": "true occlusions", "rendering": "rendering, solid", "rendering_endless": "rendering, endless",
             "tracking": "tracking"}  # fmt: skip
    labels = [f"{100 * a:g}-{100 * b:g}" for a, b in pairwise(SIZE_EDGES)]
    for index, (name, label) in enumerate(names.items()):
        kind = results["kinds"][name]
        shares.bar(index, kind["persistence"], label=label)
        times.plot(np.linspace(0, 100, 10), 100 * np.array(kind["hidden_by_time"]), label=label)
        sizes.plot(labels, 100 * np.array(kind["area_by_size"]), marker="o", markersize=3, label=label)
    shares.set(title="hidden again in the next frame", xticks=[], ylim=(0, 1))
    times.set(title="hidden pixels, %", xlabel="% of the clip")
    sizes.set(title="hidden area by size of hole, %", xlabel="hole, % of the picture")
    sizes.tick_params(axis="x", rotation=60, labelsize=7)
    times.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--frames", type=int, default=13)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    results = measure(args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1) + "\n")
    plot(results, args.picture)
    for name, kind in results["kinds"].items():
        print(f"{name:20} hidden {kind['hidden']:.3f}  persistence {kind['persistence']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
