"""A batch of solid surfaces while they are built."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Parts:
    """A batch's surfaces while they are built: the ringed grids, their depth edges, and room for what is behind."""

    times: Tensor  # [B] int32 source frames
    vertices: Tensor  # [B, V, 3] float32
    colors: Tensor  # [B, V, 4] uint8
    faces: Tensor  # [B, N, 3] int32 those that are not the grid's
    inverse: Tensor  # [B, H * W] float32
    cuts: Tensor  # [B, H * W] uint8
    dropped: Tensor  # [B, (H - 1) * (W - 1)] uint8 of QUAD_* bits
    ends: Tensor  # [B, 3, H] int32 cut sides, cut quads and possible bridges up to and with each row
    quads: Tensor  # [B, most, 2] int32 upper left vertex of each cut quad, and cut sides before it
    bridges: Tensor  # [B, most] int32 column of each possible bridge
