"""Takes of a small random model with eight heads, alone or in every process of a group, into a file.

Run by the launcher: ``python -m ... shared_runs OUT CASE...``; the leader writes.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

from wan_models import RandomSources, Sizes, tiny_sizes  # noqa: E402 - a script of the benchmarks

from ex4d.engines.group import Group  # noqa: E402
from ex4d.engines.members import joined  # noqa: E402
from ex4d.engines.wan import fused  # noqa: E402
from ex4d.engines.wan.conditioning import GuideVideos  # noqa: E402
from ex4d.engines.wan.denoiser import BlockProgram  # noqa: E402
from ex4d.engines.wan.pipeline import PipelineOptions, WanPipeline  # noqa: E402
from ex4d.engines.wan.plan import MemoryPlan, Mode  # noqa: E402
from ex4d.engines.wan.sampling import initial_noise  # noqa: E402
from ex4d.engines.wan.schedule import Schedule  # noqa: E402
from ex4d.engines.wan.tiles import Layout, Tile  # noqa: E402

CPU = torch.device("cpu")
HALVES = (fused.self_attention, fused.finish)
FRAMES, HEIGHT, WIDTH = 5, 64, 96
CASES: dict[str, dict[str, Any]] = {
    "exact": {},
    "fast": {"mode": "fast"},
    "fp8": {"mode": "fp8"},
    "turbo": {"mode": "turbo"},
    "offload": {"streamed": True},
    "unguided": {"cfg_scale": 1.0},
    "cached": {"cache": 0.5},
    "compiled": {"mode": "turbo", "compiled": True},
    "tiles": {"tiles": 4},
    "turbo-tiles": {"mode": "turbo", "tiles": 4},
    "three-tiles": {"mode": "turbo", "tiles": 3},
}


def sizes() -> Sizes:
    small = tiny_sizes()
    heads = {"num_attention_heads": 8, "attention_head_dim": 12, "added_kv_proj_dim": 96, "num_layers": 5}
    transformer = {**small.transformer, **heads}
    return replace(
        small, configs={**small.configs, "transformer": transformer}, frames=FRAMES, height=HEIGHT, width=WIDTH
    )


def guides() -> GuideVideos:
    rng = np.random.default_rng(5)
    smooth = np.add.outer(np.linspace(0, 128, HEIGHT), np.linspace(0, 120, WIDTH))[None, :, :, None]
    colour = (smooth + rng.uniform(0, 8, (FRAMES, HEIGHT, WIDTH, 3))).astype(np.uint8)
    mask = np.ones((FRAMES, HEIGHT, WIDTH), bool)
    mask[1:, :, WIDTH // 2 :] = False
    return GuideVideos.from_guides(colour, mask)


def pipeline(mode: Mode, group: Group | None, *, streamed: bool = False) -> WanPipeline:
    layers = sizes().transformer["num_layers"]
    name, resident = ("offload", 0) if streamed else ("resident", layers)
    in_strips = mode == "fp8"  # one of the modes, so that both ways of encoding are run
    plan = MemoryPlan(name, mode == "fp8", resident, False, True, 0, deals_videos=not in_strips)
    return WanPipeline(RandomSources(sizes(), CPU), PipelineOptions(mode, plan, CPU), group=group)


def take(
    group: Group | None,
    *,
    mode: Mode = "exact",
    streamed: bool = False,
    cfg_scale: float = 5.0,
    cache: float = 0.0,
    tiles: int = 0,
    compiled: bool = False,
) -> dict[str, np.ndarray]:
    """Latents after denoising, and the frames, of one window."""
    guided = mode != "turbo" and cfg_scale != 1.0
    generator = torch.Generator().manual_seed(3)
    contexts = [torch.randn(1, 512, 32, generator=generator) for _ in range(2 if guided else 1)]
    noise = initial_noise(11, sizes().latent_shape)
    with pipeline(mode, group, streamed=streamed) as pipe:
        if compiled:  # the blocks as a GPU runs them, traced as a whole, without the kernels
            halves = (torch.compile(half, fullgraph=True, backend="aot_eager") for half in HALVES)
            pipe.denoiser.program = BlockProgram(*halves, "traced")
        videos = guides()
        encoded = pipe.encode(videos, geometry=not tiles)
        if tiles:
            spans = {4: [(0, 48), (16, 64), (32, 80), (48, 96)], 3: [(0, 48), (32, 80), (48, 96)]}[tiles]
            way = Layout(WIDTH, HEIGHT, (WIDTH, HEIGHT), tuple(Tile(0, HEIGHT, *span) for span in spans), 32)
            schedule = Schedule.shifted(3).last(2)
            found = pipe.refined(encoded, contexts, videos.colour, noise, schedule, way, cfg_scale=cfg_scale)
        else:
            schedule = Schedule.shifted(3)
            found = pipe.latents(encoded, contexts, noise, schedule, cfg_scale=cfg_scale, cache_threshold=cache)
        frames = torch.cat(list(pipe.frames(found)), dim=2)
    return {"y": encoded.y.numpy(), "latents": found.numpy(), "frames": frames.numpy()}


def main() -> None:
    torch.set_num_threads(1)
    out, *names = sys.argv[1:]
    group = joined()
    results = {}
    for name in names:
        for key, value in take(group, **CASES[name]).items():
            results[f"{name}/{key}"] = value
    if group is None or group.leads:
        np.savez(out, **results)


if __name__ == "__main__":
    main()
