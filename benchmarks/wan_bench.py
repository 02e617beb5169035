"""What the sections of benchmarks/wan.py share: the models, the clip's conditions, timing, and peak memory."""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from wan_models import RandomSources, Sizes, real_sizes, tiny_sizes

from ex4d.engines.wan.denoiser import Conditions
from ex4d.engines.wan.pipeline import PipelineOptions
from ex4d.engines.wan.plan import GIB, MemoryPlan, Mode, ModelSize, Workload, plans
from ex4d.engines.wan.sampling import initial_noise

STEPS, CFG = 25, 5.0


class Bench:
    """What all sections share."""

    def __init__(self, args: argparse.Namespace, sizes: Sizes | None = None):
        self.args = args
        self.device = torch.device("cpu" if args.tiny or args.cpu else "cuda")
        self.sizes: Sizes = sizes or (tiny_sizes() if args.tiny else real_sizes())
        self.sources = RandomSources(self.sizes, self.device)
        self.results: dict[str, Any] = {"args": {k: str(v) for k, v in vars(args).items()}}

    @property
    def size(self) -> ModelSize:
        return ModelSize.of(self.sizes.transformer)

    def work(self, branches: int = 2) -> Workload:
        return Workload(self.sizes.tokens, self.sizes.height * self.sizes.width, branches)

    def conditions(self, branches: int = 2) -> Conditions:
        g = torch.Generator().manual_seed(7)
        shape, t = self.sizes.latent_shape, self.sizes.transformer
        y = torch.cat([torch.zeros(1, 4, *shape[2:]), torch.randn(1, 16, *shape[2:], generator=g)], dim=1)
        y[:, :4, 0] = 1
        tokens = 0.1 * torch.randn(1, self.sizes.dim, shape[2], shape[3] // 2, shape[4] // 2, generator=g)
        contexts = []
        for length in (22, 105)[:branches]:
            context = torch.zeros(1, 512, t["text_dim"])
            context[:, :length] = 0.1 * torch.randn(1, length, t["text_dim"], generator=g)
            contexts.append(context)
        return Conditions(y, torch.randn(1, 257, t["image_dim"], generator=g), tokens, tuple(contexts))

    def upstream_forward(self, model: Any, dtype: torch.dtype) -> Callable[[int], torch.Tensor]:
        """One forward of the original program's transformer as a function of the branch."""
        conditions = self.conditions()
        y, clip = conditions.y.to(self.device), conditions.clip_fea.to(self.device)
        ray = conditions.geometry.to(self.device)
        contexts = [[c[0, :n].to(self.device)] for c, n in zip(conditions.contexts, (22, 105), strict=True)]
        latents, timestep = self.noise().to(self.device), torch.tensor([1000.0], device=self.device)
        half = dtype != torch.float32

        def forward(branch: int) -> torch.Tensor:
            with torch.no_grad(), torch.autocast(self.device.type, dtype, enabled=half):
                return model(latents, timestep=timestep, context=contexts[branch], seq_len=self.sizes.tokens,
                             clip_fea=clip, y=y, ray_latent=ray)  # fmt: skip

        return forward

    def noise(self) -> torch.Tensor:
        return initial_noise(0, self.sizes.latent_shape)

    def plan(self, mode: Mode, memory: str, free: int | None = None, branches: int = 2) -> MemoryPlan:
        free = free or (1 << 50)
        return plans(mode, memory, self.size, self.work(branches), free)[0]  # type: ignore[arg-type]

    def options(self, mode: Mode, plan: MemoryPlan) -> PipelineOptions:
        return PipelineOptions(
            mode,
            plan,
            self.device,
            prefer_cudnn=self.args.attention == "cudnn",
            short_text=not self.args.attend_padding,
            keep_16bit=tuple(self.args.keep_16bit),
        )

    def sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def clear(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> dict[str, float] | None:
        if self.device.type != "cuda":
            return None
        allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        return {"allocated_gib": round(allocated / GIB, 2), "reserved_gib": round(reserved / GIB, 2)}

    def timed(self, run: Callable[[], Any], repeats: int = 3, warm: int = 1) -> tuple[float, Any]:
        """Median seconds of ``repeats`` runs after ``warm`` others, and the last run's result."""
        result, seconds = None, []
        for index in range(warm + repeats):
            self.sync()
            started = time.perf_counter()
            result = run()
            self.sync()
            if index >= warm:
                seconds.append(time.perf_counter() - started)
        return statistics.median(seconds), result
