"""A pipeline on several GPUs: one process leads and tells the others what to do next; they do it together.

The leader has the job: guides, seed, windows, frames, progress. Those who follow hold the model alone, and hear of a
cancel at the same check as the leader. What travels between jobs are the orders below, and tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

import msgspec
from torch import Tensor

from ex4d.engines.group import Agreed, Group
from ex4d.engines.wan.conditioning import Encoded, GuideVideos
from ex4d.engines.wan.pipeline import FileSources, PipelineOptions, WanPipeline
from ex4d.engines.wan.plan import MemoryPlan, Mode
from ex4d.engines.wan.schedule import Schedule
from ex4d.engines.wan.tiles import Layout
from ex4d.progress import Watch
from ex4d.weights.layout import WanWeights
from ex4d_ground.errors import Cancelled, EngineError, Ex4dError


class _Order(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    pass


class Load(_Order, frozen=True):
    """Load the model; one that is loaded is let go of first."""

    weights: WanWeights
    mode: Mode
    plan: MemoryPlan
    fuse_lora: bool
    compile_blocks: bool


class Encode(_Order, frozen=True):
    """Encode the guides that follow."""

    geometry: bool


class Denoise(_Order, frozen=True):
    """Make one window of what was encoded last; noise, noise levels and prompts follow."""

    prompts: int
    cfg_scale: float
    cache_threshold: float


class Refine(_Order, frozen=True):
    """Refine in tiles; frames, noise, noise levels and prompts follow."""

    prompts: int
    cfg_scale: float
    way: Layout


class Decode(_Order, frozen=True):
    """Decode the latents that follow."""


class Close(_Order, frozen=True):
    """Let go of the model."""


class Memory(_Order, frozen=True):
    """Say how many bytes are free on the device."""


Order = Load | Encode | Denoise | Refine | Decode | Close | Memory


def _to_text(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


_encode = msgspec.msgpack.Encoder(enc_hook=_to_text).encode
_decode = msgspec.msgpack.Decoder(Order, dec_hook=lambda kind, value: kind(value)).decode


class LeadingPipeline(WanPipeline):
    """The leader's: each call is an order to the others, too."""

    def __init__(self, weights: WanWeights, options: PipelineOptions, group: Group, **watch: Unpack[Watch]):
        order = Load(
            weights=weights,
            mode=options.mode,
            plan=options.plan,
            fuse_lora=options.fuse_lora,
            compile_blocks=options.compile_blocks,
        )
        with _together(group):
            give(group, order)
            super().__init__(FileSources(weights), options, group=group, **_agreed(group, watch))

    def encode(self, videos: GuideVideos, *, geometry: bool = True, **watch: Unpack[Watch]) -> Encoded:
        """See :meth:`WanPipeline.encode`."""
        with _together(self._group):
            give(self._group, Encode(geometry=geometry), *videos.packed())
            return super().encode(videos, geometry=geometry, **_agreed(self._group, watch))

    def latents(
        self,
        encoded: Encoded,  # what encode() gave last
        contexts: Sequence[Tensor],
        noise: Tensor,
        schedule: Schedule,
        *,
        cfg_scale: float,
        cache_threshold: float = 0.0,
        on_step: Callable[[int, Tensor], None] | None = None,
        **watch: Unpack[Watch],
    ) -> Tensor:  # [1, 16, T, h, w]
        """See :meth:`WanPipeline.latents`."""
        order = Denoise(prompts=len(contexts), cfg_scale=cfg_scale, cache_threshold=cache_threshold)
        with _together(self._group):
            give(self._group, order, noise, schedule.sigmas, *contexts)
            return super().latents(
                encoded,
                contexts,
                noise,
                schedule,
                cfg_scale=cfg_scale,
                cache_threshold=cache_threshold,
                on_step=on_step,
                **_agreed(self._group, watch),
            )

    def refined(
        self,
        encoded: Encoded,  # what encode() gave last
        contexts: Sequence[Tensor],
        start: Tensor,
        noise: Tensor,
        schedule: Schedule,
        way: Layout,
        *,
        cfg_scale: float,
        **watch: Unpack[Watch],
    ) -> Tensor:  # [1, 16, T, h, w]
        """See :meth:`WanPipeline.refined`."""
        order = Refine(prompts=len(contexts), cfg_scale=cfg_scale, way=way)
        with _together(self._group):
            give(self._group, order, start, noise, schedule.sigmas, *contexts)
            return super().refined(
                encoded, contexts, start, noise, schedule, way, cfg_scale=cfg_scale, **_agreed(self._group, watch)
            )

    def frames(self, latents: Tensor, **watch: Unpack[Watch]) -> Iterator[Tensor]:  # [1, 3, 1 or 4, H, W]
        """See :meth:`WanPipeline.frames`."""
        with _together(self._group):
            give(self._group, Decode(), latents)
            decoded = super().frames(latents, **_agreed(self._group, watch))
        try:
            while True:
                with _together(self._group):
                    chunk = next(decoded, None)
                if chunk is None:
                    break
                yield chunk
        except Cancelled:
            raise  # by all of them
        except GeneratorExit:  # whoever takes the frames has failed: the others stop at their next check
            self._group.agree(stop=True)
            raise
        self._group.agree()

    def close(self) -> None:
        """See :meth:`WanPipeline.close`."""
        if hasattr(self, "denoiser") and not self._group.broken:
            give(self._group, Close())
        super().close()

    @property
    def _group(self) -> Group:
        assert self.group is not None
        return self.group


def give(group: Group, order: Order, *tensors: Tensor) -> None:
    """From the leader: the next order, and what belongs to it."""
    group.share(_encode(order))
    for tensor in tensors:
        group.share_tensor(tensor)


def free_everywhere(group: Group, own: int) -> int:
    """From the leader: the free bytes of the device that has least."""
    with _together(group):
        give(group, Memory())
        return group.least(own)


@contextmanager
def _together(group: Group) -> Iterator[None]:
    """What fails here for one alone leaves the others waiting: the group is of no more use, and says so.

    An error of ours is everybody's: it comes of the order, or of files that all of them read.
    """
    if group.broken:
        raise EngineError("The processes of this group of GPUs have lost each other; start them again.")
    try:
        yield
    except (Ex4dError, GeneratorExit):
        raise
    except BaseException:
        group.broken = True
        raise


def _agreed(group: Group, watch: Watch) -> Watch:
    return {"on_progress": watch.get("on_progress"), "cancel": Agreed(group, watch.get("cancel"))}


# --- those who follow -------------------------------------------------------------------------------------


def follow(group: Group, free_bytes: Callable[[], int]) -> None:
    """Do what the leader orders until it is gone."""
    follower = _Follower(group, free_bytes)
    while True:
        try:
            order = _decode(group.share())
        except RuntimeError:  # the connection to the leader has ended
            return
        try:
            follower.obey(order)
        except Ex4dError:
            continue  # the leader has it too, and tells people


class _Follower:
    def __init__(self, group: Group, free_bytes: Callable[[], int]) -> None:
        self._group, self._free_bytes = group, free_bytes
        self._pipe: WanPipeline | None = None
        self._encoded: Encoded | None = None
        self._watch: Watch = {"cancel": Agreed(group)}

    def obey(self, order: Order) -> None:
        match order:
            case Load():
                self._close()
                options = PipelineOptions(
                    order.mode, order.plan, self._group.device, order.fuse_lora, order.compile_blocks
                )
                self._pipe = WanPipeline(FileSources(order.weights), options, group=self._group, **self._watch)
            case Encode():
                videos = GuideVideos.from_guides(self._tensor().numpy(), self._tensor().numpy())
                self._encoded = self._loaded.encode(videos, geometry=order.geometry, **self._watch)
            case Denoise():
                noise, schedule, contexts = self._tensor(), self._schedule(), self._tensors(order.prompts)
                self._loaded.latents(
                    self._given,
                    contexts,
                    noise,
                    schedule,
                    cfg_scale=order.cfg_scale,
                    cache_threshold=order.cache_threshold,
                    **self._watch,
                )
            case Refine():
                start, noise, schedule = self._tensor(), self._tensor(), self._schedule()
                contexts, how = self._tensors(order.prompts), {"cfg_scale": order.cfg_scale}
                self._loaded.refined(self._given, contexts, start, noise, schedule, order.way, **how, **self._watch)
            case Decode():
                for _ in self._loaded.frames(self._tensor(), **self._watch):
                    pass
                self._group.agree()  # whether the leader has taken the last frames is of no matter here
            case Close():
                self._close()
            case Memory():
                self._group.least(self._free_bytes())

    def _close(self) -> None:
        pipe, self._pipe, self._encoded = self._pipe, None, None
        if pipe is not None:
            with pipe:
                pass

    @property
    def _loaded(self) -> WanPipeline:
        assert self._pipe is not None
        return self._pipe

    @property
    def _given(self) -> Encoded:
        assert self._encoded is not None
        return self._encoded

    def _tensor(self) -> Tensor:
        return self._group.share_tensor()

    def _tensors(self, count: int) -> list[Tensor]:
        return [self._tensor() for _ in range(count)]

    def _schedule(self) -> Schedule:
        return Schedule(self._tensor())
