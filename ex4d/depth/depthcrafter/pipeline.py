"""DepthCrafter's sampler, one window at a time.

Windows of frames overlap. Each next window starts from the previous window's last latents plus noise, and the shared
frames are blended linearly. Frames are encoded as they arrive and decoded as soon as they are final, so memory
depends on the window and never on the clip's length. Published settings: windows of 110, overlap 25, 5 steps,
guidance 1.0 (Hu et al., "DepthCrafter", section 3.3; EX-4D's use of it).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from ex4d.depth.depthcrafter.context import per_frame_tokens, resize_antialiased
from ex4d.progress import CancelToken, Watch, check, report
from ex4d_ground import stages
from ex4d_ground.arrays import Float32, UInt8
from ex4d_ground.errors import ClipError, SettingError

FPS_ID, MOTION_ID = 7, 127
"""The added time ids that DepthCrafter always gives, whatever the clip's rate."""
VAE_FACTOR = 8


@dataclass(frozen=True)
class Components:
    """The four networks' parts as loaded; see :mod:`ex4d.depth.depthcrafter.loading`."""

    unet: UNetSpatioTemporalConditionModel
    vae: AutoencoderKLTemporalDecoder
    image_encoder: CLIPVisionModelWithProjection
    scheduler: EulerDiscreteScheduler
    image_size: tuple[int, int]
    image_mean: tuple[float, float, float]
    image_std: tuple[float, float, float]

    @property
    def size_multiple(self) -> int:
        """Sides of the frames must be multiples of this: the VAE's factor times the UNet's."""
        return VAE_FACTOR * 2 ** (len(self.unet.config["block_out_channels"]) - 1)


@dataclass(frozen=True)
class SamplerOptions:
    """Settings of one run; defaults are those EX-4D uses."""

    num_steps: int = 5
    guidance_scale: float = 1.0
    window: int = 110
    overlap: int = 25
    noise_augmentation: float = 0.02
    decode_chunk: int = 8
    """Frames decoded together; the temporal decoder mixes them, so the number is part of the result."""
    seed: int = 42

    def plan(self, num_frames: int) -> list[tuple[int, int]]:
        """(start, stop) of every window for a clip of ``num_frames``.

        Raises SettingError if windows do not advance, ClipError for a clip too short to have a motion at all.
        """
        if num_frames < 2:
            raise ClipError(
                f"DepthCrafter needs at least 2 frames, the clip has {num_frames}; use depth-anything-v2 for one image."
            )
        if num_frames <= self.window:
            return [(0, num_frames)]
        if not 0 < self.overlap < self.window:
            raise SettingError(
                f"An overlap of {self.overlap} does not fit windows of {self.window} for a clip of {num_frames}; "
                "it must be at least 1 and smaller than the window."
            )
        stride = self.window - self.overlap
        return [(s, min(s + self.window, num_frames)) for s in range(0, num_frames - self.overlap, stride)]


@dataclass
class _Condition:
    """What the UNet is told about the frames of the current window."""

    latents: Tensor  # [n, 4, h, w]
    tokens: Tensor  # [n, C]

    def append(self, latents: Tensor, tokens: Tensor) -> None:
        self.latents = torch.cat([self.latents, latents])
        self.tokens = torch.cat([self.tokens, tokens])

    def drop(self, count: int) -> None:
        # clone: a view would keep the whole previous window alive
        self.latents, self.tokens = self.latents[count:].clone(), self.tokens[count:].clone()


class Sampler:
    """Runs the windows over a stream of frames and hands out decoded frames in order."""

    def __init__(self, parts: Components, options: SamplerOptions, *, device: torch.device):
        self.parts, self.options, self.device = parts, options, device
        self.dtype = parts.unet.dtype
        steps = parts.scheduler.set_timesteps
        steps(options.num_steps, device=device)
        self.timesteps: Tensor = parts.scheduler.timesteps.clone()

    @torch.inference_mode()
    def run(
        self,
        frames: Iterator[UInt8],  # each [H, W, 3], sides multiples of ``parts.size_multiple``
        size: tuple[int, int, int],  # T, H, W
        write: Callable[[int, Float32], None],  # (first frame, [n, H, W] in 0..1), in order
        **watch: Unpack[Watch],
    ) -> None:
        """Sample every window. Raises Cancelled within one denoising step, ClipError, SettingError."""
        num_frames, height, width = size
        cancel = watch.get("cancel")
        plan = self.options.plan(num_frames)
        pixel_noise = torch.Generator().manual_seed(self.options.seed)
        noise = self._initial_noise(size, plan[0][1], cancel)
        decoder = _Decoder(self, write)
        condition = self._empty(height, width)
        carried: Tensor | None = None
        read, units = 0, len(plan) * self.options.num_steps
        for index, (start, stop) in enumerate(plan):
            while read < stop:
                check(cancel)
                self._encode(next(frames), pixel_noise, condition)
                read += 1
                report(watch.get("on_progress"), stages.DEPTH_ENCODE, read, num_frames)
            latents = noise[: stop - start].clone()
            overlap = self.options.overlap
            noise = torch.cat([noise[-overlap:], noise[:-overlap]]) if len(plan) > 1 else noise

            def stepped(step: int, base: int = index * self.options.num_steps) -> None:
                report(watch.get("on_progress"), stages.DEPTH_DENOISE, base + step, units)

            latents = self._denoise(latents, condition, carried, stepped, cancel)
            if carried is not None:
                ramp = torch.linspace(0, 1, overlap, device=self.device).to(self.dtype).view(-1, 1, 1, 1)
                latents[:overlap] = latents[:overlap] * ramp + carried * (1 - ramp)
            last = index == len(plan) - 1
            keep = 0 if last else overlap
            decoder.push(latents[: len(latents) - keep], last, cancel)
            carried = None if last else latents[len(latents) - keep :].clone()
            if not last:
                condition.drop(plan[index + 1][0] - start)

    def _initial_noise(self, size: tuple[int, int, int], window: int, cancel: CancelToken | None) -> Tensor:
        """Starting noise [window, 4, h, w], scaled to the first sigma.

        The published order of draws is: pixel noise of the whole clip, then this. A second generator runs past the
        pixel noise here, so that the pixels' own draws can be made one frame at a time later.
        """
        num_frames, height, width = size
        generator = torch.Generator().manual_seed(self.options.seed)
        for _ in range(num_frames):
            check(cancel)
            torch.randn(3, height, width, generator=generator)
        channels = self.parts.unet.config["in_channels"] // 2
        shape = (window, channels, height // VAE_FACTOR, width // VAE_FACTOR)
        noise = torch.randn(shape, generator=generator).to(self.device, self.dtype)
        return noise * self.parts.scheduler.init_noise_sigma

    def _empty(self, height: int, width: int) -> _Condition:
        parts = self.parts
        channels = parts.vae.config["latent_channels"]
        shape = (0, channels, height // VAE_FACTOR, width // VAE_FACTOR)
        tokens = (0, parts.image_encoder.config.projection_dim)
        return _Condition(
            torch.empty(shape, device=self.device, dtype=self.dtype),
            torch.empty(tokens, device=self.device, dtype=self.dtype),
        )

    def _encode(self, frame: UInt8, pixel_noise: torch.Generator, condition: _Condition) -> None:
        """Append one frame's image token and (noise-augmented) latents."""
        parts = self.parts
        pixels = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float() / 255
        pixels = (pixels.to(self.device, self.dtype)) * 2 - 1  # [1, 3, H, W]
        small = (resize_antialiased(pixels.float(), parts.image_size) + 1) / 2
        mean = torch.tensor(parts.image_mean, device=self.device).view(1, 3, 1, 1)
        std = torch.tensor(parts.image_std, device=self.device).view(1, 3, 1, 1)
        tokens = parts.image_encoder(((small - mean) / std).to(self.dtype)).image_embeds
        noise = torch.randn(pixels.shape[1:], generator=pixel_noise)[None].to(self.device, self.dtype)
        noisy = (pixels + self.options.noise_augmentation * noise).to(parts.vae.dtype)
        latents = parts.vae.encode(noisy).latent_dist.mode()  # pyright: ignore[reportAttributeAccessIssue]
        condition.append(latents.to(self.dtype), tokens)

    def _denoise(
        self,
        latents: Tensor,  # [n, 4, h, w] scaled noise
        condition: _Condition,
        carried: Tensor | None,  # [overlap, 4, h, w] the previous window's final latents
        stepped: Callable[[int], None],
        cancel: CancelToken | None,
    ) -> Tensor:
        scheduler = self.parts.scheduler
        scheduler.set_timesteps(self.options.num_steps, device=self.device)
        if carried is not None:
            n = len(carried)
            latents[:n] = carried + latents[:n] / scheduler.init_noise_sigma * scheduler.sigmas[0]
        for index, t in enumerate(self.timesteps):
            check(cancel)
            scaled = scheduler.scale_model_input(latents, t)
            predicted = self._predict(torch.cat([scaled, condition.latents], dim=1), condition.tokens, t)
            if self.options.guidance_scale > 1:
                # as published: without condition the condition channels and the tokens are zero
                blank = self._predict(
                    torch.cat([scaled, torch.zeros_like(scaled)], dim=1), torch.zeros_like(condition.tokens), t
                )
                predicted = blank + self.options.guidance_scale * (predicted - blank)
            latents = scheduler.step(predicted, t, latents, return_dict=False)[0]
            stepped(index + 1)
        return latents

    def _predict(self, sample: Tensor, tokens: Tensor, t: Tensor) -> Tensor:  # [n, 8, h, w] -> [n, 4, h, w]
        ids = torch.tensor([[FPS_ID, MOTION_ID, self.options.noise_augmentation]], device=self.device, dtype=self.dtype)
        with per_frame_tokens(self.parts.unet, tokens):
            first = tokens[:1, None, :]  # replaced per frame by the hook
            out = self.parts.unet(sample[None], t, encoder_hidden_states=first, added_time_ids=ids, return_dict=False)
        return out[0][0]

    def decode(self, latents: Tensor) -> Float32:  # [n, 4, h, w] -> [n, H, W]
        """Decode a chunk of latents to the mean of the three channels, in 0..1."""
        vae = self.parts.vae
        scaled = (latents / vae.config["scaling_factor"]).to(vae.dtype)
        decoded = vae.decode(scaled, num_frames=len(latents), return_dict=False)[0].float()
        return (decoded / 2 + 0.5).clamp(0, 1).mean(dim=1).cpu().numpy()


class _Decoder:
    """Decodes final latents in chunks counted from the clip's first frame, as the published program does."""

    def __init__(self, sampler: Sampler, write: Callable[[int, Float32], None]):
        self._sampler, self._write = sampler, write
        self._pending: Tensor | None = None
        self._done = 0

    def push(self, latents: Tensor, last: bool, cancel: CancelToken | None) -> None:
        pending = latents if self._pending is None else torch.cat([self._pending, latents])
        chunk = self._sampler.options.decode_chunk
        while len(pending) >= chunk or (last and len(pending)):
            check(cancel)
            values = self._sampler.decode(pending[:chunk])
            self._write(self._done, values)
            self._done += len(values)
            pending = pending[chunk:]
        self._pending = pending.clone()
