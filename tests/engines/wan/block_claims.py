"""What every way of running a fused block is held against: the plain block on the same weights."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.transformers.transformer_wan import WanTransformerBlock
from torch import Tensor

from ex4d.engines.wan import blocks as plain
from ex4d.engines.wan import fused
from ex4d.engines.wan.fp8 import FP8_NAMES, Fp8Linear, quantise_rows, replace_linears

HEADS, CHANNELS, TOKENS, EPS = 3, 16, 48, 1e-6
DIM = HEADS * CHANNELS


def numbers(*shape: int, dtype: torch.dtype, device: torch.device, seed: int = 0) -> Tensor:
    found = torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))
    return found.to(device=device, dtype=dtype)


def make_block(device: torch.device, *, fp8: bool) -> Any:
    """A transformer block with random weights; with ``fp8`` its large layers multiply in 8 bits."""
    torch.manual_seed(0)
    block = WanTransformerBlock(DIM, 2 * DIM, HEADS, "rms_norm_across_heads", True, EPS, DIM)
    block = block.to(device=device, dtype=torch.bfloat16).requires_grad_(False).eval()
    if fp8:
        weights = {name: block.get_submodule(name) for name in FP8_NAMES}
        replace_linears(block, native=True)
        for name, linear in weights.items():
            layer = block.get_submodule(name)
            assert isinstance(layer, Fp8Linear)
            weight, scale = quantise_rows(linear.weight)
            layer.weight, layer.scale, layer.bias = (
                torch.nn.Parameter(t, requires_grad=False) for t in (weight, scale, linear.bias.float())
            )
    return block


def make_cross(device: torch.device) -> plain.CrossKV:
    """Keys and values of five text and four image tokens."""
    sizes = enumerate((5, 5, 4, 4))
    return plain.CrossKV(
        *(numbers(1, HEADS, n, CHANNELS, dtype=torch.bfloat16, device=device, seed=seed) for seed, n in sizes)
    )


def check_block(
    device: torch.device, dtype: torch.dtype, *, fp8: bool, ffn_rows: int, interpreted: bool = False
) -> None:
    """Both halves of the fused block give the plain halves' results, within what rounding in other places does.

    Eight bits: where the plain layers round to bfloat16 first, one value in thirty goes to its neighbour. An
    ``interpreted`` kernel cuts off where a GPU rounds, which costs several per cent.
    """
    bar = 1.5e-2 if not fp8 else 1e-1 if interpreted else 2.5e-2
    block = make_block(device, fp8=fp8)
    x = numbers(1, TOKENS, DIM, dtype=dtype, device=device)
    modulation = numbers(1, 6, DIM, dtype=torch.float32, device=device)
    angles = numbers(TOKENS, 1, CHANNELS // 2, dtype=torch.float32, device=device)
    rope = plain.Rope(angles.cos(), angles.sin())
    cross = make_cross(device)
    h = fused.self_attention(block, x, modulation, rope, torch.bfloat16)
    expected = plain.self_attention(block, x, modulation, rope, torch.bfloat16)
    assert (h - expected).norm() <= bar * expected.norm()
    found = fused.finish(block, x, expected, modulation, cross, ffn_rows)
    wanted = plain.finish(block, x, expected, modulation, cross)
    assert found.dtype == dtype
    assert (found - wanted).norm() <= bar * wanted.norm()
    if (
        fp8 and not interpreted
    ):  # and 8 bits are what was used: it is nearer to the plain 8-bit block than to the 16-bit one
        other = plain.finish(make_block(device, fp8=False), x, expected, modulation, cross)
        assert (found - wanted).norm() < 0.8 * (found - other).norm()
