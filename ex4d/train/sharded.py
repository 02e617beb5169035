"""Tensors that may be split over processes (FSDP2's DTensor), as whole ones and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """All of ``tensor``; where it is split, every process must ask at once."""
    gather: Any = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def filled(target: Tensor, value: Tensor) -> None:
    """Write a whole ``value`` into ``target``, of which a split one takes its own part."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    value = value.to(device=target.device, dtype=target.dtype)
    if isinstance(target, DTensor):
        value = distribute_tensor(value, target.device_mesh, target.placements)
    with torch.no_grad():
        target.copy_(value)
