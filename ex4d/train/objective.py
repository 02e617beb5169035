"""Flow matching: noise levels, their weights, the loss, and every random number of a step.

A clip's latents x and noise e make ``(1 - s) x + s e`` at noise level s; the model is asked for ``e - x``. Levels are
drawn evenly from the schedule's thousand, and weighted as upstream's framework weights them: a bell around the middle
of the schedule's timesteps, lowered to zero at its rim and scaled to a mean of one.

Random numbers belong to a seed, a step and a sample's place in the global batch, never to a process: a run that was
broken off goes on exactly, and two processes draw what one would.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ex4d.engines.wan.schedule import TRAIN_TIMESTEPS, Schedule
from ex4d.train.model import Batch, TrainedModel

_STREAMS = {"noise": 1, "level": 2, "dropout": 3, "order": 4, "init": 5, "mask": 6}


def generator(seed: int, stream: str, *counters: int) -> torch.Generator:
    """A generator of its own for every seed, stream and counter."""
    mixed = seed & 0xFFFFFFFF
    for number in (_STREAMS[stream], *counters):  # splitmix64's finaliser, so that neighbours differ in every bit
        mixed = (mixed + 0x9E3779B97F4A7C15 * (number + 1)) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        mixed ^= mixed >> 31
    return torch.Generator().manual_seed(mixed & 0x7FFFFFFFFFFFFFFF)


@dataclass(frozen=True)
class Levels:
    """The noise levels a model is trained at."""

    sigmas: Tensor  # [1000], decreasing
    weights: Tensor  # [1000], mean 1

    @classmethod
    def shifted(cls, shift: float = 5.0) -> Levels:
        """The schedule's levels with upstream's weights."""
        schedule = Schedule.shifted(TRAIN_TIMESTEPS, shift)
        place = (schedule.timesteps.double() - TRAIN_TIMESTEPS / 2) / TRAIN_TIMESTEPS
        bell = torch.exp(-2 * place.square())
        bell = bell - bell.min()
        return cls(schedule.sigmas, (bell / bell.mean()).float())


@dataclass(frozen=True)
class Draw:
    """The random part of one sample in one step."""

    noise: Tensor  # [16, T, h, w]
    level: int
    drop_geometry: bool
    drop_prompt: bool


def draw(
    seed: int,
    step: int,
    place: int,  # in the global batch
    shape: tuple[int, ...],
    *,
    geometry_dropout: float = 0.0,
    prompt_dropout: float = 0.0,
) -> Draw:
    """What chance says about the sample at ``place`` of step ``step``."""
    noise = torch.randn(shape, generator=generator(seed, "noise", step, place))
    level = int(torch.randint(TRAIN_TIMESTEPS, (), generator=generator(seed, "level", step, place)))
    chances = torch.rand(2, generator=generator(seed, "dropout", step, place)).tolist()
    return Draw(noise, level, chances[0] < geometry_dropout, chances[1] < prompt_dropout)


@dataclass(frozen=True)
class Losses:
    """One batch's loss, and its parts for people."""

    loss: Tensor  # scalar, weighted
    plain: Tensor  # [B] unweighted
    hidden: Tensor  # [B] unweighted, where the masks hide the clip; NaN where they hide nothing


def flow_loss(
    model: TrainedModel | torch.nn.Module,
    batch: Batch,
    noise: Tensor,  # [B, 16, T, h, w]
    sigmas: Tensor,  # [B]
    weights: Tensor,  # [B]
    geometry_scale: Tensor,  # [B]
) -> Losses:
    """Weighted mean squared error of the velocity."""
    x = batch.latents.float()
    s = sigmas.view(-1, 1, 1, 1, 1)
    velocity = model(
        (1 - s) * x + s * noise,
        sigmas * TRAIN_TIMESTEPS,
        batch.image,
        batch.colour,
        batch.mask,
        batch.clip_fea,
        batch.context,
        geometry_scale,
    )
    error = (velocity - (noise - x)).square()
    plain = error.flatten(1).mean(1)
    with torch.no_grad():
        share = batch.hidden.unsqueeze(1).expand_as(error)
        hidden = (error * share).flatten(1).sum(1) / share.flatten(1).sum(1)
    return Losses((plain * weights).mean(), plain.detach(), hidden)
