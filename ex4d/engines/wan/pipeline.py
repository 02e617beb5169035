"""The model's parts together: loaded to a plan, run for one window of frames, and let go of again."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Unpack

import torch
from torch import Tensor

from ex4d.engines.group import Group
from ex4d.engines.wan.conditioning import Encoded, GuideVideos, encode_guides
from ex4d.engines.wan.cost_model import tokens as tokens_of
from ex4d.engines.wan.denoiser import EXACT, FAST, FLOAT32, Conditions, Precision, WanDenoiser
from ex4d.engines.wan.division import divided
from ex4d.engines.wan.geometry import GeometryEncoder
from ex4d.engines.wan.loading import TransformerPlan, load_transformer
from ex4d.engines.wan.placing import free_cached, on_device
from ex4d.engines.wan.plan import MemoryPlan, Mode
from ex4d.engines.wan.sampling import Mosaic, denoise, follow
from ex4d.engines.wan.schedule import Schedule
from ex4d.engines.wan.step_cache import FirstBlockCache
from ex4d.engines.wan.streaming import BlockStreamer
from ex4d.engines.wan.tiles import Layout
from ex4d.engines.wan.vae import Tiling, WanVae
from ex4d.progress import Watch
from ex4d.weights.adapters import Ex4dCheckpoint, Lora, inject
from ex4d.weights.components import PartFiles, load_part
from ex4d.weights.layout import Part
from ex4d_ground import stages

if TYPE_CHECKING:
    from ex4d.engines.wan.sharing import Sharing


class Sources(Protocol):
    """Where the parts come from: files, or (in benchmarks) random numbers."""

    def open(self, part: Part) -> PartFiles:
        """One part, ready to load."""
        ...

    def ex4d(self) -> Ex4dCheckpoint:
        """EX-4D's LoRA and geometry encoder."""
        ...

    def turbo(self) -> Lora:
        """The 4-step distillation LoRA."""
        ...


@dataclass(frozen=True)
class PipelineOptions:
    """How the model runs."""

    mode: Mode
    plan: MemoryPlan
    device: torch.device
    fuse_lora: bool = True
    compile_blocks: bool = True
    prefer_cudnn: bool = True
    """Prefer cuDNN's attention over torch's default choice."""
    keep_16bit: tuple[str, ...] = ()
    """Layers that stay in 16 bits where the others become 8 bits; the plan does not count them."""
    short_text: bool = True
    """Count the prompt's padding tokens instead of attending to each; needs Triton."""

    @property
    def precision(self) -> Precision:
        """Dtypes of the transformer: float32 where there is no GPU."""
        if self.device.type == "cpu":
            return FLOAT32
        return EXACT if self.mode == "exact" else FAST


class WanPipeline:
    """Use as a context manager: leaving it, however, frees the device's memory.

    With a ``group`` each of its processes has one, on its own device, and all call the same methods with the same
    arguments: what takes time is divided between them (see :mod:`ex4d.engines.wan.division`).
    """

    def __init__(
        self, sources: Sources, options: PipelineOptions, *, group: Group | None = None, **watch: Unpack[Watch]
    ):
        self.options, self.group = options, group
        self._sources = sources
        self._image_encoder: Any = None
        self.vae: WanVae | None = None
        checkpoint = sources.ex4d()
        self.geometry = GeometryEncoder.from_state(checkpoint.geometry, device=options.device)
        self.denoiser = self._load_transformer(checkpoint, watch)

    def __enter__(self) -> WanPipeline:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
        gc.collect()
        if self.options.device.type == "cuda":
            torch.cuda.empty_cache()

    def encode(self, videos: GuideVideos, *, geometry: bool = True, **watch: Unpack[Watch]) -> Encoded:
        """The guides as conditions of the transformer; without ``geometry`` its tokens are left to be made later."""
        vae = self._vae()
        if self._image_encoder is None:
            source = self._sources.open("image_encoder")
            self._image_encoder = load_part(source, dtype=self._dtype, **watch)
            source.files.close()
        with on_device([vae.model], self.options.device):
            encoded = encode_guides(
                videos,
                vae=vae,
                image_encoder=self._image_encoder,
                geometry_encoder=self.geometry if geometry else None,
                **watch,
            )
        free_cached(self.options.device)
        return encoded

    def latents(
        self,
        encoded: Encoded,
        contexts: Sequence[Tensor],
        noise: Tensor,
        schedule: Schedule,
        *,
        cfg_scale: float,
        cache_threshold: float = 0.0,
        on_step: Callable[[int, Tensor], None] | None = None,
        **watch: Unpack[Watch],
    ) -> Tensor:  # [1, 16, T, h, w]
        """Denoise one window."""
        sharing = self._sharing(contexts, cfg_scale, encoded.y[0, 0].numel() // 4)
        conditions = Conditions(encoded.y, encoded.clip_fea, encoded.geometry, _own(contexts, sharing))
        with self.denoiser.shot(conditions, schedule, sharing=sharing, cancel=watch.get("cancel")) as shot:
            free_cached(self.options.device)
            return denoise(
                self.denoiser,
                shot,
                noise,
                schedule,
                cfg_scale=cfg_scale,
                cache=_cache(cache_threshold, sharing),
                on_step=on_step,
                **watch,
            )

    def refined(
        self,
        encoded: Encoded,  # without geometry
        contexts: Sequence[Tensor],
        start: Tensor,  # [1, 3, N, H, W] -1..1: the frames to refine
        noise: Tensor,  # [1, 16, T, h, w]
        schedule: Schedule,
        way: Layout,
        *,
        cfg_scale: float,
        **watch: Unpack[Watch],
    ) -> Tensor:  # [1, 16, T, h, w]
        """Denoise one window in tiles, from frames that are noised to the schedule's first level."""
        device, vae = self.options.device, self._vae()
        with on_device([vae.model], device):
            clean = vae.encode(start, stage=f"{stages.ENCODING} first pass", **watch)
        latents = schedule.noised(clean, noise.to(device=device, dtype=torch.float32))
        del clean
        sharing = self._sharing(contexts, cfg_scale, tokens_of(start.shape[2], *way.tile_size), len(way.tiles))
        conditions = Conditions(encoded.y, encoded.clip_fea, None, _own(contexts, sharing))
        with self.denoiser.shot(conditions, schedule, sharing=sharing, cancel=watch.get("cancel")) as shot:
            free_cached(device)
            direction = Mosaic(self.denoiser, shot, cfg_scale, way, encoded.colour, encoded.mask, self.geometry)
            return follow(direction, latents, schedule, **watch)

    def frames(self, latents: Tensor, **watch: Unpack[Watch]) -> Iterator[Tensor]:  # [1, 3, 1 or 4, H, W]
        """Decode, frame by frame."""
        free_cached(self.options.device)
        vae = self._vae()
        with on_device([vae.model], self.options.device):
            yield from vae.decode(latents, **watch)

    def _sharing(self, contexts: Sequence[Tensor], cfg_scale: float, tokens: int, tiles: int = 1) -> Sharing | None:
        """This process's part of every run. Raises SettingError where what is to be made does not divide."""
        if self.group is None:
            return None
        from ex4d.engines.wan.sharing import Sharing

        guided = len(contexts) > 1 and cfg_scale != 1.0
        heads = int(self.denoiser.model.config.num_attention_heads)
        division = divided(self.group.size, guided=guided, heads=heads, tokens=tokens, tiles=tiles)
        return Sharing.of(self.group, division)

    def close(self) -> None:
        """Let go of every part; the device's memory is free once torch's cache is emptied after it."""
        if not hasattr(self, "denoiser"):
            return
        if self.denoiser.streamer is not None:
            self.denoiser.streamer.close()
        # Whatever else still holds this object, the parts themselves go now.
        del self.denoiser, self.geometry
        self.vae = self._image_encoder = None

    @property
    def _dtype(self) -> torch.dtype:
        return self.options.precision.compute

    def _vae(self) -> WanVae:
        if self.vae is None:
            options = self.options
            dtype = torch.float32 if options.plan.vae_float32 or options.device.type == "cpu" else torch.bfloat16
            source = self._sources.open("vae")
            model = load_part(source, dtype=dtype, device="cpu" if options.plan.saving else options.device)
            source.files.close()
            tiling = Tiling() if options.plan.vae_tiled else None
            self.vae = WanVae(
                model,
                device=options.device,
                dtype=dtype,
                tiling=tiling,
                group=self.group,
                deals_videos=options.plan.deals_videos,
            )
        return self.vae

    def _load_transformer(self, checkpoint: Ex4dCheckpoint, watch: Watch) -> WanDenoiser:
        options, plan = self.options, self.options.plan
        source = self._sources.open("transformer")
        checkpoint.check_against(source.shapes)
        layers = int(source.config["num_layers"])
        streamed = plan.resident_blocks < layers
        loras: list[tuple[Lora, float]] = [(checkpoint.lora, 1.0)] if options.fuse_lora else []
        if options.mode == "turbo":
            loras.append((self._sources.turbo(), 1.0))
        where = TransformerPlan(
            options.device,
            self._dtype,
            fp8=plan.fp8,
            keep_16bit=options.keep_16bit,
            blocks_on_device=not streamed,
            conditioning_on_device=False,
        )
        model = load_transformer(source, where, loras=loras, **watch)
        source.files.close()
        if not options.fuse_lora:
            inject(model, checkpoint.lora)
        streamer = BlockStreamer(model.blocks, options.device, resident=plan.resident_blocks) if streamed else None
        return WanDenoiser(
            model,
            device=options.device,
            precision=options.precision,
            streamer=streamer,
            compile_blocks=options.compile_blocks and options.device.type == "cuda",
            prefer_cudnn=options.prefer_cudnn,
            ffn_rows=plan.ffn_rows,
            short_text=options.short_text,
        )


def _own(contexts: Sequence[Tensor], sharing: Sharing | None) -> tuple[Tensor, ...]:
    """The prompts that this process is for."""
    if sharing is None or sharing.division.branches == 1:
        return tuple(contexts)
    return (contexts[sharing.branch],)


def _cache(threshold: float, sharing: Sharing | None) -> FirstBlockCache | None:
    if not threshold:
        return None
    return FirstBlockCache(threshold) if sharing is None else FirstBlockCache(threshold, sharing.summed)


@dataclass(frozen=True)
class FileSources:
    """Parts from the files of a :class:`~ex4d.weights.WanWeights`."""

    weights: Any

    def open(self, part: Part) -> PartFiles:
        """Open one part in whichever layout it is."""
        from ex4d.weights.components import open_part

        return open_part(self.weights, part)

    def ex4d(self) -> Ex4dCheckpoint:
        """EX-4D's checkpoint."""
        from ex4d.weights.adapters import load_ex4d

        return load_ex4d(self.weights.ex4d)

    def turbo(self) -> Lora:
        """The distillation LoRA."""
        from ex4d.weights.adapters import load_lora

        return load_lora(self.weights.turbo_lora)
