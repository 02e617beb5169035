"""The memory plan's figures are upper bounds of what the code itself holds on the device, and not far above it.

Measured on tensors without numbers on a device that is not there: at the true 14B width with two blocks, and tiny.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from memory_meter import CUDA, NoSources, fake_cuda

from ex4d.engines.wan.conditioning import GuideVideos, latent_shape
from ex4d.engines.wan.pipeline import PipelineOptions, WanPipeline
from ex4d.engines.wan.plan import GIB, MemoryPlan, ModelSize, Phases, Workload, make_plan, phases, plans
from ex4d.engines.wan.schedule import Schedule
from ex4d.engines.wan.tiles import Layout, Tile

WAN = ModelSize(5120, 13824, 40)
SHOT = Workload(tokens=13 * 32 * 32, pixels=512 * 512, branches=2)
CLIP: dict[str, Any] = {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 2, "num_attention_heads": 16,
    "patch_size": 14, "image_size": 224, "hidden_act": "gelu",
}  # fmt: skip


def _wan(heads: int, channels: int, ffn: int, blocks: int) -> dict[str, Any]:
    return {
        "num_attention_heads": heads, "attention_head_dim": channels, "in_channels": 36, "out_channels": 16,
        "text_dim": 4096, "ffn_dim": ffn, "num_layers": blocks, "image_dim": 1280,
        "added_kv_proj_dim": heads * channels,
    }  # fmt: skip


@dataclass(frozen=True)
class _Case:
    mode: Any
    transformer: dict[str, Any]
    frames: int = 13
    side: int = 512
    cached: bool = False
    tiled: bool = False


def _measured(case: _Case, plan: MemoryPlan, monkeypatch: pytest.MonkeyPatch) -> Phases:
    """Peaks of a run (loading, encoding, one step, decoding) by the engine's own code."""
    shape = latent_shape(case.frames, case.side, case.side)
    half = case.side // 2
    tiles = (Tile(0, case.side, 0, half + 64), Tile(0, case.side, half - 64, case.side))
    way = Layout(case.side, case.side, (half, half), tiles, 64)
    with monkeypatch.context() as patch, fake_cuda(patch) as meter:
        sources = NoSources({"transformer": case.transformer, "vae": {}, "image_encoder": CLIP}, 1024, 16)
        options = PipelineOptions(case.mode, plan, CUDA, compile_blocks=False)
        pipe = WanPipeline(sources, options)
        peaks = [meter.peak]
        n, side = case.frames, case.side
        videos = GuideVideos(
            torch.zeros(1, 3, n, side, side), torch.ones(1, 3, n, side, side), torch.zeros(1, 3, side, side)
        )
        meter.restart()
        encoded = pipe.encode(videos, geometry=not case.tiled)
        peaks.append(meter.peak)
        meter.restart()
        contexts = [torch.zeros(1, 512, 4096)] * 2
        if case.tiled:
            latents = pipe.refined(
                encoded, contexts, torch.zeros(1, 3, n, side, side), torch.zeros(shape), _Two(), way, cfg_scale=5.0
            )
        else:
            threshold = 1.0 if case.cached else 0.0
            latents = pipe.latents(
                encoded, contexts, torch.zeros(shape), _Two(), cfg_scale=5.0, cache_threshold=threshold
            )
        del encoded
        peaks.append(meter.peak)
        meter.restart()
        for part in pipe.frames(latents):
            part.cpu()
        peaks.append(meter.peak)
        pipe.close()
        del latents, part, pipe
    loading, encoding, looping, decoding = peaks
    return Phases(loading, encoding, looping, looping, decoding)


class _Two(Schedule):
    """Two steps."""

    def __init__(self) -> None:
        super().__init__(torch.tensor([1.0, 0.5]))

    def noised(self, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return latents + noise


TRUE = _wan(40, 128, 13824, 2)
TINY = _wan(2, 64, 512, 2)
CASES = {
    "exact": _Case("exact", TRUE),
    "fast with cache": _Case("fast", TRUE, frames=49, cached=True),
    "fp8": _Case("fp8", TRUE),
    "fp8 in tiles": _Case("fp8", TRUE, tiled=True),
    "tiny": _Case("fast", TINY, frames=5, side=64),
}


@pytest.mark.parametrize(
    "name", ["tiny", *(pytest.param(name, marks=pytest.mark.slow) for name in CASES if name != "tiny")]
)
def test_the_plan_is_an_upper_bound_and_not_far_off(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    size = ModelSize.of(case.transformer)
    shape = latent_shape(case.frames, case.side, case.side)
    width = shape[4] if not case.tiled else shape[4] // 2 + 8
    tokens = shape[2] * shape[3] * width // 4
    work = Workload(tokens, case.side**2, 2, 2 if case.tiled else 1, case.cached)
    plan = make_plan("resident", case.mode, size, work, 1 << 50, size.num_layers)
    expected, found = phases(plan, case.mode, size, work), _measured(case, plan, monkeypatch)
    assert found.loading <= expected.loading
    assert found.encoding <= expected.encoding
    # Tiles begin by encoding the first pass's picture.
    assert found.denoising <= max(expected.starting, expected.denoising, expected.encoding if case.tiled else 0)
    assert found.decoding <= expected.decoding
    assert max(expected.starting, expected.denoising) <= 1.5 * found.denoising + GIB / 8
    assert expected.peak <= 1.5 * found.peak + 2 * GIB  # workspaces and CLIP's other layers are in it


def test_offload_in_8_bits_fits_8_gib_at_the_published_size() -> None:
    """49 frames of 512x512 on a card of 8 GiB, of which the system keeps half a GiB."""
    free = int(7.5 * GIB)
    for mode in ("fp8", "fast"):
        plan = plans(mode, "offload", WAN, SHOT, free)[0]
        assert plan.expected_peak <= 0.9 * free
    least = make_plan("offload", "fp8", WAN, SHOT, free, 0)
    assert least.expected_peak <= 6 * GIB
    need = phases(least, "fp8", WAN, SHOT)
    assert max(need.starting, need.denoising) <= 4.5 * GIB


def test_sharing_the_start_and_the_cache_are_counted() -> None:
    plan = make_plan("resident", "fast", WAN, SHOT, 1 << 50, 40)
    both = phases(plan, "fast", WAN, SHOT).denoising
    row = SHOT.tokens * WAN.dim
    alone = phases(plan, "fast", WAN, replace(SHOT, branches=1)).denoising
    cross = 4 * WAN.dim * WAN.num_layers * WAN.text_tokens
    assert both - alone == row * (2 + 2) + cross
    cached = phases(plan, "fast", WAN, replace(SHOT, cached=True)).denoising
    assert cached - both == row * 2 * 5


def test_the_feed_forward_in_pieces_takes_less() -> None:
    large = replace(SHOT, tokens=46_800)
    resident = make_plan("resident", "fp8", WAN, large, 1 << 50, 40)
    saving = make_plan("offload", "fp8", WAN, large, 1 << 50, 40)
    assert resident.ffn_rows == 0 and saving.ffn_rows > 0
    difference = phases(resident, "fp8", WAN, large).denoising - phases(saving, "fp8", WAN, large).denoising
    assert difference > 2 * GIB
