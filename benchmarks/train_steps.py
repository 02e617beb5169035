"""What benchmarks/train.py measures with: random models of the true shapes, steps of ours and of diffusers + peft."""

from __future__ import annotations

import argparse
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from wan_models import RandomSources, Sizes, real_sizes, tiny_sizes

from ex4d.engines.wan.conditioning import image_condition
from ex4d.engines.wan.plan import ModelSize
from ex4d.train.building import build_from, model_plan
from ex4d.train.config import Train, TrainConfig, parse_config
from ex4d.train.cost import step_cost, step_tflop
from ex4d.train.model import Batch, TrainedModel
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


def timed_steps(
    bench: Bench,
    step: Callable[[int], Tensor],
    *,
    recomputed: float = 1.0,
    warm: int = 2,
    config: TrainConfig | None = None,
) -> dict[str, Any]:
    """Seconds of a step (median), its peak memory and its work; the first steps compile and are told apart.

    With a ``config`` also what ``train doctor`` reckons for it.
    """
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
    return found | (reckoned(bench, config) if config is not None else {})


def reckoned(bench: Bench, config: TrainConfig) -> dict[str, Any]:
    """What ``train doctor`` says about a step of ``config`` on this device."""
    name = torch.cuda.get_device_name(bench.device) if bench.device.type == "cuda" else "cpu"
    size = ModelSize.of(bench.sizes.transformer)
    cost = step_cost(config, size, bench.sizes.tokens, name)
    return {
        "reckoned_seconds": cost.seconds and round(cost.seconds, 3),
        "reckoned_gib": round(cost.peak_bytes / GIB, 2),
    }


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


def replanned(bench: Bench, model: TrainedModel, config: TrainConfig) -> TrainedModel:
    """The same weights with other recomputation, so that 33 GB need not be drawn again."""
    bench.free()
    outside = model.outside
    outside.blocks = nn.ModuleList(block.block for block in model.blocks)
    plan = model_plan(config.memory, len(outside.blocks), bench.device)
    return TrainedModel(outside, model.geometry, plan).to_device(bench.device)


def peft_step(bench: Bench) -> tuple[Any, Callable[[int], Tensor]]:
    """diffusers' transformer with peft's LoRA, its own checkpointing and the geometry hook: eager, then compiled."""
    from peft import LoraConfig

    from ex4d.engines.wan.geometry import GeometryEncoder, geometry_tokens
    from ex4d.engines.wan.loading import TransformerPlan, load_transformer

    bench.free()
    dtype = torch.bfloat16 if bench.device.type == "cuda" else torch.float32
    where = TransformerPlan(bench.device, dtype, conditioning_on_device=True)
    model = load_transformer(bench.sources.open("transformer"), where).to(dtype)
    rank, targets = bench.sizes.lora_rank, ["to_q", "to_k", "to_v", "to_out.0"]
    targets = [f"blocks.{i}.{part}" for i in range(len(model.blocks)) for part in (
        *(f"attn{a}.{t}" for a in (1, 2) for t in targets), "ffn.net.0.proj", "ffn.net.2")]  # fmt: skip
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

    return model, step
