"""The denoising loop: noise from the seed, guidance, Euler steps, progress, cancel."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from ex4d.generate.wan.denoiser import Shot, StepStart, WanDenoiser
from ex4d.generate.wan.schedule import Schedule
from ex4d.generate.wan.step_cache import FirstBlockCache
from ex4d.progress import CancelToken, OnProgress, check, report

OnStep = Callable[[int, Tensor], None]
"""Called with (step, latents after it)."""


def initial_noise(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Unit noise in float32, drawn on the CPU so that it is the same on every device."""
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)


def denoise(
    denoiser: WanDenoiser,
    shot: Shot,
    noise: Tensor,  # [1, 16, T, h, w] float32
    schedule: Schedule,
    *,
    cfg_scale: float,
    cache: FirstBlockCache | None = None,
    on_step: OnStep | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> Tensor:  # [1, 16, T, h, w] float32
    """Latents of the finished clip.

    With two contexts in the shot, the branches run one after the other and are combined in float32:
    ``negative + cfg_scale * (positive - negative)``. Raises Cancelled within one forward of being asked.
    """
    latents = noise.to(device=denoiser.device, dtype=torch.float32)
    guided = len(shot.cross) > 1 and cfg_scale != 1.0
    started, steps = time.monotonic(), len(schedule)
    report(on_progress, "denoising", 0, steps)
    for step in range(steps):
        check(cancel)
        start = StepStart() if guided else None
        velocity = denoiser.velocity(shot, latents, step, 0, start=start, cache=cache)
        _wait(denoiser.device)
        if guided:
            check(cancel)
            negative = denoiser.velocity(shot, latents, step, 1, start=start, cache=cache)
            velocity = negative + cfg_scale * (velocity - negative)
        latents = schedule.step(latents, velocity, step)
        _wait(denoiser.device)
        if on_step is not None:
            on_step(step, latents)
        left = (time.monotonic() - started) / (step + 1) * (steps - step - 1)
        report(on_progress, "denoising", step + 1, steps, f"about {left:.0f} s left" if left >= 1 else "")
    return latents


def _wait(device: torch.device) -> None:
    """Let the device catch up: otherwise it would queue work far past a cancel."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
