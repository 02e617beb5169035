"""Operators with gradients of their own: what autograd and the compiler would spread over more passes than it needs.

``lora_products``: frozen linear layers with their low-rank additions. Left to itself autograd writes each addition out
before it is added, and adds the gradients of layers that read the same input one after the other. Here both are
accumulated in place, layers that share an input read it together, and what a product put out is kept or computed again
as a whole.

``rms_rotate``: the engine's operator gets its gradient: one kernel instead of the six passes it is derived into.

``gelu``: the tanh approximation by its sigmoid, which it is exactly: one exponential for a long polynomial.

On CUDA the kernels are Triton's (:mod:`ex4d.train.kernels`); elsewhere the functions here are the reference.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ex4d.engines.wan import blocks
from ex4d.engines.wan.blocks import Rope, rotate
from ex4d.engines.wan.operators import rms_rotate

MOST_RANKS = 64
"""The kernel holds all of a tile's low-rank factors in shared memory; more ranks than this are a real product."""
HAS_KERNELS = importlib.util.find_spec("triton") is not None


def rotated_on(device: torch.device) -> Callable[..., tuple[Tensor, Tensor]]:
    """``rms_rotate`` as the device can run it: a CUDA device without Triton takes the plain function."""
    return rms_rotate if HAS_KERNELS or device.type != "cuda" else blocks.rms_rotate


def _add_low_rank(y: Tensor, low: Tensor, up: Tensor) -> Tensor:
    """``y += low @ up`` in place."""
    if y.is_cuda and HAS_KERNELS and low.shape[1] <= MOST_RANKS:
        from ex4d.train.kernels import add_low_rank

        return add_low_rank(y, low, up)
    return y.addmm_(low, up)


@torch.library.custom_op("ex4d::lora_products", mutates_args=())
def lora_products(
    x: Tensor,  # [rows, in]
    low: Tensor,  # [rows, layers * rank]: x @ down.T, without a gradient of its own
    weights: Sequence[Tensor],  # each [out, in], frozen
    biases: Sequence[Tensor],  # each [out], frozen
    down: Tensor,  # [layers * rank, in]
    ups: Sequence[Tensor],  # each [out, rank]
) -> list[Tensor]:  # each [rows, out]
    """``x @ weight.T + bias + (x @ down.T) @ up.T`` of every layer.

    ``low`` comes from outside so that a block's last product, whose result no gradient needs, is not made again for it.
    """
    del down
    rank = ups[0].shape[1]
    out = []
    for i, (weight, bias, up) in enumerate(zip(weights, biases, ups, strict=True)):
        y = torch.addmm(bias, x, weight.t())
        out.append(_add_low_rank(y, low[:, i * rank : (i + 1) * rank], up.t()))
    return out


@lora_products.register_fake
def _(
    x: Tensor, low: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], down: Tensor, ups: Sequence[Tensor]
) -> list[Tensor]:
    return [x.new_empty(len(x), len(weight)) for weight in weights]


@torch.library.custom_op("ex4d::lora_products_backward", mutates_args=())
def lora_products_backward(
    gradients: Sequence[Tensor],  # each [rows, out]
    x: Tensor,
    low: Tensor,
    weights: Sequence[Tensor],
    down: Tensor,
    ups: Sequence[Tensor],
    wants_input: bool,
) -> list[Tensor]:  # of down, of every up, and of x if wanted
    """The gradients of what is trained, and of the input."""
    rank = ups[0].shape[1]
    of_low = torch.empty_like(low)
    for i, (gradient, up) in enumerate(zip(gradients, ups, strict=True)):
        torch.mm(gradient, up, out=of_low[:, i * rank : (i + 1) * rank])
    out = [of_low.t() @ x]
    out += [gradient.t() @ low[:, i * rank : (i + 1) * rank] for i, gradient in enumerate(gradients)]
    if wants_input:
        of_x = gradients[0] @ weights[0]
        for gradient, weight in zip(gradients[1:], weights[1:], strict=True):
            of_x.addmm_(gradient, weight)
        out.append(_add_low_rank(of_x, of_low, down))
    return out


@lora_products_backward.register_fake
def _(
    gradients: Sequence[Tensor],
    x: Tensor,
    low: Tensor,
    weights: Sequence[Tensor],
    down: Tensor,
    ups: Sequence[Tensor],
    wants_input: bool,
) -> list[Tensor]:
    out = [torch.empty_like(down), *(torch.empty_like(up) for up in ups)]
    return [*out, x.new_empty(x.shape)] if wants_input else out


def _keep_products(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    x, low, weights, _, down, ups = inputs
    ctx.layers = len(weights)
    ctx.save_for_backward(x, low, down, *weights, *ups)


def _products_backward(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    n = ctx.layers
    x, low, down, *rest = ctx.saved_tensors
    weights, ups = rest[:n], rest[n:]
    found = [x.new_zeros(len(x), len(w)) if g is None else g for g, w in zip(gradients, weights, strict=True)]
    wants = bool(ctx.needs_input_grad[0])
    out = lora_products_backward(found, x, low, weights, down, ups, wants)
    return out[n + 1] if wants else None, None, [None] * n, [None] * n, out[0], list(out[1 : n + 1])


lora_products.register_autograd(_products_backward, setup_context=_keep_products)


@torch.library.custom_op("ex4d::rms_rotate_backward", mutates_args=())
def rms_rotate_backward(
    q_gradient: Tensor,  # [..., tokens, heads * channels], of what came out
    k_gradient: Tensor,
    q: Tensor,  # as they went in
    k: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    heads: int,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """The gradients of queries and keys; weights are frozen."""
    if q.is_cuda:
        from ex4d.train import kernels

        return kernels.rms_rotate_backward(
            q_gradient, k_gradient, q, k, q_weight, k_weight, cos, sin, heads=heads, eps=eps
        )
    back = Rope(cos, -sin)

    def of(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        gradient = rotate(gradient.float().unflatten(-1, (heads, -1)), back).flatten(-2) * weight.float()
        norm = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + eps)
        x32 = x.float() * norm
        return (norm * (gradient - x32 * (gradient * x32).mean(-1, keepdim=True))).to(x.dtype)

    return of(q_gradient, q, q_weight), of(k_gradient, k, k_weight)


@rms_rotate_backward.register_fake
def _(q_gradient: Tensor, k_gradient: Tensor, q: Tensor, k: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape)


def _keep_rotated(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.heads, ctx.eps = inputs
    ctx.save_for_backward(*tensors)


def _rotated_backward(ctx: Any, q_gradient: Tensor, k_gradient: Tensor) -> tuple[Any, ...]:
    found = rms_rotate_backward(q_gradient, k_gradient, *ctx.saved_tensors, ctx.heads, ctx.eps)
    return (*found, *[None] * 6)


rms_rotate.register_autograd(_rotated_backward, setup_context=_keep_rotated)

_SLOPE, _CUBE = 1.5957691216057308, 0.044715  # 2 * sqrt(2 / pi): tanh(u) is 2 * sigmoid(2 u) - 1


def _as(x: Tensor, dtype: torch.dtype) -> Tensor:
    """``x`` as ``dtype``, and itself where it is that already.

    torch 2.11 compiles a function with a gradient of its own that holds a conversion which changes nothing, without a
    word, to one of no gradient (on a CPU) or to zeros (on a CUDA device).
    """
    return x if x.dtype == dtype else x.to(dtype)


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        wide = _as(x, torch.float32)
        return _as(wide * torch.sigmoid(_SLOPE * (wide + _CUBE * wide * wide * wide)), x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        wide = _as(x, torch.float32)
        share = torch.sigmoid(_SLOPE * (wide + _CUBE * wide * wide * wide))
        slope = share + wide * share * (1 - share) * (_SLOPE * (1 + 3 * _CUBE * wide * wide))
        return _as(_as(gradients[0], torch.float32) * slope, x.dtype)


def gelu(x: Tensor) -> Tensor:
    """The tanh approximation of GELU; the library's own, which is one pass, where no compiler makes one of ours."""
    ours = x.is_cuda and torch.compiler.is_compiling()
    out: Any = _Gelu.apply(x) if ours else F.gelu(x, approximate="tanh")
    return out
