"""Loss on clips that are not trained on, at fixed seeds and noise levels, so that two runs' curves can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ex4d.engines.wan.schedule import TRAIN_TIMESTEPS
from ex4d.train.dataset import Dataset, SampleInfo
from ex4d.train.model import TrainedModel
from ex4d.train.objective import flow_loss, generator

LEVELS = (0.2, 0.5, 0.8, 0.95)
"""Noise levels (sigma) that are measured."""
_SEED = 20_250_605


@torch.no_grad()
def held_out_loss(
    wrapped: Any,
    model: TrainedModel,
    data: Dataset,
    clips: Sequence[SampleInfo],
    *,
    accelerator: Any,
    geometry: bool = True,
) -> dict[str, float]:
    """``held_out`` (all pixels) and ``held_out_hidden`` (where masks hide the clip), and the latter at each level.

    Every process takes its share of the clips; all get the means.
    """
    world, process = accelerator.num_processes, accelerator.process_index
    sums = torch.zeros(2 + len(LEVELS), 2, dtype=torch.float64)  # value, count
    for start in range(0, len(clips), world):
        mine = start + process
        counted = mine < len(clips)
        clip = clips[mine if counted else start]  # a sharded model needs every process in every forward
        batch = data.batch([(clip, data.mask_of(clip, 0))], [False]).to(model.device)
        for number, sigma in enumerate(LEVELS):
            chance = generator(_SEED, "noise", number, clips.index(clip))
            noise = torch.randn(batch.latents.shape, generator=chance).to(model.device)
            one = torch.ones(1, device=model.device)
            with model.attention():
                losses = flow_loss(wrapped, batch, noise, one * sigma, one, one * float(geometry))
            plain, hidden = float(losses.plain), float(losses.hidden)
            if counted:
                sums[0] += torch.tensor([plain, 1.0])
                if hidden == hidden:
                    sums[1] += torch.tensor([hidden, 1.0])
                    sums[2 + number] += torch.tensor([hidden, 1.0])
    total = accelerator.reduce(sums.float().to(model.device), "sum").cpu()
    mean = (total[:, 0] / total[:, 1]).tolist()
    by_level = {f"held_out_hidden_{round(s * TRAIN_TIMESTEPS)}": v for s, v in zip(LEVELS, mean[2:], strict=True)}
    return {"held_out": mean[0], "held_out_hidden": mean[1], **by_level}
