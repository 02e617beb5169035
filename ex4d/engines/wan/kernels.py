"""Triton kernels for what lies between a block's matrix products: each reads and writes its rows once.

Every function works on rows, the last axis of its inputs, in float32; ``operators.py`` says what each computes, and
holds the plain functions that are the reference. One program holds one row in registers.
Importing this module needs Triton.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ex4d.engines.wan.fp8 import FP8

PLAIN, ADD, GELU = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)  # what quantise_kernel does first


@triton.jit
def _row_of(x, columns, BLOCK: tl.constexpr):
    """This program's row: its number, its columns, which of them exist, where they lie, and what x holds there."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < columns
    at = row * columns + column
    # Rows are read once, what is common to all by every program: the hint keeps the latter in the nearest cache.
    value = tl.load(x + at, mask=inside, other=0.0, eviction_policy="evict_first").to(tl.float32)
    return row, column, inside, at, value


@triton.jit
def _store_quantised(out, scales, row, at, inside, values):
    """Scale a row to float8's largest value; the conversion itself rounds to nearest."""
    scale = tl.maximum(tl.max(tl.abs(values), 0) / 448.0, 1e-12)
    tl.store(scales + row, scale)
    tl.store(out + at, (values * (1.0 / scale)).to(out.dtype.element_ty), mask=inside)


@triton.jit
def norm_kernel(
    x,  # [rows, columns]
    more,  # [rows, columns], added to x
    gate,  # [columns] float32, times more
    gain,  # [columns]
    offset,  # [columns]
    total,  # [rows, columns], written: x + more * gate
    out,  # [rows, columns], written
    scales,  # [rows] float32, written if out is float8
    columns,
    eps,
    RESIDUAL: tl.constexpr,
    GATED: tl.constexpr,
    QUANTISED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Layer norm of x, or of x + more * gate, then ``* gain + offset``."""
    row, column, inside, at, value = _row_of(x, columns, BLOCK)
    if RESIDUAL:
        step = tl.load(more + at, mask=inside, other=0.0, eviction_policy="evict_first").to(tl.float32)
        if GATED:
            step = step * tl.load(gate + column, mask=inside, other=0.0)
        rounded = (value + step).to(total.dtype.element_ty)
        tl.store(total + at, rounded, mask=inside)
        value = rounded.to(tl.float32)
    centred = tl.where(inside, value - tl.sum(value, 0) / columns, 0.0)
    value = centred * tl.rsqrt(tl.sum(centred * centred, 0) / columns + eps)
    value = value * tl.load(gain + column, mask=inside, other=0.0).to(tl.float32)
    value = value + tl.load(offset + column, mask=inside, other=0.0).to(tl.float32)
    if QUANTISED:
        _store_quantised(out, scales, row, at, inside, value)
    else:
        tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def quantise_kernel(
    x,  # [rows, columns]
    more,  # [rows, columns], for ADD
    out,  # [rows, columns] float8, written
    scales,  # [rows] float32, written
    columns,
    FIRST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Rows to float8, after a sum or a tanh-GELU."""
    row, _, inside, at, value = _row_of(x, columns, BLOCK)
    if FIRST == ADD:
        value += tl.load(more + at, mask=inside, other=0.0, eviction_policy="evict_first").to(tl.float32)
    elif FIRST == GELU:
        # x * (1 + tanh(u)) / 2 is x / (1 + exp(-2 u)): one exponential, and no loss where tanh comes close to -1.
        # The bound keeps it finite, where the quotient is 0 in any dtype we store.
        twice = 1.5957691216057308 * (value + 0.044715 * value * value * value)
        value = value / (1.0 + tl.exp(tl.minimum(-twice, 80.0)))
    _store_quantised(out, scales, row, at, inside, value)


@triton.jit
def _rms_rows(x, weight, cos, sin, out, row, turn, heads, channels, eps, ROTATED: tl.constexpr, HEADS, CHANNELS):
    """One row of rms_kernel as a block [heads, channels]: a head's angles are the next head's too."""
    head, channel = tl.arange(0, HEADS)[:, None], tl.arange(0, CHANNELS)[None, :]
    inside = (head < heads) & (channel < channels)
    column = head * channels + channel
    at = row * heads * channels + column
    value = tl.load(x + at, mask=inside, other=0.0, eviction_policy="evict_first").to(tl.float32)
    mean = tl.sum(tl.sum(value * value, 1), 0) / (heads * channels)
    value = value * tl.rsqrt(mean + eps) * tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    if ROTATED:
        half: tl.constexpr = CHANNELS // 2
        pair = tl.arange(0, half)
        angle = turn * (channels // 2) + pair
        c = tl.load(cos + angle, mask=pair * 2 < channels, other=0.0)[None, :]
        s = tl.load(sin + angle, mask=pair * 2 < channels, other=0.0)[None, :]
        first, second = tl.split(tl.reshape(value, (HEADS, half, 2)))
        value = tl.join(first * c - second * s, first * s + second * c)
        value = tl.reshape(value, (HEADS, CHANNELS))
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def rms_kernel(
    q,  # [rows, heads * channels]
    k,  # the same; taken by the second half of the grid
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
    ROTATED: tl.constexpr,
    HEADS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Root-mean-square norm of whole rows, then the rotation of neighbouring channel pairs."""
    row = tl.program_id(0).to(tl.int64)
    if tl.program_id(1) == 0:
        _rms_rows(q, q_weight, cos, sin, q_out, row, row % turns, heads, channels, eps, ROTATED, HEADS, CHANNELS)
    else:
        _rms_rows(k, k_weight, cos, sin, k_out, row, row % turns, heads, channels, eps, ROTATED, HEADS, CHANNELS)


def warps_of(block: int) -> int:
    """Warps for a row of ``block`` values: 32 values a thread keep a row in registers and several rows in flight."""
    return max(1, min(16, block // 1024))


def _rows(x: Tensor) -> int:
    return x.numel() // x.shape[-1]


def _float8(x: Tensor) -> tuple[Tensor, Tensor]:
    """Empty float8 rows like ``x`` and their scales."""
    return torch.empty(x.shape, dtype=FP8, device=x.device), x.new_empty((*x.shape[:-1], 1), dtype=torch.float32)


def _norm(
    x: Tensor,
    more: Tensor | None,
    gate: Tensor | None,
    gain: Tensor,
    offset: Tensor,
    total: Tensor | None,
    out: Tensor,
    scales: Tensor | None,
    eps: float,
) -> None:
    columns = x.shape[-1]
    block = triton.next_power_of_2(columns)
    # Parts that a variant does not use are never touched; any tensor stands in for their pointers.
    norm_kernel[(_rows(x),)](
        x.contiguous(),
        x if more is None else more.contiguous(),
        gain if gate is None else gate.contiguous(),
        gain.contiguous(),
        offset.contiguous(),
        x if total is None else total,
        out,
        out if scales is None else scales,
        columns,
        eps,
        RESIDUAL=more is not None,
        GATED=gate is not None,
        QUANTISED=scales is not None,
        BLOCK=block,
        num_warps=warps_of(block),
    )


def norm(x: Tensor, gain: Tensor, offset: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """``layer_norm(x) * gain + offset`` in ``dtype``; gain and offset are [columns]."""
    out = torch.empty(x.shape, dtype=dtype, device=x.device)
    _norm(x, None, None, gain, offset, None, out, None, eps)
    return out


def norm_quantise(x: Tensor, gain: Tensor, offset: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """:func:`norm` as float8 rows and their scales [..., 1]."""
    out, scales = _float8(x)
    _norm(x, None, None, gain, offset, None, out, scales, eps)
    return out, scales


def add_norm(
    x: Tensor, more: Tensor, gate: Tensor | None, gain: Tensor, offset: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """``x + more * gate`` in x's dtype, and :func:`norm` of it; no gate is a gate of one."""
    total, out = x.new_empty(x.shape), torch.empty(x.shape, dtype=dtype, device=x.device)
    _norm(x, more, gate, gain, offset, total, out, None, eps)
    return total, out


def add_norm_quantise(
    x: Tensor, more: Tensor, gate: Tensor | None, gain: Tensor, offset: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``x + more * gate`` in x's dtype, and :func:`norm_quantise` of it."""
    total, (out, scales) = x.new_empty(x.shape), _float8(x)
    _norm(x, more, gate, gain, offset, total, out, scales, eps)
    return total, out, scales


def _quantise(x: Tensor, more: Tensor | None, first: tl.constexpr) -> tuple[Tensor, Tensor]:
    out, scales = _float8(x)
    columns = x.shape[-1]
    block = triton.next_power_of_2(columns)
    x = x.contiguous()
    other = x if more is None else more.contiguous()
    warps = warps_of(block)
    quantise_kernel[(_rows(x),)](x, other, out, scales, columns, FIRST=first.value, BLOCK=block, num_warps=warps)
    return out, scales


def quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows as float8 and their scales [..., 1]."""
    return _quantise(x, None, PLAIN)


def add_quantise(x: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
    """``x + more`` as float8 rows and their scales."""
    return _quantise(x, more, ADD)


def gelu_quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """``gelu_tanh(x)`` as float8 rows and their scales."""
    return _quantise(x, None, GELU)


def _rms(
    inputs: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor], heads: int, angles: tuple[Tensor, Tensor] | None, eps
) -> tuple[Tensor, Tensor]:
    q, k = (x.contiguous() for x in inputs)
    first = torch.empty_like(q)
    out = first, first if k is q else torch.empty_like(k)
    channels = q.shape[-1] // heads
    cos, sin = (weights[0], weights[0]) if angles is None else (a.contiguous() for a in angles)
    rows, padded = triton.next_power_of_2(heads), triton.next_power_of_2(channels)
    rms_kernel[(_rows(q), 1 if q is k else 2)](
        q,
        k,
        weights[0].contiguous(),
        weights[1].contiguous(),
        cos,
        sin,
        *out,
        _rows(q) if angles is None else cos.numel() // (channels // 2),
        heads,
        channels,
        eps,
        ROTATED=angles is not None,
        HEADS=rows,
        CHANNELS=padded,
        num_warps=warps_of(rows * padded),
    )
    return out


def rms_rotate(
    q: Tensor, k: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int, eps: float
) -> tuple[Tensor, Tensor]:
    """Root-mean-square norm over all heads together and rotary embedding, of queries and keys [..., heads * channels].

    ``cos`` and ``sin`` are float32 [tokens, 1, channels / 2], the same for every sample of a batch.
    """
    return _rms((q, k), (q_weight, k_weight), heads, (cos, sin), eps)


def rms(x: Tensor, weight: Tensor, heads: int, eps: float) -> Tensor:
    """Root-mean-square norm over all heads together, in x's dtype."""
    x = x.contiguous()
    return _rms((x, x), (weight, weight), heads, None, eps)[0]
