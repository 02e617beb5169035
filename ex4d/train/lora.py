"""A low-rank addition beside a frozen linear layer, whatever form that layer's weight has.

Named as peft names its layers, which is where the keys of EX-4D's checkpoint come from. Ours because the base may be
:class:`~ex4d.engines.wan.fp8.Fp8Linear`, because the masters are float32 whatever dtype runs through, and because a
layer of plain products compiles into the block around it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ex4d.train.operators import lora_products

TARGETS = (
    *(f"{attn}.{name}" for attn in ("attn1", "attn2") for name in ("to_q", "to_k", "to_v", "to_out.0")),
    "ffn.net.0.proj",
    "ffn.net.2",
)
"""Layers of a block that EX-4D's LoRA touches, by diffusers' names."""


class LoraLinear(nn.Module):
    """``base(x) + (alpha / rank) * up(down(x))``; ``down`` is drawn as peft draws it, ``up`` is zero: no change yet."""

    def __init__(self, base: nn.Module, rank: int, alpha: float, generator: torch.Generator | None = None):
        super().__init__()
        self.base_layer = base
        wide, out = int(base.in_features), int(base.out_features)  # pyright: ignore[reportArgumentType]
        device = next(base.parameters()).device
        bound = 1 / math.sqrt(wide)
        down = torch.empty(rank, wide).uniform_(-bound, bound, generator=generator)
        self.lora_A = nn.Parameter(down.to(device))
        self.lora_B = nn.Parameter(torch.zeros(out, rank, device=device))
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:  # [..., in] -> [..., out]
        """In x's dtype."""
        return self.together(x)[0]

    def together(self, x: Tensor, *others: LoraLinear) -> list[Tensor]:  # each [..., out]
        """This layer and ``others`` of the same input."""
        layers = (self, *others)
        if all(type(layer.base_layer) is nn.Linear for layer in layers):
            return _products(x, layers)
        return [layer.base_layer(x) + F.linear(F.linear(x, layer._down(x)), layer._up(x)) for layer in layers]

    def _down(self, x: Tensor) -> Tensor:
        return self.lora_A.to(x.dtype)

    def _up(self, x: Tensor) -> Tensor:
        return (self.lora_B * self.scale).to(x.dtype)


def _products(x: Tensor, layers: Sequence[LoraLinear]) -> list[Tensor]:
    rows = x.flatten(0, -2)
    bases = [layer.base_layer for layer in layers]
    down = torch.cat([layer._down(x) for layer in layers])
    low = rows.detach() @ down.detach().t()
    weights, biases = [base.weight for base in bases], [base.bias for base in bases]
    out = lora_products(rows, low, weights, biases, down, [layer._up(x) for layer in layers])
    return [y.unflatten(0, x.shape[:-1]) for y in out]


def add_lora(model: nn.Module, *, rank: int, alpha: float, seed: int) -> None:
    """Put a :class:`LoraLinear` around every target layer of ``model``'s blocks; nothing else of it is trained."""
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for block in model.get_submodule("blocks").children():
        for name in TARGETS:
            owner, _, leaf = name.rpartition(".")
            layer = LoraLinear(block.get_submodule(name), rank, alpha, generator)
            block.get_submodule(owner)._modules[leaf] = layer


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """Every layer with its diffusers' module name, such as ``blocks.0.attn1.to_q``."""
    for name, module in model.named_modules():
        if isinstance(module, LoraLinear):
            yield re.sub(r"(^|\.)block\.", r"\1", name), module
