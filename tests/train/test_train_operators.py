"""Operators with gradients of their own against autograd's."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ex4d.engines.wan.blocks import rms_rotate
from ex4d.train import operators
from ex4d.train.lora import LoraLinear


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layers(count: int) -> list[LoraLinear]:
    """Several of one input, with an addition that is not zero."""
    found = []
    for i in range(count):
        layer = LoraLinear(nn.Linear(6, 5 + i).double(), 2, 3.0, torch.Generator().manual_seed(i)).double()
        layer.base_layer.requires_grad_(False)
        layer.lora_B.data.copy_(random(5 + i, 2, seed=10 + i))
        found.append(layer)
    return found


def plain(layer: LoraLinear, x: Tensor) -> Tensor:
    return layer.base_layer(x) + layer.scale * F.linear(F.linear(x, layer.lora_A), layer.lora_B)


@pytest.mark.parametrize("wants_input", [True, False])
@pytest.mark.parametrize("used", [(0, 1, 2), (1,)], ids=["all used", "one used"])
def test_layers_of_one_input_are_what_each_makes_alone(used, wants_input: bool) -> None:
    three, x = layers(3), random(2, 4, 6, seed=0).requires_grad_(wants_input)
    trained = [p for layer in three for p in (layer.lora_A, layer.lora_B)]
    wanted = [*trained, x] if wants_input else trained

    def gradients(out: list[Tensor]) -> list[Tensor]:
        loss = sum((out[i] * random(*out[i].shape, seed=20 + i)).sum() for i in used)
        found = torch.autograd.grad(loss, wanted, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(wanted, found, strict=True)]

    together, alone = three[0].together(x, *three[1:]), [plain(layer, x) for layer in three]
    for found, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(found, expected)
    for found, expected in zip(gradients(together), gradients(alone), strict=True):
        torch.testing.assert_close(found, expected)


def test_gelu_by_its_sigmoid_is_the_tanh_approximation() -> None:
    x = torch.linspace(-12, 12, 2001, requires_grad=True)
    found, expected = operators._Gelu.apply(x), F.gelu(x, approximate="tanh")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    slopes = [torch.autograd.grad(y.sum(), x)[0] for y in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-5)


def test_norm_and_rotation_have_autograds_gradient() -> None:
    heads, channels, tokens = 3, 4, 5
    q, k = (random(2, tokens, heads * channels, seed=s).float().requires_grad_() for s in (0, 1))
    weights = [random(heads * channels, seed=s).float() for s in (2, 3)]
    angles = random(tokens, 1, channels // 2, seed=4).float()
    given = (q, k, *weights, angles.cos(), angles.sin(), heads, 1e-6)
    gradients = [random(*q.shape, seed=s).float() for s in (5, 6)]
    found = torch.autograd.grad(operators.rotated_on(q.device)(*given), (q, k), gradients)
    expected = torch.autograd.grad(rms_rotate(*given), (q, k), gradients)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
