"""What of Wan's transformer lies around its blocks, as functions over diffusers' modules; engine and training share it.

Times, tokens of text and image, rotary embedding, and the head that turns tokens back into latents. Times and the head
are computed in float32 whatever the weights' dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ex4d.engines.wan.blocks import Rope, modulated_norm


def linear32(x: Tensor, linear: nn.Linear) -> Tensor:
    """A linear layer in float32."""
    return F.linear(x, linear.weight.float(), linear.bias.float())


def norm32(x: Tensor, norm: Any) -> Tensor:
    """A layer norm with its affine part in float32."""
    return F.layer_norm(x, (x.shape[-1],), norm.weight.float(), norm.bias.float(), norm.eps)


def time_tokens(
    model: Any,  # diffusers' WanTransformer3DModel
    timesteps: Tensor,  # [n], 0..1000
) -> tuple[Tensor, Tensor]:  # [n, dim] for the head, [n, 6, dim] for the blocks, both float32
    """The time embedding of several timesteps at once."""
    embedder = model.condition_embedder
    half = model.config.freq_dim // 2
    powers = torch.arange(half, dtype=torch.float64, device=timesteps.device) / half
    angles = timesteps.double()[:, None] * torch.pow(10000.0, -powers)
    times = torch.cat([angles.cos(), angles.sin()], dim=1).float()
    first, second = embedder.time_embedder.linear_1, embedder.time_embedder.linear_2
    times = linear32(F.silu(linear32(times, first)), second)
    modulations = linear32(F.silu(times), embedder.time_proj)
    return times, modulations.unflatten(1, (6, -1))


def text_tokens(
    model: Any,
    context: Tensor,  # [n, tokens, text channels]
) -> Tensor:  # [n, tokens, dim]
    """A prompt's embedding at the transformer's width."""
    embedder = model.condition_embedder.text_embedder
    dtype = embedder.linear_1.weight.dtype
    return embedder.linear_2(F.gelu(embedder.linear_1(context.to(dtype)), approximate="tanh"))


def image_tokens(
    model: Any,
    clip_fea: Tensor,  # [n, 257, image channels]
) -> Tensor:  # [n, 257, dim] float32
    """CLIP's tokens of frame 0 at the transformer's width."""
    embedder = model.condition_embedder.image_embedder
    x = norm32(clip_fea.float(), embedder.norm1)
    first, second = embedder.ff.net[0].proj, embedder.ff.net[2]
    x = second(F.gelu(first(x.to(first.weight.dtype))))
    return norm32(x.float(), embedder.norm2)


def rope(
    model: Any,
    latents: Tensor,  # [n, channels, T, h, w]; only the shape counts
) -> Rope:
    """The rotary embedding of every token, on the latents' device."""
    cos, sin = model.rope(latents)  # [1, tokens, 1, channels], every value twice
    return Rope(
        cos[0, :, :, 0::2].to(latents.device, torch.float32).contiguous(),
        sin[0, :, :, 0::2].to(latents.device, torch.float32).contiguous(),
    )


def head(
    model: Any,
    x: Tensor,  # [n, tokens, dim] residual stream
    time: Tensor,  # [n or 1, dim] float32
    grid: tuple[int, ...],  # of all tokens: T, h / 2, w / 2
    whole: Callable[[Tensor], Tensor] | None = None,  # [n, tokens, m] of all from those that are here
) -> Tensor:  # [n, 16, T, h, w] float32
    """Tokens to a velocity. Always float32: it is the output's own precision and costs nothing beside the blocks."""
    shift, scale = (model.scale_shift_table.float() + time.unsqueeze(1)).chunk(2, dim=1)
    x = modulated_norm(x, shift, scale, model.norm_out.eps)
    x = linear32(x, model.proj_out)
    x = x if whole is None else whole(x)
    patch = model.config.patch_size
    x = x.reshape(len(x), *grid, *patch, -1).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)
