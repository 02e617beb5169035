"""Section of benchmarks/wan.py about what could make a forward faster: each idea switched on alone, in one process.

Nothing here is a default before it has been measured. Parts of a forward are timed by themselves as well, so that a
number shows where the rest goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from wan_bench import CFG, STEPS, Bench

from ex4d.engines.wan import denoiser as engine
from ex4d.engines.wan import outer
from ex4d.engines.wan.pipeline import WanPipeline
from ex4d.engines.wan.sampling import Whole
from ex4d.engines.wan.schedule import Schedule

LIMIT_S = 75.0
Setting = dict[str, Any]


def fast_candidates(bench: Bench, *, mode: Any = "fast") -> dict[str, Any]:
    """Milliseconds of one forward and of a guided step (two forwards) with each candidate, until the time is up."""
    begun = time.perf_counter()
    found: dict[str, Any] = {}
    with WanPipeline(bench.sources, bench.options(mode, bench.plan(mode, "resident"))) as pipe:
        found["parts"] = _parts(bench, pipe.denoiser)
        for name, setting in _settings().items():
            if time.perf_counter() - begun > LIMIT_S:
                found[name] = "no time left"
                continue
            bench.clear()
            try:
                with _switched(setting):
                    found[name] = _forward(bench, pipe, setting)
            except Exception as error:  # noqa: BLE001 - the other candidates are still worth trying
                found[name] = f"{type(error).__name__}: {error}"[:300]
    return found


def _settings() -> dict[str, Setting]:
    tuned = {"coordinate_descent_tuning": True}
    return {
        "as it is": {},
        "padding attended": {"short_text": False},
        "128 queries, 8 warps": {"shape": (128, 64, 8, 2)},
        "128 queries, 4 warps": {"shape": (128, 64, 4, 2)},
        "128 queries, 128 keys": {"shape": (128, 128, 8, 2)},
        "padding attended, tuned": {"short_text": False, "inductor": tuned},
        "tuned": {"inductor": tuned},
        "norms of 4 warps": {"warps": 4},
        "as it is, again": {},
    }


@contextmanager
def _switched(setting: Setting) -> Iterator[None]:
    import torch._inductor.config as inductor

    if torch.cuda.is_available():
        from ex4d.engines.wan import cross_kernel, kernels

        kept = cross_kernel.SHAPE, kernels._warps
        if "shape" in setting:
            cross_kernel.SHAPE = cross_kernel.Shape(*setting["shape"])
        if "warps" in setting:
            kernels._warps = lambda block: setting["warps"]
    torch._dynamo.reset()
    try:
        with inductor.patch(setting.get("inductor", {})):
            yield
    finally:
        if torch.cuda.is_available():
            cross_kernel.SHAPE, kernels._warps = kept


def _forward(bench: Bench, pipe: WanPipeline, setting: Setting) -> dict[str, float]:
    """A fresh program on the loaded weights."""
    model, precision = pipe.denoiser.model, pipe.denoiser.precision
    tried = engine.WanDenoiser(
        model,
        device=bench.device,
        precision=precision,
        compile_blocks=bench.device.type == "cuda",
        prefer_cudnn=bench.args.attention == "cudnn",
        short_text=setting.get("short_text", True),
    )
    noise = bench.noise().to(bench.device)
    with tried.shot(bench.conditions(), Schedule.shifted(STEPS)) as shot:
        started = time.perf_counter()
        tried.velocity(shot, noise, 0)
        bench.sync()
        first = time.perf_counter() - started
        one, _ = bench.timed(lambda: tried.velocity(shot, noise, 0), 4, 1)
        step = Whole(tried, shot, CFG)
        pair, _ = bench.timed(lambda: step(noise, 0, lambda: None, None), 2, 0)
    found = {"first_s": round(first, 1), "forward_ms": round(1000 * one, 1), "guided_step_ms": round(1000 * pair, 1)}
    upstream = bench.results.get("upstream", {}).get("forward_ms")
    if upstream is not None:
        found["forward_ratio"] = round(upstream / found["forward_ms"], 3)
        found["guided_step_ratio"] = round(2 * upstream / found["guided_step_ms"], 3)
    return found


def _parts(bench: Bench, denoiser: engine.WanDenoiser) -> dict[str, float]:
    """Milliseconds of what lies outside the blocks, and of cross-attention in both ways (one block's, and 40 times)."""
    noise, found = bench.noise().to(bench.device), {}
    model, t = denoiser.model, bench.sizes.transformer
    with denoiser.shot(bench.conditions(1), Schedule.shifted(STEPS)) as shot, torch.no_grad():
        embed, grid = model.patch_embedding, tuple(n // s for n, s in zip(noise.shape[2:], (1, 2, 2), strict=True))
        inputs = torch.cat([noise, shot.y], dim=1)
        tokens = torch.randn(
            1, bench.sizes.tokens, bench.sizes.dim, device=bench.device, dtype=denoiser.precision.residual
        )
        found["embedding"] = _ms(bench, lambda: embed(inputs).flatten(2).transpose(1, 2).contiguous())
        found["head"] = _ms(bench, lambda: outer.head(denoiser.model, tokens, shot.head_times[0], grid))
        cross, heads = shot.cross[0][0], t["num_attention_heads"]
        q = torch.randn_like(tokens, dtype=cross.k_text.dtype)
        rows = q.unflatten(2, (heads, -1)).transpose(1, 2)
        found["cross-attention"] = _ms(
            bench,
            lambda: (
                engine.plain.attend(rows, cross.k_text, cross.v_text)
                + engine.plain.attend(rows, cross.k_image, cross.v_image)
            ),
        )
        if bench.device.type == "cuda":
            from ex4d.engines.wan import operators

            for length in (23, 106, 512):
                count = torch.tensor([length], dtype=torch.int32, device=bench.device)
                found[f"cross-attention, {length} text tokens"] = _ms(
                    bench, lambda count=count: operators.cross_attend(q, *cross[:4], count)
                )
    return found


def _ms(bench: Bench, run: Callable[[], Any]) -> float:
    return round(1000 * bench.timed(run, 10, 2)[0], 3)
