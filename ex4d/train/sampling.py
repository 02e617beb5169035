"""Pictures of what the model makes of a held-out clip, always from the same noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ex4d.clip import write_video
from ex4d.contact_sheet import contact_sheet
from ex4d.engines.wan.sampling import initial_noise
from ex4d.engines.wan.schedule import Schedule
from ex4d.engines.wan.vae import WanVae
from ex4d.engines.wan.video import to_uint8
from ex4d.train.building import weights_of
from ex4d.train.config import TrainConfig
from ex4d.train.dataset import Dataset, SampleInfo
from ex4d.train.model import Batch, TrainedModel
from ex4d.weights.components import load_part, open_part
from ex4d.weights.layout import WanWeights
from ex4d_ground.arrays import UInt8

SEED = 42


@torch.no_grad()
def sample_latents(wrapped: Any, model: TrainedModel, batch: Batch, *, steps: int, geometry: bool = True) -> Tensor:
    """Denoise from the fixed seed, without guidance. [B, 16, T, h, w]"""
    schedule = Schedule.shifted(steps)
    latents = initial_noise(SEED, tuple(batch.latents.shape)).to(model.device)
    scale = torch.full((len(batch),), float(geometry), device=model.device)
    with model.attention():
        for index, timestep in enumerate(schedule.timesteps.tolist()):
            velocity = wrapped(
                latents,
                torch.full((len(batch),), timestep, device=model.device),
                batch.image,
                batch.colour,
                batch.mask,
                batch.clip_fea,
                batch.context,
                scale,
            )
            latents = schedule.step(latents, velocity, index)
    return latents


def write_samples(
    folder: Path,
    wrapped: Any,
    model: TrainedModel,
    data: Dataset,
    clip: SampleInfo,
    *,
    weights: WanWeights | None,
    config: TrainConfig,
    writes: bool,
) -> None:
    """``sample.mp4`` and ``sheet.png`` of one clip below ``folder``. Every process calls it, one ``writes``."""
    number = data.mask_of(clip, 0)
    batch = data.batch([(clip, number)], [False]).to(model.device)
    latents = sample_latents(wrapped, model, batch, steps=config.output.sample_steps, geometry=config.model.geometry)
    if not writes:
        return
    source = open_part(weights or weights_of(config.model), "vae")
    dtype = torch.float32 if model.device.type == "cpu" else torch.bfloat16
    vae = WanVae(load_part(source, dtype=dtype, device=model.device), device=model.device, dtype=dtype)
    source.files.close()
    made, truth, guide = (_decoded(vae, x) for x in (latents, batch.latents, batch.colour))
    seen = _mask_of(batch, made.shape)
    write_video(folder / "sample.mp4", np.concatenate([truth, guide, made], axis=2), fps=15)
    contact_sheet(truth, guide, seen, made, folder / "sheet.png", title=clip.clip)


def _decoded(vae: WanVae, latents: Tensor) -> UInt8:  # [N, H, W, 3]
    return np.concatenate([to_uint8(part) for part in vae.decode(latents)])


def _mask_of(batch: Batch, shape: tuple[int, ...]) -> Any:  # [N, H, W] bool
    """The mask as far as the latents tell: a latent is seen where most of its pixels are."""
    count, height, width, _ = shape
    seen = (batch.hidden[0] < 0.5).cpu().numpy()
    frames = np.minimum((np.arange(count) + 3) // 4, len(seen) - 1)
    return seen[frames].repeat(height // seen.shape[1], 1).repeat(width // seen.shape[2], 2)
