"""Overlapping tiles put together without seams."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ex4d_ground.errors import ShapeError


class Blender:
    """Adds overlapping tiles up, each weighted by its distance from its edge, and divides by the weights."""

    def __init__(self, shape: Sequence[int], device: torch.device):  # [1, channels, count, height, width]
        self._shape = tuple(shape)
        self._device = device
        self._sum: Tensor | None = None
        self._weight = torch.zeros(self._shape[3:], device=device)

    def add(
        self,
        tile: Tensor,  # [1, channels, count, h, w]
        top: int,
        left: int,
        ramp: int,  # length over which the tile fades at edges that are not the picture's
    ) -> None:
        """Take a tile in."""
        height, width = tile.shape[3:]
        if tile.shape == self._shape:
            self._sum, self._weight = tile, torch.ones_like(self._weight)
            return
        if self._sum is None:
            self._sum = torch.zeros(self._shape, device=self._device)
        rows = _edge_weight(top, height, self._shape[3], ramp, self._device)
        weight = rows[:, None] * _edge_weight(left, width, self._shape[4], ramp, self._device)[None, :]
        self._sum[..., top : top + height, left : left + width] += tile.to(self._device) * weight
        self._weight[top : top + height, left : left + width] += weight

    def result(self) -> Tensor:  # [1, channels, count, height, width]
        """The whole. Raises ShapeError if there is none."""
        if self._sum is None:
            raise ShapeError("No tile was added.")
        return self._sum / self._weight


def _edge_weight(start: int, length: int, total: int, ramp: int, device: torch.device) -> Tensor:
    """1 inside, falling linearly over ``ramp`` towards edges that are not the picture's own."""
    at = torch.arange(length, device=device, dtype=torch.float32) + 0.5
    weight = torch.ones(length, device=device)
    if start > 0:
        weight = torch.minimum(weight, at / ramp)
    if start + length < total:
        weight = torch.minimum(weight, (length - at) / ramp)
    return weight
