"""Triton kernels for the gradients of a block, and for adding a low-rank product in place.

:mod:`ex4d.train.operators` says what each computes and holds the plain functions that are the reference.
Importing this module needs Triton.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ex4d.engines.wan.kernels import warps_of


@triton.jit
def low_rank_kernel(
    y,  # [rows, columns], added to
    low,  # [rows, rank] by low_row
    up,  # [rank, columns] by up_row and up_column
    rows,
    columns,
    rank,
    low_row,
    up_row,
    up_column,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    RANK: tl.constexpr,
):
    """A tile of ``y + low @ up``."""
    row = (tl.program_id(1) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    column = (tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    r = tl.arange(0, RANK)
    left = tl.load(low + row * low_row + r[None, :], mask=(row < rows) & (r[None, :] < rank), other=0.0)
    right = tl.load(
        up + r[:, None] * up_row + column * up_column, mask=(column < columns) & (r[:, None] < rank), other=0.0
    )
    inside = (row < rows) & (column < columns)
    at = y + row * columns + column
    total = tl.load(at, mask=inside, other=0.0).to(tl.float32) + tl.dot(left, right, input_precision="ieee")
    tl.store(at, total.to(y.dtype.element_ty), mask=inside)


@triton.jit
def _rotated_rows(gradient, x, weight, cos, sin, out, row, turn, heads, channels, eps, HEADS, CHANNELS):
    """One row of rms_rotate's gradient as a block [heads, channels]."""
    head, channel = tl.arange(0, HEADS)[:, None], tl.arange(0, CHANNELS)[None, :]
    inside = (head < heads) & (channel < channels)
    column = head * channels + channel
    at = row * heads * channels + column
    value = tl.load(x + at, mask=inside, other=0.0, eviction_policy="evict_first").to(tl.float32)
    slope = tl.load(gradient + at, mask=inside, other=0.0, eviction_policy="evict_first").to(tl.float32)
    half: tl.constexpr = CHANNELS // 2
    pair = tl.arange(0, half)
    angle = turn * (channels // 2) + pair
    c = tl.load(cos + angle, mask=pair * 2 < channels, other=0.0)[None, :]
    s = tl.load(sin + angle, mask=pair * 2 < channels, other=0.0)[None, :]
    first, second = tl.split(tl.reshape(slope, (HEADS, half, 2)))
    slope = tl.reshape(tl.join(first * c + second * s, second * c - first * s), (HEADS, CHANNELS))
    slope = slope * tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    count = heads * channels
    norm = tl.rsqrt(tl.sum(tl.sum(value * value, 1), 0) / count + eps)
    value = value * norm
    slope = norm * (slope - value * (tl.sum(tl.sum(slope * value, 1), 0) / count))
    tl.store(out + at, slope.to(out.dtype.element_ty), mask=inside)


@triton.jit
def rms_backward_kernel(
    q_gradient,  # [rows, heads * channels]
    k_gradient,  # the same; taken by the second half of the grid
    q,
    k,
    q_weight,  # [heads * channels]
    k_weight,
    cos,  # [turns, channels / 2] float32; row n is turned by n modulo turns
    sin,
    q_out,  # [rows, heads * channels], written
    k_out,
    turns,
    heads,
    channels: tl.constexpr,
    eps,
    HEADS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """The gradients of queries and keys before norm and rotation."""
    row = tl.program_id(0).to(tl.int64)
    turn = row % turns
    if tl.program_id(1) == 0:
        _rotated_rows(q_gradient, q, q_weight, cos, sin, q_out, row, turn, heads, channels, eps, HEADS, CHANNELS)
    else:
        _rotated_rows(k_gradient, k, k_weight, cos, sin, k_out, row, turn, heads, channels, eps, HEADS, CHANNELS)


def add_low_rank(y: Tensor, low: Tensor, up: Tensor) -> Tensor:
    """``y += low @ up`` in place: one pass over y. ``low`` has its columns side by side, ``y`` is contiguous."""
    (rows, columns), rank = y.shape, low.shape[1]
    tile = (64, 128)
    low_rank_kernel[(triton.cdiv(columns, tile[1]), triton.cdiv(rows, tile[0]))](
        y,
        low,
        up,
        rows,
        columns,
        rank,
        low.stride(0),
        up.stride(0),
        up.stride(1),
        ROWS=tile[0],
        COLUMNS=tile[1],
        RANK=max(16, triton.next_power_of_2(rank)),
        num_warps=4,
    )
    return y


def rms_rotate_backward(
    q_gradient: Tensor,
    k_gradient: Tensor,
    q: Tensor,
    k: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    *,
    heads: int,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """See the operator of this name."""
    inputs = [t.contiguous() for t in (q_gradient, k_gradient, q, k, q_weight, k_weight, cos, sin)]
    out = torch.empty_like(inputs[2]), torch.empty_like(inputs[3])
    channels = q.shape[-1] // heads
    padded = triton.next_power_of_2(heads), triton.next_power_of_2(channels)
    rms_backward_kernel[(q.numel() // q.shape[-1], 2)](
        *inputs,
        *out,
        cos.numel() // (channels // 2),
        heads,
        channels,
        eps,
        HEADS=padded[0],
        CHANNELS=padded[1],
        num_warps=warps_of(padded[0] * padded[1]),
    )
    return out
