"""Sections of benchmarks/wan.py about time: attention, the original program, our modes, the codec, whole clips."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from wan_bench import CFG, STEPS, Bench
from wan_models import RandomSources, load_upstream

from ex4d.engines.wan.conditioning import GuideVideos
from ex4d.engines.wan.pipeline import WanPipeline
from ex4d.engines.wan.plan import Mode
from ex4d.engines.wan.sampling import Whole, denoise
from ex4d.engines.wan.schedule import Schedule


def attention(bench: Bench) -> dict[str, Any]:
    """Self-attention of one block by each of torch's backends, in milliseconds."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    heads, channels = bench.sizes.transformer["num_attention_heads"], bench.sizes.transformer["attention_head_dim"]
    dtype = torch.bfloat16 if bench.device.type == "cuda" else torch.float32
    q = torch.randn(1, bench.sizes.tokens, heads, channels, device=bench.device, dtype=dtype).transpose(1, 2)
    results: dict[str, Any] = {}
    names = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION,
             "efficient": SDPBackend.EFFICIENT_ATTENTION, "default": None}  # fmt: skip
    for name, backend in names.items():
        try:
            with sdpa_kernel(backend) if backend is not None else nullcontext():
                for keys in (bench.sizes.tokens, 512, 257):
                    k = torch.randn(1, keys, heads, channels, device=bench.device, dtype=dtype).transpose(1, 2)
                    run = lambda k=k: torch.nn.functional.scaled_dot_product_attention(q, k, k)  # noqa: E731
                    results[f"{name}_{keys}"] = round(1000 * bench.timed(run, 10, 2)[0], 3)
        except RuntimeError as error:
            results[name] = str(error).splitlines()[0]
    return results


def upstream(bench: Bench) -> dict[str, Any]:
    """The original program's transformer as it runs: bf16 weights, autocast, LoRA beside the weights."""
    dtype = torch.float32 if bench.device.type == "cpu" else torch.bfloat16
    forward = bench.upstream_forward(load_upstream(bench.args.upstream, bench.sources, dtype), dtype)
    seconds, _ = bench.timed(lambda: forward(0))
    forward(1)
    peak = bench.peak()
    return {
        "forward_ms": round(1000 * seconds, 1),
        "clip_denoising_s_extrapolated": round(2 * STEPS * seconds, 2),
        "peak": peak,
    }


def measure_mode(bench: Bench, mode: Mode, *, full: bool) -> dict[str, Any]:
    """One mode with everything resident: load, first forward, forward, denoising."""
    branches = 1 if mode == "turbo" else 2
    steps = 4 if mode == "turbo" else STEPS
    schedule = Schedule.shifted(steps)
    started = time.perf_counter()
    options = bench.options(mode, bench.plan(mode, "resident", branches=branches))
    with WanPipeline(bench.sources, options) as pipe:
        bench.sync()
        loaded = time.perf_counter()
        noise = bench.noise().to(bench.device)
        with pipe.denoiser.shot(bench.conditions(branches), schedule) as shot:
            bench.sync()
            prepared = time.perf_counter()
            pipe.denoiser.velocity(shot, noise, 0)
            bench.sync()
            first = time.perf_counter()
            seconds, _ = bench.timed(lambda: pipe.denoiser.velocity(shot, noise, 0), 5)
            clip: dict[str, Any] = {"clip_denoising_s_extrapolated": round(branches * steps * seconds, 2)}
            if branches == 2:  # which share block 0's first half, so this is less than two forwards
                step = Whole(pipe.denoiser, shot, CFG)
                pair, _ = bench.timed(lambda: step(noise, 0, lambda: None, None), 3)
                clip["guided_step_ms"] = round(1000 * pair, 1)
            if full or mode == "turbo":
                cfg = CFG if branches == 2 else 1.0
                taken, _ = bench.timed(lambda: denoise(pipe.denoiser, shot, noise, schedule, cfg_scale=cfg), 1, 0)
                clip["clip_denoising_s"] = round(taken, 2)
            if bench.args.profile and bench.device.type == "cuda":
                clip["profile"] = _profile(lambda: pipe.denoiser.velocity(shot, noise, 0))
        found = {
            "load_s": round(loaded - started, 2), "shot_s": round(prepared - loaded, 2),
            "first_forward_s": round(first - prepared, 2), "forward_ms": round(1000 * seconds, 1), **clip,
            "plan": str(options.plan), "peak": bench.peak(),
        }  # fmt: skip
    return found | _ratios(bench, found)


def _ratios(bench: Bench, found: dict[str, Any]) -> dict[str, Any]:
    upstream = bench.results.get("upstream", {})
    if "forward_ms" not in upstream:
        return {}
    clip = found.get("clip_denoising_s", found["clip_denoising_s_extrapolated"])
    pair = {"guided_step_ratio": round(2 * upstream["forward_ms"] / found["guided_step_ms"], 3)} if (
        "guided_step_ms" in found
    ) else {}  # fmt: skip
    return pair | {
        "forward_ratio": round(upstream["forward_ms"] / found["forward_ms"], 3),
        "clip_denoising_ratio": round(upstream["clip_denoising_s_extrapolated"] / clip, 2),
    }


def _profile(run: Callable[[], Any]) -> dict[str, float]:
    """Milliseconds by kernel, the twenty longest."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as taken:
        run()
        torch.cuda.synchronize()
    rows = sorted(taken.key_averages(), key=lambda row: -row.self_device_time_total)
    return {row.key[:90]: round(row.self_device_time_total / 1000, 2) for row in rows[:20]}


def codec(bench: Bench) -> dict[str, Any]:
    """Encoding the guides and decoding the clip, in the modes' two precisions."""
    results: dict[str, Any] = {}
    shape = (bench.sizes.frames, bench.sizes.height, bench.sizes.width)
    mask = torch.rand(shape).numpy() > 0.3
    colour = (torch.rand(*shape, 3) * 255).byte().numpy()
    videos = GuideVideos.from_guides(colour, mask)
    for mode in ("fast", "exact"):
        bench.clear()
        with WanPipeline(without_blocks(bench), bench.options(mode, bench.plan(mode, "resident"))) as pipe:
            encode, _ = bench.timed(lambda pipe=pipe: pipe.encode(videos), 1, 1)
            encode_peak = bench.peak()
            bench.clear()
            latents = bench.noise()
            decode, _ = bench.timed(lambda pipe=pipe, latents=latents: list(pipe.frames(latents)), 1, 1)
            results[mode] = {"encode_s": round(encode, 2), "decode_s": round(decode, 2),
                             "encode_peak": encode_peak, "decode_peak": bench.peak()}  # fmt: skip
    return results


def without_blocks(bench: Bench) -> RandomSources:
    """The sources with a one-block transformer of the same width, where only the other parts matter."""
    configs = {**bench.sizes.configs, "transformer": {**bench.sizes.transformer, "num_layers": 1}}
    return RandomSources(replace(bench.sizes, configs=configs), bench.device)


def whole_clip(bench: Bench) -> dict[str, Any]:
    """Guides to frames in seconds: encoding, the shot's constants, denoising, decoding, each as measured above."""
    codec = bench.results.get("codec", {})
    found: dict[str, Any] = {}
    for mode in ("exact", "fast", "fp8", "turbo"):
        run, code = bench.results.get(mode, {}), codec.get("exact" if mode == "exact" else "fast")
        if "forward_ms" not in run or code is None:
            continue
        measured = "clip_denoising_s" in run
        denoising = run["clip_denoising_s" if measured else "clip_denoising_s_extrapolated"]
        total = code["encode_s"] + run["shot_s"] + denoising + code["decode_s"]
        found[mode] = {"seconds": round(total, 2), "denoising_extrapolated": not measured}
    return found
