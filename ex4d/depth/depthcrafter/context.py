"""Per-frame cross-attention for diffusers' spatio-temporal UNet.

Stable Video Diffusion shows the same image embedding to every frame; DepthCrafter shows each frame its own, as one
cross-attention token. diffusers' UNet repeats the embedding over the frames before its blocks run, so the blocks'
transformers get theirs replaced on the way in. Temporal attention sees the first frame's token, as in training.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import Tensor, nn


@contextmanager
def per_frame_tokens(
    unet: UNetSpatioTemporalConditionModel,
    tokens: Tensor,  # [T, C] one embedding per frame
) -> Iterator[None]:
    """While active, every cross-attention of ``unet`` sees frame t's own token. For a batch of one clip."""
    per_frame = tokens[:, None, :]  # [T, 1, C]

    def swap(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**kwargs, "encoder_hidden_states": per_frame}

    blocks = [m for m in unet.modules() if isinstance(m, TransformerSpatioTemporalModel)]
    handles = [block.register_forward_pre_hook(swap, with_kwargs=True) for block in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def resize_antialiased(
    images: Tensor,  # [N, 3, H, W]
    size: tuple[int, int],
) -> Tensor:  # [N, 3, *size]
    """Gaussian blur matched to the reduction, then bicubic sampling with aligned corners.

    sigma = (factor - 1) / 2 per axis, kernel of 4 sigma rounded to odd (at least 3), mirrored borders: what the image
    encoder of Stable Video Diffusion was fed.
    """
    blurred = images
    for axis, target in ((2, size[0]), (3, size[1])):
        sigma = max((images.shape[axis] / target - 1.0) / 2.0, 0.001)
        length = int(max(4.0 * sigma, 3)) | 1
        offsets = torch.arange(length, device=images.device, dtype=images.dtype) - length // 2
        kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
        shape = [1, 1, length, 1] if axis == 2 else [1, 1, 1, length]
        kernel = (kernel / kernel.sum()).reshape(shape).repeat(images.shape[1], 1, 1, 1)
        half = length // 2
        padding = (0, 0, half, half) if axis == 2 else (half, half, 0, 0)
        padded = nn.functional.pad(blurred, padding, mode="reflect")
        blurred = nn.functional.conv2d(padded, kernel, groups=images.shape[1])
    return nn.functional.interpolate(blurred, size=size, mode="bicubic", align_corners=True)
