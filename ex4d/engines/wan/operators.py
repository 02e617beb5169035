"""Operators between a block's matrix products: kernels on CUDA, plain functions on the CPU, shapes for the compiler.

Each works on rows, the last axis of its inputs, in float32. The plain functions are the reference for the kernels of
``kernels.py``, and let the fused block run where there is no GPU. Rows that become float8 are not rounded to bfloat16
on the way, as the layers of ``fp8.py`` have to when they quantise by themselves: that would be less exact.
Importing this module does not need Triton; calling an operator with CUDA tensors does.
"""

import importlib
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ex4d.engines.wan import blocks
from ex4d.engines.wan.blocks import attend, rms_norm
from ex4d.engines.wan.fp8 import FP8, quantise_rows


def _operator(shapes: Callable[..., Any], module: str = "kernels") -> Callable[[Callable[..., Any]], Any]:
    """Make a plain function an operator of its name: on CUDA the kernel of that name in ``module``, elsewhere itself.

    ``shapes`` is given the same arguments and makes empty results, for the compiler.
    """

    def register(plain: Callable[..., Any]) -> Any:
        @wraps(plain)
        def on_cuda(*args: Any) -> Any:
            kernels = importlib.import_module(f"ex4d.engines.wan.{module}")
            return getattr(kernels, plain.__name__)(*args)

        operator = torch.library.custom_op(f"ex4d::{plain.__name__}", on_cuda, mutates_args=(), device_types="cuda")
        operator.register_kernel("cpu")(plain)
        operator.register_fake(shapes)
        return operator

    return register


def _same(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


def _rows_like(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """Empty float8 rows like ``x`` and their scales."""
    return torch.empty(x.shape, dtype=FP8, device=x.device), x.new_empty((*x.shape[:-1], 1), dtype=torch.float32)


def _norm32(x: Tensor, gain: Tensor, offset: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x.float(), (x.shape[-1],), gain.float(), offset.float(), eps)


def _gated_sum(x: Tensor, more: Tensor, gate: Tensor | None) -> Tensor:
    step = more.float() if gate is None else more.float() * gate
    return (x.float() + step).to(x.dtype)


@_operator(lambda x, gain, offset, eps, dtype: torch.empty(x.shape, dtype=dtype, device=x.device))
def norm(x: Tensor, gain: Tensor, offset: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """``layer_norm(x) * gain + offset`` in ``dtype``; gain and offset are [columns]."""
    return _norm32(x, gain, offset, eps).to(dtype, copy=True)


@_operator(_rows_like)
def norm_quantise(x: Tensor, gain: Tensor, offset: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """:func:`norm` as float8 rows and their scales [..., 1]."""
    return quantise_rows(_norm32(x, gain, offset, eps))


@_operator(lambda x, *rest: (_same(x), torch.empty(x.shape, dtype=rest[-1], device=x.device)))
def add_norm(
    x: Tensor, more: Tensor, gate: Tensor | None, gain: Tensor, offset: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """``x + more * gate`` in x's dtype, and :func:`norm` of it; no gate is a gate of one."""
    total = _gated_sum(x, more, gate)
    return total, _norm32(total, gain, offset, eps).to(dtype)


@_operator(lambda x, *_: (_same(x), *_rows_like(x)))
def add_norm_quantise(
    x: Tensor, more: Tensor, gate: Tensor | None, gain: Tensor, offset: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``x + more * gate`` in x's dtype, and :func:`norm_quantise` of it."""
    total = _gated_sum(x, more, gate)
    return total, *quantise_rows(_norm32(total, gain, offset, eps))


@_operator(_rows_like)
def quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows as float8 and their scales [..., 1]."""
    return quantise_rows(x)


@_operator(_rows_like)
def add_quantise(x: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
    """``x + more`` as float8 rows and their scales."""
    return quantise_rows(x.float() + more.float())


@_operator(_rows_like)
def gelu_quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """``gelu_tanh(x)`` as float8 rows and their scales."""
    return quantise_rows(F.gelu(x.float(), approximate="tanh"))


rms_rotate = _operator(lambda q, k, *_: (_same(q), _same(k)))(blocks.rms_rotate)


@_operator(_same)
def rms(x: Tensor, weight: Tensor, heads: int, eps: float) -> Tensor:
    """Root-mean-square norm over all heads together, in x's dtype."""
    return rms_norm(x, weight, eps).to(x.dtype, copy=True)


@_operator(_same, "cross_kernel")
def cross_attend(
    q: Tensor, k_text: Tensor, v_text: Tensor, k_image: Tensor, v_image: Tensor, distinct: Tensor
) -> Tensor:
    """Attention of queries [1, tokens, heads * channels] to text plus that to the image, each with its own softmax.

    Keys and values are [1, heads, n, channels]. ``distinct`` [1] int32: text tokens from there on equal the one before.
    """
    heads = q.unflatten(2, (k_text.shape[1], -1)).transpose(1, 2)
    return attend(heads, k_text, v_text) + attend(heads, k_image, v_image)
