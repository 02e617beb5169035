"""What only a CUDA device shows: resuming a fused optimizer, swapping and offloading on streams, compiled blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from ex4d.train.building import build
from ex4d.train.loop import train
from ex4d.train.model import Batch, ModelPlan, TrainedModel
from ex4d.train.objective import flow_loss
from ex4d.train.record import LOG, read_log

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


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
