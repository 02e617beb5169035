from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ex4d.engines.wan.conditioning import image_condition
from ex4d.engines.wan.denoiser import FLOAT32, Conditions, WanDenoiser
from ex4d.engines.wan.geometry import GeometryEncoder
from ex4d.engines.wan.loading import TransformerPlan, load_transformer
from ex4d.engines.wan.schedule import TRAIN_TIMESTEPS, Schedule
from ex4d.train.building import build
from ex4d.train.model import Batch, ModelPlan, TrainedModel
from ex4d.train.objective import Levels, draw, flow_loss
from ex4d.train.published import EX4D_FILE, LORA_FILE, published_state, start_from, write_exports
from ex4d.weights.adapters import load_ex4d
from ex4d.weights.components import open_part
from ex4d_ground.errors import WeightsError

CPU = torch.device("cpu")
T, H, W = 3, 4, 6


def random_batch(size: int = 2) -> Batch:
    chance = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(size, *shape, generator=chance)

    image = image_condition(noise(16, T, H, W))
    hidden = torch.rand(size, T, H, W, generator=chance)
    return Batch(
        noise(16, T, H, W), image, noise(16, T, H, W), noise(16, T, H, W), noise(257, 64), noise(512, 32), hidden
    )


def velocity(model: TrainedModel, batch: Batch, sigma: float = 0.5) -> torch.Tensor:
    steps = torch.full((len(batch),), sigma * TRAIN_TIMESTEPS)
    scale = torch.ones(len(batch))
    given = (batch.image, batch.colour, batch.mask, batch.clip_fea, batch.context, scale)
    return model(batch.latents, steps, *given)


def engine_velocity(
    weights: Any, batch: Batch, lora: Any = None, geometry: GeometryEncoder | None = None
) -> torch.Tensor:
    """What the engine makes of a batch of one at noise level 0.5."""
    plan = TransformerPlan(CPU, torch.float32, conditioning_on_device=True)
    loras = [] if lora is None else [(lora, 1.0)]
    denoiser = WanDenoiser(
        load_transformer(open_part(weights, "transformer"), plan, loras=loras), device=CPU, precision=FLOAT32
    )
    tokens = None if geometry is None else geometry(batch.colour, batch.mask)
    conditions = Conditions(batch.image, batch.clip_fea, tokens, (batch.context,))
    with denoiser.shot(conditions, Schedule(torch.tensor([0.5]))) as shot:
        return denoiser.velocity(shot, batch.latents, 0)


def learnt(model: TrainedModel) -> TrainedModel:
    """As after some training: nothing is zero any more."""
    chance = torch.Generator().manual_seed(2)
    for p in model.trained().values():
        p.data.add_(0.05 * torch.randn(p.shape, generator=chance))
    return model


def test_before_the_first_step_the_model_is_the_base_model(weights, tiny_config) -> None:
    batch = random_batch(1)
    with torch.no_grad():
        found = velocity(build(tiny_config(), CPU, weights=weights), batch)
    assert torch.equal(found, engine_velocity(weights, batch))


def test_an_export_makes_the_same_in_the_engine(weights, tiny_config, tmp_path) -> None:
    model, batch = learnt(build(tiny_config(model={"alpha": 6}), CPU, weights=weights)), random_batch(1)
    write_exports(tmp_path, published_state(model), {})
    checkpoint = load_ex4d(tmp_path / EX4D_FILE)
    geometry = GeometryEncoder.from_state(checkpoint.geometry)
    expected = engine_velocity(weights, batch, checkpoint.lora, geometry)
    with torch.no_grad():
        found = velocity(model, batch)
    assert (found - expected).norm() < 1e-4 * expected.norm()
    assert (found - engine_velocity(weights, batch)).norm() > 0.05 * expected.norm()


def test_the_published_checkpoint_starts_a_training_and_comes_back_whole(weights, tiny_config) -> None:
    model = build(tiny_config(model={"start": "ex4d"}), CPU, weights=weights)
    state, original = published_state(model), torch.load(weights.ex4d, weights_only=True)
    assert set(state) == set(original)
    assert all(torch.allclose(state[name], original[name].float(), atol=1e-7) for name in state)


def test_diffusers_loads_the_exported_lora(weights, tiny_config, tmp_path) -> None:
    from diffusers import WanImageToVideoPipeline

    model, batch = learnt(build(tiny_config(), CPU, weights=weights)), random_batch(1)
    for p in model.geometry.parameters():
        p.data.zero_()
    write_exports(tmp_path, published_state(model), {})
    plan = TransformerPlan(CPU, torch.float32, conditioning_on_device=True)
    transformer = load_transformer(open_part(weights, "transformer"), plan)
    state = WanImageToVideoPipeline.lora_state_dict(str(tmp_path / LORA_FILE))
    WanImageToVideoPipeline.load_lora_into_transformer(state, transformer)
    with torch.no_grad():
        latents = torch.cat([batch.latents, batch.image], dim=1)
        found = transformer(latents, torch.tensor([500.0]), batch.context, batch.clip_fea, return_dict=False)[0]
        expected = velocity(model, batch)
    assert (found - expected).norm() < 1e-3 * expected.norm()


def test_comfyui_finds_its_names_in_the_exported_lora(weights, tiny_config, tmp_path) -> None:
    write_exports(tmp_path, published_state(build(tiny_config(), CPU, weights=weights)), {})
    keys = set(load_file(tmp_path / LORA_FILE))
    assert len(keys) == 2 * 10 * 2  # blocks, layers, halves
    for layer in ("self_attn.q", "cross_attn.o", "ffn.0", "ffn.2"):
        assert {f"diffusion_model.blocks.1.{layer}.lora_{half}.weight" for half in "AB"} <= keys


PLANS = {
    "recomputes in full": ModelPlan(("full",)),
    "keeps attention": ModelPlan(("attention",)),
    "keeps products": ModelPlan(("products",)),
    "mixes": ModelPlan(("kept", "full")),
    "offloads inputs": ModelPlan(("full",), offload_inputs=True),
    "offloads inputs and keeps attention": ModelPlan(("attention",), offload_inputs=True),
    "swaps one block": ModelPlan(("full",), (1,)),
    "swaps all blocks": ModelPlan(("full",), (0, 1)),
}


def gradients(weights: Any, tiny_config: Any, plan: ModelPlan, base: str = "16bit") -> dict[str, torch.Tensor]:
    model = learnt(build(tiny_config(memory={"base": base}), CPU, weights=weights))
    outside = model.outside
    outside.blocks = torch.nn.ModuleList(block.block for block in model.blocks)
    exact = replace(plan, compute=torch.float32, residual=torch.float32)
    model = TrainedModel(outside, model.geometry, exact).to_device(CPU)
    batch, one = random_batch(), torch.ones(2)
    for _ in range(2):  # the second step finds swapped blocks where the first left them
        model.zero_grad()
        flow_loss(model, batch, torch.zeros_like(batch.latents) + 0.3, one * 0.6, one, one).loss.backward()
    return {name: p.grad.clone() for name, p in model.trained().items() if p.grad is not None}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_however_memory_is_saved_the_gradients_are_the_same(plan: ModelPlan, weights, tiny_config) -> None:
    expected = gradients(weights, tiny_config, ModelPlan(("kept",)))
    found = gradients(weights, tiny_config, plan)
    assert len(found) == 2 * 10 * 2 + 8
    assert found.keys() == expected.keys()
    for name in found:
        assert (found[name] - expected[name]).norm() <= 1e-5 * expected[name].norm(), name


def test_an_8_bit_base_gives_nearly_the_same_gradients(weights, tiny_config) -> None:
    expected = gradients(weights, tiny_config, ModelPlan(("full",)))
    for plan in (ModelPlan(("full",)), ModelPlan(("full",), (0, 1))):
        found = gradients(weights, tiny_config, plan, "fp8")
        assert found.keys() == expected.keys()
        far = sum(float((found[n] - expected[n]).norm() ** 2) for n in found) ** 0.5
        assert far < 0.1 * sum(float(g.norm() ** 2) for g in expected.values()) ** 0.5
        assert far > 0


def test_geometry_switched_off_is_a_model_without_it(weights, tiny_config) -> None:
    model, batch, one = learnt(build(tiny_config(), CPU, weights=weights)), random_batch(), torch.ones(2)
    with torch.no_grad():
        off = flow_loss(model, batch, batch.mask, one * 0.5, one, one * 0).loss
        for p in model.geometry.parameters():
            p.zero_()
        zeroed = flow_loss(model, batch, batch.mask, one * 0.5, one, one).loss
    assert off == zeroed


def test_each_sample_of_a_batch_has_its_own_noise_level(weights, tiny_config) -> None:
    model, batch = learnt(build(tiny_config(), CPU, weights=weights)), random_batch()
    sigmas, one = torch.tensor([0.2, 0.9]), torch.ones(2)
    with torch.no_grad():
        both = flow_loss(model, batch, batch.mask, sigmas, one, one).plain
        for i in range(2):
            single = Batch(**{name: tensor[i : i + 1] for name, tensor in vars(batch).items()})
            alone = flow_loss(model, single, single.mask, sigmas[i : i + 1], one[:1], one[:1]).plain
            assert alone.item() == pytest.approx(both[i].item(), rel=1e-5)


def test_noise_levels_are_the_engines_and_weights_are_a_bell_of_mean_one() -> None:
    levels = Levels.shifted(5.0)
    assert torch.equal(levels.sigmas, Schedule.shifted(1000, 5.0).sigmas)
    assert levels.weights.mean().item() == pytest.approx(1, abs=1e-5)
    assert levels.weights.min() == 0
    middle = int(levels.weights.argmax())
    assert levels.sigmas[middle].item() == pytest.approx(0.5, abs=2e-3)


def test_chance_depends_on_seed_step_and_place_alone() -> None:
    first = draw(1, 2, 3, (4,), geometry_dropout=0.5)
    again = draw(1, 2, 3, (4,), geometry_dropout=0.5)
    assert torch.equal(first.noise, again.noise) and first.level == again.level
    for other in (draw(2, 2, 3, (4,)), draw(1, 3, 3, (4,)), draw(1, 2, 4, (4,))):
        assert not torch.equal(first.noise, other.noise)
    many = [draw(0, step, 0, (1,), geometry_dropout=0.25, prompt_dropout=0.5) for step in range(400)]
    assert 0.18 < sum(d.drop_geometry for d in many) / 400 < 0.32
    assert 0.42 < sum(d.drop_prompt for d in many) / 400 < 0.58
    assert 450 < sum(d.level for d in many) / 400 < 550


@pytest.mark.parametrize(
    ("change", "said"),
    [({"rank": 8}, r"blocks\.0\.attn1\.to_k\.lora_A as \[4, 48\], this training \[8, 48\]"),
     ({"geometry_width": 16}, r"latent_encoder\.0\.bias as \[32\], this training \[16\]")],
)  # fmt: skip
def test_a_checkpoint_that_does_not_fit_is_told_by_key_and_shapes(change, said, weights, tiny_config) -> None:
    with pytest.raises(WeightsError, match=said):
        build(tiny_config(model={"start": "ex4d", **change}), CPU, weights=weights)


def test_a_lora_alone_is_no_start(weights, tiny_config, tmp_path: Path) -> None:
    model = build(tiny_config(), CPU, weights=weights)
    write_exports(tmp_path, published_state(model), {})
    with pytest.raises(WeightsError, match="no geometry encoder"):
        start_from(model, tmp_path / LORA_FILE)
