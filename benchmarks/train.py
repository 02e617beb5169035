"""What training costs on a GPU, beside plain diffusers + peft in the same run. JSON out.

    python benchmarks/train.py --out results.json [--only SECTION ...] [--tiny] [--steps N]

All weights are random numbers of the true 14B shapes (``--tiny``: the same script small, on any machine); a step is
forward, backward and AdamW on one clip of 49 x 512x512. A section that fails leaves its error in the JSON and the
others go on; results are written after every section, into what ``--out`` holds already. Sections:

``masks`` clips of rendering masks a second; ``peft`` plain diffusers with peft, eager and compiled; ``ours`` by what is
recomputed; ``fp8`` over an 8-bit base; ``card24`` under an allocator cap of 22 GiB; ``parallel`` DDP and FSDP2 on as
many GPUs as torchrun starts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from train_steps import GIB, TRAIN, Bench, config_of, make_model, ours_step, peft_step, replanned, timed_steps

from ex4d.train.cost import SHARE, recomputed_share
from ex4d.train.model import TrainedModel
from ex4d.train.objective import flow_loss
from ex4d.train.optimiser import make_optimizer


def measure_kinds(bench: Bench, kinds: dict[str, dict[str, Any]], **base: Any) -> dict[str, Any]:
    """A step for each of several ways to use the memory, of the same weights."""
    found: dict[str, Any] = {}
    model = make_model(bench, config_of(bench, **base))
    for name, memory in kinds.items():
        if bench.args.kinds and name not in bench.args.kinds:
            continue
        try:
            config = config_of(bench, **base, **memory)
            model = replanned(bench, model, config)
            share = recomputed_share(config.memory, bench.sizes.transformer["num_layers"])
            found[name] = timed_steps(bench, ours_step(bench, model), recomputed=share, config=config)
            if config.memory.eased_blocks:
                found[name]["eased"] = config.memory.eased_blocks
        except Exception as error:  # noqa: BLE001 - the other kinds are worth having
            found[name] = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        print(name, found[name], flush=True)
    return found


def measure_ours(bench: Bench) -> dict[str, Any]:
    """Each kind of recomputation, one in as much memory as is left, and with blocks' inputs on the host."""
    kinds: dict[str, dict[str, Any]] = {name: {"recompute": name} for name in SHARE}
    kinds["products_eased"] = {"recompute": "products", "eased_blocks": bench.args.eased}
    for name in ("full", "attention"):
        kinds[f"{name}_offloaded"] = {"recompute": name, "offload_inputs": True}
    return measure_kinds(bench, kinds)


def measure_fp8(bench: Bench) -> dict[str, Any]:
    """Over an 8-bit base: recomputed in full, and with what attention made kept."""
    return measure_kinds(bench, {name: {"recompute": name} for name in ("full", "attention")}, base="fp8")


def measure_peft(bench: Bench) -> dict[str, Any]:
    """diffusers' transformer with peft's LoRA, eager, then compiled."""
    bench.free()
    model, step = peft_step(bench)
    found = {"eager": timed_steps(bench, step)}
    print("peft eager", found["eager"], flush=True)
    if bench.compiled:
        for block in model.blocks:
            block.compile()
        found["compiled"] = timed_steps(bench, step)
        print("peft compiled", found["compiled"], flush=True)
    return found


def measure_card24(bench: Bench) -> dict[str, Any]:
    """8-bit base, half of the blocks swapped, under a cap of 22 GiB."""
    bench.free()
    if bench.device.type == "cuda":
        total = torch.cuda.get_device_properties(bench.device).total_memory
        torch.cuda.set_per_process_memory_fraction(22 * GIB / total)
    try:
        swap = bench.args.swap or round(0.6 * bench.sizes.transformer["num_layers"])
        config = config_of(bench, base="fp8", swap_blocks=swap, recompute="full")
        model = make_model(bench, config)
        return {"swapped": swap, **timed_steps(bench, ours_step(bench, model), config=config)}
    finally:
        if bench.device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)


def measure_masks(bench: Bench) -> dict[str, Any]:
    """Rendering masks of random paths, eroded, left on the device: clips a second, endless, solid and mixed."""
    from ex4d.engines.wan.erosion import erosion_kernels
    from ex4d.train.masks import GpuMasks, eroded_on_device
    from ex4d.train.paths import random_path

    count, side = (49, 512) if not bench.args.tiny else (5, 64)
    clip = mask_clip(count, side)
    found: dict[str, Any] = {}
    renderer = GpuMasks(clip)
    chance = np.random.default_rng(0)
    for mode in ("endless", "solid"):

        def one(mode: Any = mode) -> Tensor:
            mask = renderer.on_device(mode, random_path(clip, chance).trajectory)
            return eroded_on_device(mask, erosion_kernels(int(chance.integers(1 << 30)), count))

        for _ in range(3):
            mask = one()
        bench.sync()
        began, made = time.monotonic(), 30
        for _ in range(made):
            mask = one()
        bench.sync()
        seconds = (time.monotonic() - began) / made
        found[mode] = {"clips_per_second": round(1 / seconds, 1), "hidden": round(1 - float(mask.float().mean()), 3)}
    renderer.close()
    fresh = []
    for _ in range(3):  # a clip that the device has never seen: mesh, upload and one mask
        began = time.monotonic()
        renderer = GpuMasks(clip)
        one_mask = renderer.on_device("solid", random_path(clip, chance).trajectory)
        bench.sync()
        fresh.append(time.monotonic() - began)
        renderer.close()
        del one_mask
    found["fresh_solid_clip_seconds"] = round(float(np.median(fresh)), 3)
    return found


def mask_clip(count: int, side: int) -> Any:
    """A wavy ground with blocks that stand before it and move."""
    from ex4d.types import Clip
    from ex4d_ground.cameras import Intrinsics

    y, x = np.mgrid[:side, :side] / side
    depth = np.repeat((4 + 2 * y + 0.5 * np.sin(9 * x))[None], count, 0).astype(np.float32)
    frames = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    for t in range(count):
        for i in range(5):
            left, top = int((0.1 + 0.16 * i + 0.002 * t) * side), int((0.2 + 0.1 * i) * side)
            depth[t, top : top + side // 4, left : left + side // 9] = 2 + 0.3 * i
    focal = 0.9 * side
    return Clip(frames, depth, Intrinsics(focal, focal, side / 2, side / 2, side, side))


def measure_parallel(bench: Bench) -> dict[str, Any]:
    """On every process that torchrun started: DDP, then FSDP2; clips a second of all together."""
    import torch.distributed as dist
    from torch.distributed.fsdp import fully_shard

    backend = "nccl" if bench.device.type == "cuda" else "gloo"
    if not dist.is_initialized():
        dist.init_process_group(backend)
    world, found = dist.get_world_size(), {}
    model = make_model(bench, config_of(bench))
    alone = timed_steps(bench, ours_step(bench, model))
    dist.barrier()
    found["one_process"] = alone
    kwargs: dict[str, Any] = {"device_ids": [bench.device.index]} if bench.device.type == "cuda" else {}
    kwargs |= {"broadcast_buffers": False, "gradient_as_bucket_view": True}
    wrapped = torch.nn.parallel.DistributedDataParallel(model, **kwargs)
    found["ddp"] = timed_steps(bench, _wrapped_step(bench, model, wrapped))
    found["ddp"]["speedup"] = round(world * alone["seconds"] / found["ddp"]["seconds"], 3)
    del wrapped
    bench.free()
    for block in model.blocks:
        fully_shard(block)
    fully_shard(model)
    bench.free()
    found["fsdp2"] = timed_steps(bench, _wrapped_step(bench, model, model))
    found["fsdp2"]["speedup"] = round(world * alone["seconds"] / found["fsdp2"]["seconds"], 3)
    found["processes"] = world
    return found


def _wrapped_step(bench: Bench, model: TrainedModel, wrapped: Any) -> Callable[[int], Tensor]:
    batch, optimizer = bench.batch(), make_optimizer(model.trained().values(), TRAIN)
    one = torch.ones(1, device=bench.device)

    def step(index: int) -> Tensor:
        noise = torch.randn(batch.latents.shape, device=bench.device)
        optimizer.zero_grad(set_to_none=True)
        with model.attention():
            loss = flow_loss(wrapped, batch, noise, one * (0.3 + 0.1 * (index % 5)), one, one).loss
            loss.backward()
        optimizer.step()
        return loss

    return step


def environment(bench: Bench) -> dict[str, Any]:
    import diffusers
    import peft

    found: dict[str, Any] = {
        "torch": torch.__version__, "diffusers": diffusers.__version__, "peft": peft.__version__,
        "tokens": bench.sizes.tokens, "size": f"{bench.sizes.frames} x {bench.sizes.width}x{bench.sizes.height}",
    }  # fmt: skip
    if bench.device.type == "cuda":
        properties = torch.cuda.get_device_properties(bench.device)
        found |= {"gpu": properties.name, "gpu_gib": round(properties.total_memory / GIB, 1)}
    return found


SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "environment": environment,
    "masks": measure_masks,
    # Before ours: once a choice of attention has been in force, torch no longer takes cuDNN's by itself.
    "peft": measure_peft,
    "ours": measure_ours,
    "fp8": measure_fp8,
    "card24": measure_card24,
    "parallel": measure_parallel,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=[n for n in SECTIONS if n != "parallel"])
    parser.add_argument("--kinds", nargs="*", default=[], help="of the sections ours and fp8")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--swap", type=int, default=0, help="blocks of the section card24 that wait on the host")
    parser.add_argument("--eased", type=int, default=16, help="blocks that keep all where the others keep products")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    bench = Bench(args)
    results: dict[str, Any] = json.loads(args.out.read_text()) if args.out and args.out.is_file() else {}
    is_first = int(os.environ.get("RANK", 0)) == 0
    for name in args.only:
        began = time.monotonic()
        try:
            results[name] = SECTIONS[name](bench)
        except Exception as error:  # noqa: BLE001 - the other sections are worth having
            traceback.print_exc()
            results[name] = {"error": f"{type(error).__name__}: {str(error)[:500]}"}
        results[name]["section_seconds"] = round(time.monotonic() - began, 1)
        if is_first:
            print(name, json.dumps(results[name]), flush=True)
            if args.out:
                args.out.parent.mkdir(parents=True, exist_ok=True)
                args.out.write_text(json.dumps(results, indent=1) + "\n")
    return 1 if any("error" in results[name] for name in args.only) else 0


if __name__ == "__main__":
    sys.exit(main())
