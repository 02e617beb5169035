"""Frames as the model's tensors and back."""

import numpy as np
from torch import Tensor

from ex4d_ground.arrays import UInt8


def to_uint8(
    frames: Tensor,  # [1, 3, N, H, W] float, -1..1
) -> UInt8:  # [N, H, W, 3]
    """Pictures of decoded frames: ``(x + 1) * 127.5``, cut to 0..255 (fractions are dropped, as published)."""
    scaled = ((frames[0].permute(1, 2, 3, 0).float() + 1) * 127.5).clamp(0, 255)
    return scaled.cpu().numpy().astype(np.uint8)
