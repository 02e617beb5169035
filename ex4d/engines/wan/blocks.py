"""One transformer block of Wan 2.1 as pure functions over diffusers' modules, compiled once for all blocks.

A block comes in two halves: the first knows nothing of the prompt, so the branches of guidance can share block 0's.

Normalisation, modulation and rotary embedding are float32; matrix products run in the keys' dtype; the residual stream
keeps the dtype it comes in (float32 in exact mode, bfloat16 in the others). Cross-attention takes finished keys and
values: they are the same in every step of a shot.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CrossKV(NamedTuple):
    """One block's cross-attention keys and values, [1, heads, tokens, channels], in the compute dtype."""

    k_text: Tensor
    v_text: Tensor
    k_image: Tensor
    v_image: Tensor
    distinct: Tensor | None = None
    """[1] int32: text tokens from there on equal the one before (padding); None if nobody counted."""


SharedAttention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Self-attention of the tokens of this process over those of all who share the run; shapes as in attend_to_all."""


class Rows(NamedTuple):
    """Activations [1, tokens, n]: float8 with a scale [1, tokens, 1] each, or plain without."""

    values: Tensor
    scale: Tensor | None


class Rope(NamedTuple):
    """Rotary embedding of every token and channel pair, [tokens, 1, channels / 2] float32."""

    cos: Tensor
    sin: Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square norm over all heads together, in float32."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight.float()


def _rms(x: Tensor, norm: Any) -> Tensor:
    return rms_norm(x, norm.weight, norm.eps)


def modulated_norm(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """Layer norm without affine, then ``* (1 + scale) + shift``, in float32."""
    return F.layer_norm(x.float(), (x.shape[-1],), eps=eps) * (1 + scale) + shift


def rotate(
    x: Tensor,  # [..., tokens, heads, channels] float32
    rope: Rope,
) -> Tensor:
    """Rotate neighbouring channel pairs by the token's angles."""
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * rope.cos - b * rope.sin, a * rope.sin + b * rope.cos), dim=-1).flatten(-2)


def rms_rotate(
    q: Tensor, k: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int, eps: float
) -> tuple[Tensor, Tensor]:
    """Root-mean-square norm over all heads together and rotary embedding, of queries and keys [..., heads * channels].

    ``cos`` and ``sin`` are float32 [tokens, 1, channels / 2], the same for every sample of a batch.
    """
    rope = Rope(cos, sin)

    def rotated(x: Tensor, weight: Tensor) -> Tensor:
        return rotate(rms_norm(x, weight, eps).unflatten(-1, (heads, -1)), rope).flatten(-2).to(x.dtype)

    return rotated(q, q_weight), rotated(k, k_weight)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention over [1, heads, tokens, channels], back as [1, tokens, heads * channels]."""
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def attend_to_all(q: Tensor, k: Tensor, v: Tensor, shared: SharedAttention | None) -> Tensor:
    """Self-attention over [1, tokens, heads, channels], back as [1, tokens, heads * channels]."""
    if shared is not None:
        return shared(q, k, v)
    return attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))


def project(x: Tensor, first: nn.Module, *more: nn.Module) -> Sequence[Tensor]:
    """What several layers make of the same input; layers that can read it together (a training's) do."""
    together = getattr(first, "together", None)
    return [layer(x) for layer in (first, *more)] if together is None else together(x, *more)


def feed_forward(ffn: Any, x: Tensor) -> Tensor:
    """Linear, tanh-GELU, linear. On CUDA the GELU runs inside the first product (same function, one pass less)."""
    first, second = ffn.net[0].proj, ffn.net[2]
    if x.is_cuda and type(first) is nn.Linear:
        hidden = linear_gelu(x.flatten(0, 1), first.weight, first.bias).unflatten(0, x.shape[:2])
    else:
        hidden = F.gelu(first(x), approximate="tanh")
    return second(hidden)


def in_parts(run: Callable[[Rows], Tensor], rows: Rows, size: int) -> Tensor:  # [1, tokens, n]
    """``run`` over at most ``size`` tokens at a time, which bounds what it needs in between; 0 is all at once."""
    values, scale = rows
    tokens = values.shape[1]
    if not size or tokens <= size:
        return run(rows)
    out: Tensor | None = None
    for start in range(0, tokens, size):
        part = slice(start, start + size)
        result = run(Rows(values[:, part], None if scale is None else scale[:, part]))
        if out is None:
            out = result.new_empty(1, tokens, result.shape[-1])
        out[:, part] = result
    assert out is not None
    return out


@torch.library.custom_op("ex4d::linear_gelu", mutates_args=())
def linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """gelu_tanh(x @ weight.T + bias) by the matrix library's own epilogue.

    An operator of ours because the compiler would split the library's into two.
    """
    return torch.ops.aten._addmm_activation(bias, x, weight.t(), use_gelu=True)


@linear_gelu.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0])


def modulations(block: Any, modulation: Tensor) -> Sequence[Tensor]:
    """Shift, scale and gate of self-attention, then of the feed-forward, each [1, 1, dim] float32."""
    return (block.scale_shift_table.float() + modulation).chunk(6, dim=1)


def self_attention(
    block: Any,  # diffusers' WanTransformerBlock
    x: Tensor,  # [1, tokens, dim] residual stream
    modulation: Tensor,  # [1, 6, dim] float32, of this step
    rope: Rope,
    dtype: torch.dtype,  # of matrix products
    attend_shared: SharedAttention | None = None,  # where the tokens are not all here
    rotated: Callable[..., tuple[Tensor, Tensor]] = rms_rotate,
) -> Tensor:  # [1, tokens, dim], not yet gated or added
    """The first half of a block: what it does before it looks at the prompt."""
    shift, scale, *_ = modulations(block, modulation)
    attn = block.attn1
    h = modulated_norm(x, shift, scale, block.norm1.eps).to(dtype)
    q, k, v = project(h, attn.to_q, attn.to_k, attn.to_v)
    weights = attn.norm_q.weight, attn.norm_k.weight
    q, k = rotated(q, k, *weights, rope.cos, rope.sin, attn.heads, attn.norm_q.eps)
    q, k, v = (t.unflatten(2, (attn.heads, -1)) for t in (q, k, v))
    return attn.to_out[0](attend_to_all(q, k, v, attend_shared))


def finish(
    block: Any,
    x: Tensor,  # [1, tokens, dim] residual stream, as self_attention got it
    h: Tensor,  # [1, tokens, dim] what self_attention made of it
    modulation: Tensor,
    cross: CrossKV,
    ffn_rows: int = 0,  # tokens that pass the feed-forward at once; 0 is all
    feed: Callable[[Any, Tensor], Tensor] = feed_forward,
) -> Tensor:  # [1, tokens, dim]
    """The second half of a block: the first half's residual, cross-attention and feed-forward with theirs."""
    dtype, residual = cross.k_text.dtype, x.dtype
    _, _, gate, ff_shift, ff_scale, ff_gate = modulations(block, modulation)
    x = (x.float() + h.float() * gate).to(residual)

    attn, norm = block.attn2, block.norm2
    h = x.float()
    if isinstance(norm, nn.LayerNorm):
        h = F.layer_norm(h, (h.shape[-1],), norm.weight.float(), norm.bias.float(), norm.eps)
    q = _rms(attn.to_q(h.to(dtype)), attn.norm_q).to(dtype).unflatten(2, (attn.heads, -1)).transpose(1, 2)
    h = attend(q, cross.k_text, cross.v_text) + attend(q, cross.k_image, cross.v_image)
    x = (x.float() + attn.to_out[0](h).float()).to(residual)

    h = modulated_norm(x, ff_shift, ff_scale, block.norm3.eps).to(dtype)
    h = in_parts(lambda part: feed(block.ffn, part.values), Rows(h, None), ffn_rows)
    return (x.float() + h.float() * ff_gate).to(residual)


def cross_keys_values(
    block: Any,
    text: Tensor,  # [1, text tokens, dim] in the compute dtype
    image: Tensor,  # [1, image tokens, dim]
) -> CrossKV:
    """What ``block`` attends to besides the video itself."""
    attn = block.attn2

    def heads(x: Tensor) -> Tensor:
        return x.to(text.dtype).unflatten(2, (attn.heads, -1)).transpose(1, 2)

    k, v = project(text, attn.to_k, attn.to_v)
    return CrossKV(
        heads(_rms(k, attn.norm_k)),
        heads(v),
        heads(_rms(attn.add_k_proj(image), attn.norm_added_k)),
        heads(attn.add_v_proj(image)),
    )


def conditioning_modules(block: Any) -> Sequence[nn.Module]:
    """The parts of a block that only :func:`cross_keys_values` uses; they need not stay on the GPU between shots."""
    attn = block.attn2
    return (attn.to_k, attn.to_v, attn.norm_k, attn.add_k_proj, attn.add_v_proj, attn.norm_added_k)


CONDITIONING_NAMES = ("attn2.to_k.", "attn2.to_v.", "attn2.norm_k.", "attn2.add_", "attn2.norm_added_k.")
"""The same, as they appear in parameter names."""
