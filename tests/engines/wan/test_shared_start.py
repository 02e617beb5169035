"""The branches of guidance share what the prompt has no part in, and nothing changes by it."""

from __future__ import annotations

import pytest
import torch
from wan_golden import CPU, Golden

from ex4d.engines.wan.denoiser import FLOAT32, Conditions, StepStart, WanDenoiser
from ex4d.engines.wan.loading import TransformerPlan, load_transformer
from ex4d.engines.wan.schedule import Schedule
from ex4d.engines.wan.streaming import BlockStreamer
from ex4d.weights.components import open_part


@pytest.mark.parametrize("offloaded", [False, True], ids=["resident", "streamed"])
def test_a_shared_start_changes_no_bit(tiny: Golden, offloaded: bool) -> None:
    plan = TransformerPlan(CPU, torch.float32, blocks_on_device=not offloaded)
    model = load_transformer(open_part(tiny.weights, "transformer"), plan)
    streamer = BlockStreamer(model.blocks, CPU, slots=1) if offloaded else None
    denoiser = WanDenoiser(model, device=CPU, precision=FLOAT32, streamer=streamer)
    expected = tiny.expected
    contexts = (expected["context_pos"], expected["context_neg"])
    conditions = Conditions(expected["y"], expected["clip_fea"], expected["ray_latent"], contexts)
    with denoiser.shot(conditions, Schedule.shifted(2)) as shot:
        alone = [denoiser.velocity(shot, expected["noise"], 0, branch) for branch in (0, 1)]
        start = StepStart()
        shared = [denoiser.velocity(shot, expected["noise"], 0, branch, start=start) for branch in (0, 1)]
        assert start.shared is not None
    assert not torch.equal(*alone)
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one, other)
