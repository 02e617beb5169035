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
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from wan_models import RandomSources, Sizes, real_sizes, tiny_sizes

from ex4d.engines.wan.conditioning import image_condition
from ex4d.engines.wan.plan import ModelSize
from ex4d.train.building import build_from
from ex4d.train.config import Train, TrainConfig, parse_config
from ex4d.train.cost import SHARE, step_tflop
from ex4d.train.model import Batch, Recompute, TrainedModel
from ex4d.train.objective import flow_loss
from ex4d.train.optimiser import make_optimizer

GIB = 2**30
TRAIN = Train(learning_rate=3e-5)


class Bench:
    def __init__(self, args: argparse.Namespace):
        self.args = args
        has_gpu = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if has_gpu else torch.device("cpu")
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        self.sizes: Sizes = tiny_sizes() if args.tiny else real_sizes()
        self.compiled = not args.tiny
        self.sources = RandomSources(self.sizes, self.device)

    def batch(self, seed: int = 0) -> Batch:
        """A random sample of the clip's size, on the device."""
        chance = torch.Generator(self.device).manual_seed(seed)
        shape = self.sizes.latent_shape

        def noise(*size: int) -> Tensor:
            return torch.randn(size, generator=chance, device=self.device)

        config = self.sizes.transformer
        image = image_condition(noise(*shape))
        context, clip = noise(1, 512, config["text_dim"]), noise(1, 257, config["image_dim"])
        hidden = torch.rand(shape[0], *shape[2:], device=self.device)
        return Batch(noise(*shape), image, noise(*shape), noise(*shape), clip, context, hidden)

    def free(self) -> None:
        gc.collect()
        torch._dynamo.reset()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def timed_steps(bench: Bench, step: Callable[[int], Tensor], *, recomputed: float, warm: int = 2) -> dict[str, Any]:
    """Seconds of a step (median), its peak memory and its work; the first steps compile and are told apart."""
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.monotonic()
    for index in range(warm):
        loss = step(index)
    bench.sync()
    first = time.monotonic() - began
    times = []
    for index in range(bench.args.steps):
        began = time.monotonic()
        loss = step(warm + index)
        bench.sync()
        times.append(time.monotonic() - began)
    seconds = float(np.median(times))
    found: dict[str, Any] = {
        "seconds": round(seconds, 4), "spread": [round(min(times), 4), round(max(times), 4)],
        "first_steps_seconds": round(first, 1), "loss": round(float(loss.detach()), 4),
        "tflop": round(step_tflop(bench.sizes.tokens, ModelSize.of(bench.sizes.transformer), recomputed), 1),
    }  # fmt: skip
    found["tflop_per_second"] = round(found["tflop"] / seconds, 1)
    if bench.device.type == "cuda":
        found["peak_gib"] = round(torch.cuda.max_memory_allocated() / GIB, 2)
        found["reserved_gib"] = round(torch.cuda.max_memory_reserved() / GIB, 2)
    return found


def config_of(bench: Bench, **memory: Any) -> TrainConfig:
    width = bench.sizes.geometry_hidden
    precision = {"precision": "float32"} if bench.device.type == "cpu" else {}
    tables = {"model": {"rank": bench.sizes.lora_rank, "alpha": bench.sizes.lora_rank, "geometry_width": width},
              "memory": {"compile": bench.compiled, **precision, **memory}}  # fmt: skip
    return parse_config(tables, Path())


def make_model(bench: Bench, config: TrainConfig) -> TrainedModel:
    bench.free()
    return build_from(bench.sources.open("transformer"), config, bench.device)


def ours_step(bench: Bench, model: TrainedModel) -> Callable[[int], Tensor]:
    batch, optimizer = bench.batch(), make_optimizer(model.trained().values(), TRAIN)
    one = torch.ones(1, device=bench.device)
    parameters = list(model.trained().values())

    def step(index: int) -> Tensor:
        noise = torch.randn(batch.latents.shape, device=bench.device)
        optimizer.zero_grad(set_to_none=True)
        with model.attention():
            loss = flow_loss(model, batch, noise, one * (0.3 + 0.1 * (index % 5)), one, one).loss
            loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss

    return step


def replanned(bench: Bench, model: TrainedModel, recompute: list[Recompute], *, offload: bool = False) -> TrainedModel:
    """The same weights with other recomputation, so that 33 GB need not be drawn again."""
    from torch import nn

    bench.free()
    outside = model.outside
    outside.blocks = nn.ModuleList(block.block for block in model.blocks)
    plan = replace(model.plan, recompute=recompute, offload_inputs=offload)
    return TrainedModel(outside, model.geometry, plan).to_device(bench.device)


def measure_ours(bench: Bench) -> dict[str, Any]:
    """Each kind of recomputation, then mixtures that fill 44 and 120 GiB."""
    found: dict[str, Any] = {}
    model = make_model(bench, config_of(bench))
    layers = len(model.blocks)
    kinds: dict[str, list[Recompute]] = {
        "full": ["full"],
        "attention": ["attention"],
        "attention_in_12": ["attention" if i < 12 else "full" for i in range(layers)],
        "products": ["products"],
        "products_in_half": ["products" if i % 2 else "attention" for i in range(layers)],
        "kept": ["kept"],
        "kept_in_8": ["kept" if i < 8 else "products" for i in range(layers)],
        "attention_offloaded": ["attention"],
        "full_offloaded": ["full"],
    }
    for name, recompute in kinds.items():
        if bench.args.kinds and name not in bench.args.kinds:
            continue
        try:
            model = replanned(bench, model, recompute, offload=name.endswith("offloaded"))
            share = sum(SHARE[kind] for kind in recompute) / len(recompute)
            found[name] = timed_steps(bench, ours_step(bench, model), recomputed=share)
        except Exception as error:  # noqa: BLE001 - the other kinds are worth having
            found[name] = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        print(name, found[name], flush=True)
    return found


def measure_fp8(bench: Bench) -> dict[str, Any]:
    """Over an 8-bit base: recomputed in full, and with what attention made kept."""
    found: dict[str, Any] = {}
    model = make_model(bench, config_of(bench, base="fp8"))
    kinds: dict[str, list[Recompute]] = {"full": ["full"], "attention": ["attention"]}
    for name, recompute in kinds.items():
        model = replanned(bench, model, recompute)
        found[name] = timed_steps(bench, ours_step(bench, model), recomputed=SHARE[recompute[0]])
        print("fp8", name, found[name], flush=True)
    return found


def measure_card24(bench: Bench) -> dict[str, Any]:
    """8-bit base, half of the blocks swapped, under a cap of 22 GiB."""
    bench.free()
    if bench.device.type == "cuda":
        total = torch.cuda.get_device_properties(bench.device).total_memory
        torch.cuda.set_per_process_memory_fraction(22 * GIB / total)
    try:
        swap = bench.args.swap or round(0.6 * bench.sizes.transformer["num_layers"])
        model = make_model(bench, config_of(bench, base="fp8", swap_blocks=swap))
        return {"swapped": swap, **timed_steps(bench, ours_step(bench, model), recomputed=1.0)}
    finally:
        if bench.device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)


def measure_peft(bench: Bench) -> dict[str, Any]:
    """diffusers' transformer with peft's LoRA, its own checkpointing and the geometry hook: eager, then compiled."""
    from peft import LoraConfig

    from ex4d.engines.wan.geometry import GeometryEncoder, geometry_tokens
    from ex4d.engines.wan.loading import TransformerPlan, load_transformer

    bench.free()
    dtype = torch.bfloat16 if bench.device.type == "cuda" else torch.float32
    where = TransformerPlan(bench.device, dtype, conditioning_on_device=True)
    model = load_transformer(bench.sources.open("transformer"), where).to(dtype)
    rank = bench.sizes.lora_rank
    targets = ["to_q", "to_k", "to_v", "to_out.0", "net.0.proj", "net.2"]
    targets = [f"blocks.{i}.{part}" for i in range(len(model.blocks)) for part in (
        *(f"attn{a}.{t}" for a in (1, 2) for t in targets[:4]), "ffn.net.0.proj", "ffn.net.2")]  # fmt: skip
    model.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets))
    for p in model.parameters():
        if p.requires_grad:
            p.data = p.data.to(dtype)
    model.train()
    model.enable_gradient_checkpointing()
    geometry = GeometryEncoder(32, bench.sizes.geometry_hidden, bench.sizes.dim).to(bench.device)
    parameters = [p for p in [*model.parameters(), *geometry.parameters()] if p.requires_grad]
    optimizer = make_optimizer(parameters, TRAIN)
    batch = bench.batch()

    def step(index: int) -> Tensor:
        noise, sigma = torch.randn_like(batch.latents), 0.3 + 0.1 * (index % 5)
        optimizer.zero_grad(set_to_none=True)
        noisy = torch.cat([(1 - sigma) * batch.latents + sigma * noise, batch.image], dim=1).to(dtype)
        tokens = geometry(batch.colour, batch.mask).to(dtype)
        timestep = torch.tensor([sigma * 1000], device=bench.device)
        with geometry_tokens(model.patch_embedding, tokens):
            out = model(noisy, timestep, batch.context.to(dtype), batch.clip_fea.to(dtype), return_dict=False)[0]
        loss = (out.float() - (noise - batch.latents)).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss

    found = {"eager": timed_steps(bench, step, recomputed=1.0)}
    print("peft eager", found["eager"], flush=True)
    if bench.compiled:
        for block in model.blocks:
            block.compile()
        found["compiled"] = timed_steps(bench, step, recomputed=1.0)
        print("peft compiled", found["compiled"], flush=True)
    return found


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
    alone = timed_steps(bench, ours_step(bench, model), recomputed=1.0)
    dist.barrier()
    found["one_process"] = alone
    kwargs: dict[str, Any] = {"device_ids": [bench.device.index]} if bench.device.type == "cuda" else {}
    kwargs |= {"broadcast_buffers": False, "gradient_as_bucket_view": True}
    wrapped = torch.nn.parallel.DistributedDataParallel(model, **kwargs)
    found["ddp"] = timed_steps(bench, _wrapped_step(bench, model, wrapped), recomputed=1.0)
    found["ddp"]["speedup"] = round(world * alone["seconds"] / found["ddp"]["seconds"], 3)
    del wrapped
    bench.free()
    for block in model.blocks:
        fully_shard(block)
    fully_shard(model)
    bench.free()
    found["fsdp2"] = timed_steps(bench, _wrapped_step(bench, model, model), recomputed=1.0)
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
    "ours": measure_ours,
    "fp8": measure_fp8,
    "card24": measure_card24,
    "peft": measure_peft,
    "parallel": measure_parallel,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=[n for n in SECTIONS if n != "parallel"])
    parser.add_argument("--kinds", nargs="*", default=[], help="of the section ours")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--swap", type=int, default=0, help="blocks of the section card24 that wait on the host")
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
