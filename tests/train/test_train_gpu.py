"""What only a CUDA device shows: resuming a fused optimizer, swapping and offloading on streams, compiled blocks.

``EX4D_TEST_DEVICE=cpu`` runs the parts of a block there, for who has no such device and minutes for the compiler.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ex4d.engines.wan.blocks import attend, modulated_norm
from ex4d.engines.wan.compiling import compiled_by_shape
from ex4d.train.building import build
from ex4d.train.loop import train
from ex4d.train.lora import LoraLinear
from ex4d.train.model import Batch, ModelPlan, TrainedModel
from ex4d.train.objective import flow_loss
from ex4d.train.operators import gelu, rotated_on
from ex4d.train.record import LOG, read_log

DEVICE = torch.device(os.environ.get("EX4D_TEST_DEVICE", "cuda"))
HAS_DEVICE = DEVICE.type == "cpu" or torch.cuda.is_available()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not HAS_DEVICE, reason="needs a CUDA device")]
HEADS, CHANNELS, TOKENS = 2, 16, 18
WIDE = HEADS * CHANNELS


def _drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def _parts() -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """The parts of a block, each of its input [1, tokens, channels]; what is drawn for them is drawn beforehand."""
    layers = [LoraLinear(torch.nn.Linear(WIDE, WIDE), 4, 4.0, torch.Generator().manual_seed(s)) for s in (0, 1, 2)]
    for i, layer in enumerate(layers):
        layer.to(DEVICE).requires_grad_(False).base_layer.weight.data = _drawn(WIDE, WIDE, seed=i)
        layer.lora_B.data = _drawn(WIDE, 4, seed=20 + i)
    angles = _drawn(TOKENS, 1, CHANNELS // 2, seed=1)
    turned = _drawn(WIDE, seed=2), _drawn(WIDE, seed=3), angles.cos(), angles.sin()
    rotated, prompt = rotated_on(DEVICE), [_drawn(1, HEADS, 512, CHANNELS, seed=s) for s in (4, 5)]

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (HEADS, -1)).transpose(1, 2)

    return {
        "products": lambda x: torch.cat(layers[0].together(x, *layers[1:]), dim=-1),
        "rotated": lambda x: torch.cat(rotated(x, 2 * x, *turned, HEADS, 1e-6), dim=-1),
        "gelu": lambda x: gelu(x),
        "norm": lambda x: modulated_norm(x, x.mean(), x.square().mean(), 1e-6),
        "to itself": lambda x: attend(heads(x), heads(x * 2), heads(x * 3)),
        "to the prompt": lambda x: attend(heads(x), *prompt),
    }


@pytest.mark.parametrize("part", ["products", "rotated", "gelu", "norm", "to itself", "to the prompt"])
def test_a_compiled_part_of_a_block_has_the_gradient_of_the_plain_one(part: str) -> None:
    """One at a time, so that it shows which is at fault where a whole block's gradients differ."""
    plain = _parts()[part]
    runs = {"plain": plain, "compiled": compiled_by_shape(plain, shaped=0)}
    found = {}
    for name, run in runs.items():
        x = _drawn(1, TOKENS, WIDE, seed=7).requires_grad_()
        out = run(x)
        found[name] = out, *torch.autograd.grad(out, x, _drawn(*out.shape, seed=8))
    for one, other in zip(*found.values(), strict=True):
        assert (one - other).norm() <= 1e-5 * other.norm()


def test_a_run_goes_on_with_its_optimizer_on_the_device(tiny_config, weights, tmp_path) -> None:
    train(tiny_config("whole"), weights=weights)
    train(tiny_config("parts", train={"steps": 2}), weights=weights)
    train(tiny_config("parts"), weights=weights)
    curves = [[x["loss"] for x in read_log(tmp_path / name / LOG) if "loss" in x] for name in ("whole", "parts")]
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "plan",
    [ModelPlan(("full",), (0, 1)), ModelPlan(("attention",), offload_inputs=True), ModelPlan(("products", "kept"))],
    ids=["swapped", "offloaded", "products-kept"],
)
def test_gradients_are_the_same_however_memory_is_saved(plan, compiled, tiny_config, weights, monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # or convolutions round to 10 bits

    def gradients(plan: ModelPlan) -> dict[str, Any]:
        device, chance = torch.device("cuda"), torch.Generator().manual_seed(1)
        built = build(tiny_config(), device, weights=weights)
        for p in built.trained().values():
            p.data.add_(0.05 * torch.randn(p.shape, generator=chance).to(device))
        outside = built.outside
        outside.blocks = torch.nn.ModuleList(block.block for block in built.blocks)
        exact = replace(plan, compute=torch.float32, residual=torch.float32)
        model, one = TrainedModel(outside, built.geometry, exact).to_device(device), torch.ones(1, device=device)

        def noise(*shape: int) -> torch.Tensor:
            return torch.randn(1, *shape, generator=chance)

        shape = (3, 4, 6)
        parts = [noise(16, *shape), noise(20, *shape), noise(16, *shape), noise(16, *shape)]
        batch = Batch(*parts, noise(257, 64), noise(512, 32), noise(*shape)).to(device)
        for _ in range(2):
            model.zero_grad()
            with model.attention():
                flow_loss(model, batch, batch.mask, one * 0.6, one, one).loss.backward()
        return {name: p.grad.cpu() for name, p in model.trained().items() if p.grad is not None}

    expected, found = gradients(ModelPlan(("kept",))), gradients(replace(plan, compiled=compiled))
    assert found.keys() == expected.keys()
    errors = {name: float((found[name] - g).norm() / (g.norm() + 1e-4)) for name, g in expected.items()}
    assert {name: error for name, error in errors.items() if error > 2e-3} == {}
