"""The optimizer and the learning rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ex4d.train.config import Train
from ex4d_ground.errors import MissingExtraError


def make_optimizer(parameters: Iterable[nn.Parameter], config: Train) -> torch.optim.Optimizer:
    """AdamW as configured. Raises MissingExtraError for 8-bit averages without torchao."""
    chosen: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "betas": (0.9, 0.999)}
    parameters = list(parameters)
    if config.optimizer == "adamw8bit":
        try:
            from torchao.optim import AdamW8bit  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise MissingExtraError("The 8-bit optimizer (torchao not found)", "train8bit") from error
        return AdamW8bit(parameters, **chosen)
    return torch.optim.AdamW(parameters, **chosen, fused=parameters[0].is_cuda)


def rate_at(step: int, config: Train) -> float:
    """The learning rate of ``step`` (from 0): a straight rise, then constant."""
    return config.learning_rate * min(1.0, (step + 1) / max(1, config.warmup))
