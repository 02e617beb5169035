"""The two halves of a block on CUDA: as in ``blocks.py``, with everything between the matrix products in operators.

Fewer passes over the activations is the aim. Layers that multiply in 8-bit floats get rows that the kernel before
them has quantised. Meant for CUDA and to be compiled as a whole; runs without either.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ex4d.engines.wan import operators
from ex4d.engines.wan.blocks import (
    CrossKV,
    Rope,
    Rows,
    SharedAttention,
    attend,
    attend_to_all,
    feed_forward,
    in_parts,
    modulations,
)
from ex4d.engines.wan.fp8 import Fp8Linear


def fits(blocks: Iterable[Any]) -> bool:
    """Whether these blocks have the parts that :func:`finish` fuses (Wan 2.1's have)."""
    return all(isinstance(block.norm2, nn.LayerNorm) for block in blocks)


def self_attention(
    block: Any,
    x: Tensor,
    modulation: Tensor,
    rope: Rope,
    dtype: torch.dtype,
    attend_shared: SharedAttention | None = None,
) -> Tensor:
    """The first half of a block; see :func:`ex4d.engines.wan.blocks.self_attention`."""
    shift, scale, *_ = modulations(block, modulation)
    attn, eps = block.attn1, block.norm1.eps
    if _multiplies_rows(attn.to_q, attn.to_k, attn.to_v):
        h = Rows(*operators.norm_quantise(x, (1 + scale).flatten(), shift.flatten(), eps))
    else:
        h = Rows(operators.norm(x, (1 + scale).flatten(), shift.flatten(), eps, dtype), None)
    q, k, v = (_linear(layer, h, dtype) for layer in (attn.to_q, attn.to_k, attn.to_v))
    weights = attn.norm_q.weight, attn.norm_k.weight
    q, k = operators.rms_rotate(q, k, *weights, rope.cos, rope.sin, attn.heads, attn.norm_q.eps)
    q, k, v = (t.unflatten(2, (attn.heads, -1)) for t in (q, k, v))
    out = attend_to_all(q, k, v, attend_shared)
    layer = attn.to_out[0]
    rows = Rows(*operators.quantise(out)) if _multiplies_rows(layer) else Rows(out, None)
    return _linear(layer, rows, dtype)


def finish(block: Any, x: Tensor, h: Tensor, modulation: Tensor, cross: CrossKV, ffn_rows: int = 0) -> Tensor:
    """The second half of a block; see :func:`ex4d.engines.wan.blocks.finish`."""
    dtype = cross.k_text.dtype
    _, _, gate, shift, scale, ff_gate = modulations(block, modulation)
    attn, norm = block.attn2, block.norm2
    x, rows = _add_norm(x, h, gate.flatten(), (norm.weight, norm.bias), norm.eps, attn.to_q, dtype)
    q = operators.rms(_linear(attn.to_q, rows, dtype), attn.norm_q.weight, attn.heads, attn.norm_q.eps)
    h = _linear(attn.to_out[0], _attend_both(q, cross, attn.heads, quantised=_multiplies_rows(attn.to_out[0])), dtype)

    affine = ((1 + scale).flatten(), shift.flatten())
    x, rows = _add_norm(x, h, None, affine, block.norm3.eps, block.ffn.net[0].proj, dtype)
    h = in_parts(lambda part: _feed_forward(block.ffn, part, dtype), rows, ffn_rows)
    return (x.float() + h.float() * ff_gate).to(x.dtype)


def _attend_both(q: Tensor, cross: CrossKV, heads: int, *, quantised: bool) -> Rows:
    """What the video finds in the text plus what it finds in the image."""
    if cross.distinct is not None:
        both = operators.cross_attend(q, cross.k_text, cross.v_text, cross.k_image, cross.v_image, cross.distinct)
        return Rows(*operators.quantise(both)) if quantised else Rows(both, None)
    q = q.unflatten(2, (heads, -1)).transpose(1, 2)
    text, image = attend(q, cross.k_text, cross.v_text), attend(q, cross.k_image, cross.v_image)
    return Rows(*operators.add_quantise(text, image)) if quantised else Rows(text + image, None)


def _feed_forward(ffn: Any, rows: Rows, dtype: torch.dtype) -> Tensor:
    first, second = ffn.net[0].proj, ffn.net[2]
    if rows.scale is None:
        return feed_forward(ffn, rows.values)
    if _multiplies_rows(first, second):
        return _linear(second, Rows(*operators.gelu_quantise(_linear(first, rows, dtype))), dtype)
    return second(torch.nn.functional.gelu(_linear(first, rows, dtype), approximate="tanh"))


def _multiplies_rows(*layers: nn.Module) -> bool:
    return all(isinstance(layer, Fp8Linear) and layer.native for layer in layers)


def _linear(layer: Any, rows: Rows, dtype: torch.dtype) -> Tensor:
    if rows.scale is None:
        return layer(rows.values)
    return layer.multiply(rows.values, rows.scale, dtype)


def _add_norm(
    x: Tensor,
    h: Tensor,
    gate: Tensor | None,
    affine: tuple[Tensor, Tensor],
    eps: float,
    layer: nn.Module,
    dtype: torch.dtype,
) -> tuple[Tensor, Rows]:
    """The residual stream after ``h``, and its norm in the form that ``layer`` takes."""
    if _multiplies_rows(layer):
        x, values, scale = operators.add_norm_quantise(x, h, gate, *affine, eps)
        return x, Rows(values, scale)
    x, values = operators.add_norm(x, h, gate, *affine, eps, dtype)
    return x, Rows(values, None)
