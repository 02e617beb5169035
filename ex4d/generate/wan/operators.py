"""Operators between a block's matrix products: kernels on CUDA, plain functions on the CPU, shapes for the compiler.

Each works on rows, the last axis of its inputs, in float32. The plain functions are the reference for the kernels of
``kernels.py``, and let the fused block run where there is no GPU. Rows that become float8 are not rounded to bfloat16
on the way, as the layers of ``fp8.py`` have to when they quantise by themselves: that would be less exact.
Importing this module does not need Triton; calling an operator with CUDA tensors does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ex4d.generate.wan.blocks import Rope, attend, rms_norm, rotate
from ex4d.generate.wan.fp8 import FP8, quantise_rows


def _rows_like(x: Tensor) -> tuple[Tensor, Tensor]:
    """Empty float8 rows like ``x`` and their scales."""
    return torch.empty(x.shape, dtype=FP8, device=x.device), x.new_empty((*x.shape[:-1], 1), dtype=torch.float32)


@torch.library.custom_op("ex4d::norm", mutates_args=(), device_types="cuda")
def norm(x: Tensor, gain: Tensor, offset: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """``layer_norm(x) * gain + offset`` in ``dtype``; gain and offset are [columns]."""
    from ex4d.generate.wan import kernels

    return kernels.norm(x, gain, offset, eps, dtype)


def _norm32(x: Tensor, gain: Tensor, offset: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x.float(), (x.shape[-1],), gain.float(), offset.float(), eps)


@norm.register_kernel("cpu")
def _(x: Tensor, gain: Tensor, offset: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    return _norm32(x, gain, offset, eps).to(dtype, copy=True)


@norm.register_fake
def _(x: Tensor, gain: Tensor, offset: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    return torch.empty(x.shape, dtype=dtype, device=x.device)


@torch.library.custom_op("ex4d::norm_quantise", mutates_args=(), device_types="cuda")
def norm_quantise(x: Tensor, gain: Tensor, offset: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """:func:`norm` as float8 rows and their scales [..., 1]."""
    from ex4d.generate.wan import kernels

    return kernels.norm_quantise(x, gain, offset, eps)


@norm_quantise.register_kernel("cpu")
def _(x: Tensor, gain: Tensor, offset: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return quantise_rows(_norm32(x, gain, offset, eps))


@norm_quantise.register_fake
def _(x: Tensor, gain: Tensor, offset: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return _rows_like(x)


@torch.library.custom_op("ex4d::add_norm", mutates_args=(), device_types="cuda")
def add_norm(
    x: Tensor, more: Tensor, gate: Tensor | None, gain: Tensor, offset: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """``x + more * gate`` in x's dtype, and :func:`norm` of it; no gate is a gate of one."""
    from ex4d.generate.wan import kernels

    return kernels.add_norm(x, more, gate, gain, offset, eps, dtype)


def _gated_sum(x: Tensor, more: Tensor, gate: Tensor | None) -> Tensor:
    step = more.float() if gate is None else more.float() * gate
    return (x.float() + step).to(x.dtype)


@add_norm.register_kernel("cpu")
def _(
    x: Tensor, more: Tensor, gate: Tensor | None, gain: Tensor, offset: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    total = _gated_sum(x, more, gate)
    return total, _norm32(total, gain, offset, eps).to(dtype)


@add_norm.register_fake
def _(
    x: Tensor, more: Tensor, gate: Tensor | None, gain: Tensor, offset: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), torch.empty(x.shape, dtype=dtype, device=x.device)


@torch.library.custom_op("ex4d::add_norm_quantise", mutates_args=(), device_types="cuda")
def add_norm_quantise(
    x: Tensor, more: Tensor, gate: Tensor | None, gain: Tensor, offset: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``x + more * gate`` in x's dtype, and :func:`norm_quantise` of it."""
    from ex4d.generate.wan import kernels

    return kernels.add_norm_quantise(x, more, gate, gain, offset, eps)


@add_norm_quantise.register_kernel("cpu")
def _(
    x: Tensor, more: Tensor, gate: Tensor | None, gain: Tensor, offset: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    total = _gated_sum(x, more, gate)
    return total, *quantise_rows(_norm32(total, gain, offset, eps))


@add_norm_quantise.register_fake
def _(
    x: Tensor, more: Tensor, gate: Tensor | None, gain: Tensor, offset: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), *_rows_like(x)


@torch.library.custom_op("ex4d::quantise", mutates_args=(), device_types="cuda")
def quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows as float8 and their scales [..., 1]."""
    from ex4d.generate.wan import kernels

    return kernels.quantise(x)


@quantise.register_kernel("cpu")
def _(x: Tensor) -> tuple[Tensor, Tensor]:
    return quantise_rows(x)


@torch.library.custom_op("ex4d::add_quantise", mutates_args=(), device_types="cuda")
def add_quantise(x: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
    """``x + more`` as float8 rows and their scales."""
    from ex4d.generate.wan import kernels

    return kernels.add_quantise(x, more)


@add_quantise.register_kernel("cpu")
def _(x: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
    return quantise_rows(x.float() + more.float())


@add_quantise.register_fake
def _(x: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
    return _rows_like(x)


@torch.library.custom_op("ex4d::gelu_quantise", mutates_args=(), device_types="cuda")
def gelu_quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """``gelu_tanh(x)`` as float8 rows and their scales."""
    from ex4d.generate.wan import kernels

    return kernels.gelu_quantise(x)


@gelu_quantise.register_kernel("cpu")
def _(x: Tensor) -> tuple[Tensor, Tensor]:
    return quantise_rows(F.gelu(x.float(), approximate="tanh"))


@quantise.register_fake
@gelu_quantise.register_fake
def _(x: Tensor) -> tuple[Tensor, Tensor]:
    return _rows_like(x)


@torch.library.custom_op("ex4d::rms_rotate", mutates_args=(), device_types="cuda")
def rms_rotate(
    q: Tensor, k: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int, eps: float
) -> tuple[Tensor, Tensor]:
    """Root-mean-square norm over all heads together and rotary embedding, of queries and keys [..., heads * channels].

    ``cos`` and ``sin`` are float32 [rows, ..., channels / 2].
    """
    from ex4d.generate.wan import kernels

    return kernels.rms_rotate(q, k, q_weight, k_weight, cos, sin, heads, eps)


@rms_rotate.register_kernel("cpu")
def _(
    q: Tensor, k: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int, eps: float
) -> tuple[Tensor, Tensor]:
    rope = Rope(cos, sin)

    def rotated(x: Tensor, weight: Tensor) -> Tensor:
        return rotate(rms_norm(x, weight, eps).unflatten(-1, (heads, -1)), rope).flatten(-2).to(x.dtype)

    return rotated(q, q_weight), rotated(k, k_weight)


@rms_rotate.register_fake
def _(
    q: Tensor, k: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int, eps: float
) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape)


@torch.library.custom_op("ex4d::rms", mutates_args=(), device_types="cuda")
def rms(x: Tensor, weight: Tensor, heads: int, eps: float) -> Tensor:
    """Root-mean-square norm over all heads together, in x's dtype."""
    from ex4d.generate.wan import kernels

    return kernels.rms(x, weight, heads, eps)


@rms.register_kernel("cpu")
def _(x: Tensor, weight: Tensor, heads: int, eps: float) -> Tensor:
    return rms_norm(x, weight, eps).to(x.dtype, copy=True)


@rms.register_fake
def _(x: Tensor, weight: Tensor, heads: int, eps: float) -> Tensor:
    return x.new_empty(x.shape)


@torch.library.custom_op("ex4d::cross_attend", mutates_args=(), device_types="cuda")
def cross_attend(
    q: Tensor, k_text: Tensor, v_text: Tensor, k_image: Tensor, v_image: Tensor, distinct: Tensor
) -> Tensor:
    """Attention of queries [1, tokens, heads * channels] to text plus that to the image, each with its own softmax.

    Keys and values are [1, heads, n, channels]. ``distinct`` [1] int32: text tokens from there on equal the one before.
    """
    from ex4d.generate.wan import cross_kernel

    return cross_kernel.cross_attend(q, k_text, v_text, k_image, v_image, distinct)


@cross_attend.register_kernel("cpu")
def _(q: Tensor, k_text: Tensor, v_text: Tensor, k_image: Tensor, v_image: Tensor, distinct: Tensor) -> Tensor:
    heads = q.unflatten(2, (k_text.shape[1], -1)).transpose(1, 2)
    return attend(heads, k_text, v_text) + attend(heads, k_image, v_image)


@cross_attend.register_fake
def _(q: Tensor, k_text: Tensor, v_text: Tensor, k_image: Tensor, v_image: Tensor, distinct: Tensor) -> Tensor:
    return q.new_empty(q.shape)
