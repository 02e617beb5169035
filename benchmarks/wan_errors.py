"""Section of benchmarks/wan.py about exactness: every mode and the original program against float32.

A random model of medium size (the true layout and width per head, fewer and narrower blocks), so that it runs in
float32 on any GPU and, with ``--cpu``, without one. Figures are ||a - b|| / ||b|| of the first step's direction: of one
forward, and with guidance, which magnifies what the two branches do not share.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from wan_bench import CFG, STEPS, Bench
from wan_models import Sizes, load_upstream, mid_sizes, tiny_sizes

from ex4d.engines.wan.denoiser import EXACT, FAST, FLOAT32, Precision, WanDenoiser
from ex4d.engines.wan.fp8 import multiplies_fp8
from ex4d.engines.wan.loading import TransformerPlan, load_transformer
from ex4d.engines.wan.schedule import Schedule
from ex4d.weights.adapters import Lora

Branches = tuple[Tensor, ...]  # the direction with the prompt, and with the negative prompt


def errors(bench: Bench) -> dict[str, Any]:
    """Relative error of each program, next to the float32 run of the same function."""
    sizes = tiny_sizes() if bench.args.tiny else mid_sizes()
    mid = Bench(bench.args, sizes)
    lora, turbo = mid.sources.ex4d().lora, mid.sources.turbo()
    with _full_float32():
        reference = _ours(mid, FLOAT32, torch.float32, [lora])
        turbo_reference = _ours(mid, FLOAT32, torch.float32, [lora, turbo])[:1]
    runs: dict[str, Callable[[], tuple[Branches, Branches]]] = {
        "exact": lambda: (_ours(mid, EXACT, torch.bfloat16, [lora]), reference),
        "fast": lambda: (_ours(mid, FAST, torch.bfloat16, [lora]), reference),
        "fp8": lambda: (_ours(mid, FAST, torch.bfloat16, [lora], fp8=True), reference),
        "turbo": lambda: (_ours(mid, FAST, torch.bfloat16, [lora, turbo])[:1], turbo_reference),
    }
    if bench.args.upstream is not None:
        runs = {"upstream": lambda: (_upstream(mid), reference), **runs}
    found: dict[str, Any] = {"model": _describe(sizes), "fp8_products": multiplies_fp8(mid.device)}
    for name, run in runs.items():
        found[name] = _compare(*run())
        gc.collect()
    return found


def _describe(sizes: Sizes) -> str:
    t = sizes.transformer
    return f"{t['num_layers']} blocks of {sizes.dim}, {sizes.tokens} tokens"


def _compare(found: Branches, reference: Branches) -> dict[str, float]:
    result = {"forward": _relative(found[0], reference[0])}
    if len(found) == 2:
        result["guided"] = _relative(*(n + CFG * (p - n) for p, n in (found, reference)))
    return result


def _relative(found: Tensor, reference: Tensor) -> float:
    return float(f"{float((found - reference).norm() / reference.norm()):.3e}")


def _ours(
    bench: Bench, precision: Precision, dtype: torch.dtype, loras: Sequence[Lora], *, fp8: bool = False
) -> Branches:
    keep = tuple(bench.args.keep_16bit)
    plan = TransformerPlan(bench.device, dtype, fp8=fp8, keep_16bit=keep, conditioning_on_device=True)
    model = load_transformer(bench.sources.open("transformer"), plan, loras=[(lora, 1.0) for lora in loras])
    denoiser = WanDenoiser(model, device=bench.device, precision=precision)
    noise = bench.noise().to(bench.device)
    with denoiser.shot(bench.conditions(), Schedule.shifted(STEPS)) as shot:
        return tuple(denoiser.velocity(shot, noise, 0, branch).cpu() for branch in (0, 1))


def _upstream(bench: Bench) -> Branches:
    """The original program's code at its own precision: bf16 weights under bf16 autocast."""
    model = load_upstream(bench.args.upstream, bench.sources, torch.bfloat16)
    forward = bench.upstream_forward(model, torch.bfloat16)
    return tuple(forward(branch).float().cpu() for branch in (0, 1))


@contextmanager
def _full_float32():
    """No TF32 in convolutions (torch's default there) while the reference runs."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
