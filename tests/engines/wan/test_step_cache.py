"""The first-block cache: off it changes nothing, on it leaves forwards out, resident and streamed alike."""

from __future__ import annotations

import pytest
import torch
from wan_golden import CPU, Golden, relative_error

from ex4d.engines.wan.denoiser import FLOAT32, Conditions, WanDenoiser
from ex4d.engines.wan.loading import TransformerPlan, load_transformer
from ex4d.engines.wan.sampling import denoise
from ex4d.engines.wan.schedule import Schedule
from ex4d.engines.wan.step_cache import FirstBlockCache
from ex4d.engines.wan.streaming import BlockStreamer
from ex4d.weights.adapters import load_ex4d
from ex4d.weights.components import open_part


def _run(golden: Golden, cache: FirstBlockCache | None, *, offloaded: bool = False, steps: int = 6) -> torch.Tensor:
    plan = TransformerPlan(CPU, torch.float32, blocks_on_device=not offloaded)
    lora = load_ex4d(golden.weights.ex4d).lora
    model = load_transformer(open_part(golden.weights, "transformer"), plan, loras=[(lora, 1.0)])
    streamer = BlockStreamer(model.blocks, CPU, slots=1) if offloaded else None
    denoiser = WanDenoiser(model, device=CPU, precision=FLOAT32, streamer=streamer)
    expected, schedule = golden.expected, Schedule.shifted(steps)
    contexts = (expected["context_pos"], expected["context_neg"])
    conditions = Conditions(expected["y"], expected["clip_fea"], expected["ray_latent"], contexts)
    with denoiser.shot(conditions, schedule) as shot:
        return denoise(denoiser, shot, expected["noise"], schedule, cfg_scale=5.0, cache=cache)


@pytest.mark.parametrize("offloaded", [False, True], ids=["resident", "streamed"])
def test_a_cache_that_never_matches_changes_nothing(tiny: Golden, offloaded: bool) -> None:
    cache = FirstBlockCache(0.0)
    assert torch.equal(_run(tiny, cache, offloaded=offloaded), _run(tiny, None, offloaded=offloaded))
    assert cache.skipped == 0


@pytest.mark.parametrize("offloaded", [False, True], ids=["resident", "streamed"])
def test_a_cache_that_always_matches_computes_the_first_and_last_step_alone(tiny: Golden, offloaded: bool) -> None:
    cache = FirstBlockCache(1e9)
    found = _run(tiny, cache, offloaded=offloaded)
    assert cache.skipped == 2 * (6 - 2)
    assert torch.equal(found, _run(tiny, FirstBlockCache(1e9)))
    assert relative_error(found, _run(tiny, None)) > 0


def test_a_larger_threshold_skips_more_and_errs_more(tiny: Golden) -> None:
    exact = _run(tiny, None, steps=12)
    results = []
    for threshold in (0.02, 0.2, 1e9):
        cache = FirstBlockCache(threshold)
        results.append((cache, relative_error(_run(tiny, cache, steps=12), exact)))
    skipped = [cache.skipped for cache, _ in results]
    assert skipped == sorted(skipped) and skipped[-1] == 20
    assert results[0][1] <= results[-1][1]
