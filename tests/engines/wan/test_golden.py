"""The published program's numbers, stage by stage, from its own files (float32, CPU)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from wan_golden import CPU, Golden, relative_error

from ex4d.engines.wan.conditioning import GuideVideos, encode_guides, latent_shape
from ex4d.engines.wan.denoiser import FLOAT32, Conditions, WanDenoiser
from ex4d.engines.wan.erosion import erode
from ex4d.engines.wan.geometry import GeometryEncoder
from ex4d.engines.wan.loading import TransformerPlan, load_transformer
from ex4d.engines.wan.sampling import denoise, initial_noise
from ex4d.engines.wan.schedule import Schedule
from ex4d.engines.wan.streaming import BlockStreamer
from ex4d.engines.wan.text import embed
from ex4d.engines.wan.vae import WanVae
from ex4d.engines.wan.video import to_uint8
from ex4d.weights.adapters import inject, load_ex4d
from ex4d.weights.components import load_part, open_part

VARIANTS = [(True, False), (True, True), (False, False), (False, True)]
VARIANT_NAMES = ["fused-resident", "fused-offloaded", "unfused-resident", "unfused-offloaded"]


def _denoiser(golden: Golden, *, fused: bool, offloaded: bool) -> WanDenoiser:
    lora = load_ex4d(golden.weights.ex4d).lora
    plan = TransformerPlan(CPU, torch.float32, blocks_on_device=not offloaded)
    model = load_transformer(open_part(golden.weights, "transformer"), plan, loras=[(lora, 1.0)] if fused else [])
    if not fused:
        inject(model, lora)
    streamer = BlockStreamer(model.blocks, CPU, slots=1) if offloaded else None
    return WanDenoiser(model, device=CPU, precision=FLOAT32, streamer=streamer)


def _schedule(golden: Golden) -> Schedule:
    return Schedule.shifted(golden.config["denoise"]["steps"], golden.config["denoise"]["shift"])


def test_geometry_encoder_reproduces_the_published_tokens(tiny: Golden) -> None:
    encoder = GeometryEncoder.from_state(load_ex4d(tiny.weights.ex4d).geometry)
    found = encoder(tiny.expected["color_latent"], tiny.expected["mask_latent"])
    assert relative_error(found, tiny.expected["ray_latent"]) <= 1e-5


def test_schedule_is_the_published_one(tiny: Golden) -> None:
    schedule = _schedule(tiny)
    torch.testing.assert_close(schedule.sigmas, tiny.expected["sigmas"])
    torch.testing.assert_close(schedule.timesteps, tiny.expected["timesteps"])


@pytest.mark.parametrize(("fused", "offloaded"), VARIANTS, ids=VARIANT_NAMES)
def test_transformer_reproduces_forward_and_every_step(tiny: Golden, fused: bool, offloaded: bool) -> None:
    expected = tiny.expected
    denoiser = _denoiser(tiny, fused=fused, offloaded=offloaded)
    contexts = (expected["context_pos"], expected["context_neg"])
    conditions = Conditions(expected["y"], expected["clip_fea"], expected["ray_latent"], contexts)

    with denoiser.shot(conditions, Schedule(expected["forward_timestep"] / 1000)) as shot:
        found = denoiser.velocity(shot, expected["noise"], 0)
    assert relative_error(found, expected["forward_out"]) <= 1e-5

    schedule, steps = _schedule(tiny), []
    with denoiser.shot(conditions, schedule) as shot:
        cfg = tiny.config["denoise"]["cfg_scale"]
        denoise(denoiser, shot, expected["noise"], schedule, cfg_scale=cfg, on_step=lambda i, x: steps.append(x))
    assert len(steps) == len(expected["denoised"])
    for found, wanted in zip(steps, expected["denoised"], strict=True):
        assert relative_error(found, wanted) <= 1e-4


@pytest.mark.parametrize("layout", ["original", "diffusers"])
@pytest.mark.parametrize(("fused", "offloaded"), VARIANTS, ids=VARIANT_NAMES)
def test_guides_to_frames_reproduce_every_stage(
    chain: Golden, converted: Golden, layout: str, fused: bool, offloaded: bool
) -> None:
    golden = chain if layout == "original" else converted
    assert golden.weights.layout == layout
    expected, config = golden.expected, golden.config

    text_encoder = load_part(open_part(golden.weights, "text_encoder"), dtype=torch.float32)
    contexts = []
    for name in ("prompt", "negative"):
        contexts.append(embed(text_encoder, expected[f"{name}_ids"], expected[f"{name}_mask"]))
        assert relative_error(contexts[-1], expected[f"{name}_embeds"]) <= 1e-4

    eroded = erode(expected["mask"].numpy(), expected["erode_kernels"].numpy())
    np.testing.assert_array_equal(eroded, expected["eroded"].numpy())

    vae = WanVae(load_part(open_part(golden.weights, "vae"), dtype=torch.float32), device=CPU, dtype=torch.float32)
    encoded = encode_guides(
        GuideVideos.from_guides(expected["color"].numpy(), eroded),
        vae=vae,
        image_encoder=load_part(open_part(golden.weights, "image_encoder"), dtype=torch.float32),
        geometry_encoder=GeometryEncoder.from_state(load_ex4d(golden.weights.ex4d).geometry),
    )
    assert relative_error(encoded.clip_fea, expected["clip_fea"]) <= 1e-4
    assert relative_error(encoded.y, expected["y"]) <= 1e-4
    assert relative_error(encoded.colour, expected["color_latent"]) <= 1e-4
    assert relative_error(encoded.mask, expected["mask_latent"]) <= 1e-4
    assert relative_error(encoded.geometry, expected["ray_latent"]) <= 1e-4

    video, schedule = config["video"], _schedule(golden)
    shape = latent_shape(video["num_frames"], video["height"], video["width"])
    noise = initial_noise(config["denoise"]["seed"], shape)
    assert relative_error(noise, expected["noise"]) <= 1e-4

    denoiser = _denoiser(golden, fused=fused, offloaded=offloaded)
    conditions = Conditions(encoded.y, encoded.clip_fea, encoded.geometry, tuple(contexts))
    with denoiser.shot(conditions, schedule) as shot:
        latents = denoise(denoiser, shot, noise, schedule, cfg_scale=config["denoise"]["cfg_scale"])
    assert relative_error(latents, expected["latents"]) <= 1e-4

    decoded = torch.cat(list(vae.decode(latents)), dim=2)
    assert relative_error(decoded, expected["decoded"]) <= 1e-4
    frames = to_uint8(decoded)
    assert np.abs(frames.astype(int) - expected["frames"].numpy().astype(int)).max() <= 1
