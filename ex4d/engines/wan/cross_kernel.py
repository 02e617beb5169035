"""A Triton kernel for cross-attention: text and image in one pass, padding counted instead of computed.

Wan attends to 512 text tokens, of which all but the prompt's own (20 to 100) are one and the same padding token. Equal
keys with equal values have equal weights: one of them with its logit raised by the logarithm of their number gives
the same result. Image tokens have a softmax of their own, whose result is added.
Importing this module needs Triton.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """How the kernel is cut up."""

    queries: int = 64
    keys: int = 64
    warps: int = 4
    stages: int = 3


SHAPE = Shape()


@triton.jit
def _attended(
    query,  # [QUERIES, CHANNELS]
    k,  # this head's first key
    v,
    k_stride,  # from key to key
    v_stride,
    count,  # keys
    bias,  # of the last one's logit, logarithm to base 2
    scale,  # of logits, to base 2
    channels,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Attention of some queries to one head's keys, block by block."""
    channel = tl.arange(0, CHANNELS)
    top = tl.full([QUERIES], float("-inf"), tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    out = tl.zeros([QUERIES, CHANNELS], tl.float32)
    for start in range(0, count, KEYS):
        key = start + tl.arange(0, KEYS)
        inside = (key[:, None] < count) & (channel[None, :] < channels)
        keys = tl.load(k + key[:, None] * k_stride + channel[None, :], mask=inside, other=0.0)
        logits = tl.dot(query, tl.trans(keys)) * scale + tl.where(key == count - 1, bias, 0.0)[None, :]
        logits = tl.where(key[None, :] < count, logits, float("-inf"))
        higher = tl.maximum(top, tl.max(logits, 1))
        weights = tl.exp2(logits - higher[:, None])
        fade = tl.exp2(top - higher)
        values = tl.load(v + key[:, None] * v_stride + channel[None, :], mask=inside, other=0.0)
        total = total * fade + tl.sum(weights, 1)
        out = out * fade[:, None] + tl.dot(weights.to(values.dtype), values)
        top = higher
    return out / total[:, None]


@triton.jit
def cross_kernel(
    q,  # [tokens, heads * channels]
    k_text,  # [heads, text tokens, channels] by strides
    v_text,
    k_image,
    v_image,
    distinct,  # [1] int32: text keys up to and including the first of the padding's
    out,  # [tokens, heads * channels], written
    tokens,
    text_tokens,
    image_tokens,
    channels,
    scale,
    kt_head,
    kt_key,
    vt_head,
    vt_key,
    ki_head,
    ki_key,
    vi_head,
    vi_key,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Some queries of one head: text, then image, each with its own softmax, added in float32."""
    head = tl.program_id(1)
    row = (tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)).to(tl.int64)
    channel = tl.arange(0, CHANNELS)
    at = row[:, None] * (tl.num_programs(1) * channels) + head * channels + channel[None, :]
    inside = (row[:, None] < tokens) & (channel[None, :] < channels)
    query = tl.load(q + at, mask=inside, other=0.0)
    count = tl.load(distinct)
    bias = tl.log2((text_tokens - count + 1).to(tl.float32))
    text = _attended(
        query, k_text + head * kt_head, v_text + head * vt_head, kt_key, vt_key, count, bias, scale, channels,
        QUERIES, KEYS, CHANNELS,
    )  # fmt: skip
    image = _attended(
        query, k_image + head * ki_head, v_image + head * vi_head, ki_key, vi_key, image_tokens, 0.0, scale, channels,
        QUERIES, KEYS, CHANNELS,
    )  # fmt: skip
    tl.store(out + at, (text + image).to(out.dtype.element_ty), mask=inside)


def cross_attend(
    q: Tensor, k_text: Tensor, v_text: Tensor, k_image: Tensor, v_image: Tensor, distinct: Tensor
) -> Tensor:
    """See the operator of this name; channels must lie side by side in all of them."""
    _, heads, text_tokens, channels = k_text.shape
    q = q.contiguous()
    out = torch.empty_like(q)
    tokens = q.numel() // q.shape[-1]
    keys = [t if t.stride(-1) == 1 else t.contiguous() for t in (k_text, v_text, k_image, v_image)]
    strides = [n for t in keys for n in (t.stride(1), t.stride(2))]
    shape = SHAPE
    cross_kernel[(triton.cdiv(tokens, shape.queries), heads)](
        q, *keys, distinct, out, tokens, text_tokens, k_image.shape[2], channels, channels**-0.5 * math.log2(math.e),
        *strides, QUERIES=shape.queries, KEYS=shape.keys, CHANNELS=max(16, triton.next_power_of_2(channels)),
        num_warps=shape.warps, num_stages=shape.stages,
    )  # fmt: skip
    return out
