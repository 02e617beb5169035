"""Running Wan's transformer for one shot: what stays the same over the steps is computed once, the rest every step."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ex4d.engines.wan import blocks as plain
from ex4d.engines.wan import fused, outer
from ex4d.engines.wan.blocks import CrossKV, Rope, conditioning_modules, cross_keys_values
from ex4d.engines.wan.compiling import compiled_by_shape
from ex4d.engines.wan.geometry import geometry_tokens
from ex4d.engines.wan.placing import on_device
from ex4d.engines.wan.schedule import Schedule
from ex4d.engines.wan.step_cache import FirstBlockCache
from ex4d.engines.wan.streaming import BlockStreamer
from ex4d.progress import CancelToken, check
from ex4d_ground.errors import ShapeError

if TYPE_CHECKING:
    from ex4d.engines.wan.sharing import Sharing

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Conditions:
    """Everything the transformer is told about a shot besides noise and time."""

    y: Tensor  # [1, 20, T, h, w] frame-0 mask (4 channels) and latents
    clip_fea: Tensor  # [1, 257, image channels]
    geometry: Tensor | None  # [1, dim, T, h/2, w/2]; None if it is given part by part
    contexts: tuple[Tensor, ...]  # each [1, 512, text channels]; the prompt, then the negative prompt if there is CFG


@dataclass(frozen=True)
class Precision:
    """Dtypes of a mode: of matrix products, and of the residual stream between blocks."""

    compute: torch.dtype
    residual: torch.dtype


FLOAT32 = Precision(torch.float32, torch.float32)
EXACT = Precision(torch.bfloat16, torch.float32)
FAST = Precision(torch.bfloat16, torch.bfloat16)


@dataclass(frozen=True)
class Shot:
    """A shot's constants on the device."""

    y: Tensor
    modulations: Tensor  # [steps, 1, 6, dim] float32
    head_times: Tensor  # [steps, 1, dim] float32
    rope: Rope
    cross: tuple[tuple[CrossKV, ...], ...]  # [branches][blocks]
    sharing: Sharing | None = None
    """This process's part of every run, where several share it; the constants are those of its part."""

    def of_all_tokens(self, own: Tensor) -> Tensor:  # [n, tokens, m]
        """The head's rows of all tokens from this process's."""
        return own if self.sharing is None else self.sharing.whole(own, 1)


@dataclass
class StepStart:
    """What both branches of guidance compute alike in one step, kept by the first for the second.

    Up to block 0's self-attention the prompt plays no part, so sharing this changes no result.
    """

    shared: tuple[Tensor, Tensor, tuple[int, ...]] | None = field(default=None, init=False)
    """Tokens before block 0, the result of its first half, and the tokens' grid."""


@dataclass(frozen=True)
class BlockProgram:
    """How the two halves of a block are run; see :mod:`ex4d.engines.wan.blocks` for their arguments."""

    self_attention: Callable[..., Tensor]
    finish: Callable[..., Tensor]
    description: str
    fused: bool = False
    """Whether it can leave repeated text tokens out."""


class WanDenoiser:
    """diffusers' Wan transformer, run block by block.

    ``blocks`` yields the model's blocks ready to run (the model's own list, or a :class:`BlockStreamer`). With
    ``compile_blocks`` one compiled program serves them all, on CUDA with kernels of ours.
    """

    def __init__(
        self,
        model: Any,
        *,
        device: torch.device,
        precision: Precision,
        streamer: BlockStreamer | None = None,
        compile_blocks: bool = False,
        prefer_cudnn: bool = True,
        ffn_rows: int = 0,
        short_text: bool = False,
    ):
        self._prefer_cudnn = prefer_cudnn
        self.model, self.device, self.precision = model, device, precision
        self.streamer = streamer
        self._blocks: Sequence[nn.Module] | BlockStreamer = streamer or model.blocks
        self.program = block_program(model.blocks, device, compiled=compile_blocks)
        self._ffn_rows, self._short_text = ffn_rows, short_text

    @contextmanager
    def shot(
        self,
        conditions: Conditions,
        schedule: Schedule,
        *,
        sharing: Sharing | None = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[Shot]:
        """Compute a shot's constants and hook its geometry into the patch embedding until the block ends.

        Where branches are ``sharing``, the conditions hold the prompt of this process's alone. Raises ShapeError if the
        conditions do not belong together.
        """
        _, channels, _, height, width = conditions.y.shape
        if channels + 16 != self.model.config.in_channels or height % 2 or width % 2:
            raise ShapeError(f"Conditions of shape {list(conditions.y.shape)} do not fit the transformer.")
        with torch.no_grad(), ExitStack() as stack:
            stack.enter_context(attention_backend(self.device, prefer_cudnn=self._prefer_cudnn))
            if conditions.geometry is not None:
                tokens = conditions.geometry.to(device=self.device, dtype=torch.float32)
                stack.enter_context(geometry_tokens(self.model.patch_embedding, tokens))
            yield self._prepare(conditions, schedule, sharing, cancel)

    @contextmanager
    def part(
        self,
        shot: Shot,
        y: Tensor,  # [1, 20, T, h, w] of the part
        geometry: Tensor,  # [1, dim, T, h/2, w/2] of the part
    ) -> Iterator[Shot]:
        """A part of the picture as a shot of its own, with the constants of ``shot``, which was given no geometry."""
        with geometry_tokens(self.model.patch_embedding, geometry.to(device=self.device, dtype=torch.float32)):
            yield replace(shot, y=y, rope=self._rope(y, shot.sharing))

    def velocity(
        self,
        shot: Shot,
        latents: Tensor,  # [1, 16, T, h, w] float32
        step: int,
        branch: int = 0,
        *,
        start: StepStart | None = None,
        cache: FirstBlockCache | None = None,
    ) -> Tensor:  # [1, 16, T, h, w] float32
        """One forward of the transformer: the direction from data to noise at ``step``.

        ``start`` is for the branches of one step with the same latents: the first fills it, the others use it.
        With a ``cache`` the blocks after the first may be left out, except in the shot's last step.
        """
        modulation, last = shot.modulations[step], step + 1 == len(shot.modulations)
        with closing(self._running(shot.cross[branch])) as blocks:
            block, cross = next(blocks)
            x, h, grid = self._begin(shot, latents, block, modulation, start)
            first = self.program.finish(block, x, h, modulation, cross, self._ffn_rows)
            if cache is None:
                del x, h  # unless the other branch is to have them, their memory is the next blocks'
                x = self._rest(blocks, first, modulation, shot)
            else:
                x = cache.after(branch, x, first, lambda: self._rest(blocks, first, modulation, shot), computed=last)
        return outer.head(self.model, x, shot.head_times[step], grid, shot.of_all_tokens)

    def _begin(
        self, shot: Shot, latents: Tensor, block: nn.Module, modulation: Tensor, start: StepStart | None
    ) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """Tokens with geometry, the result of block 0's first half, and the tokens' grid."""
        if start is not None and start.shared is not None:
            return start.shared
        embed = self.model.patch_embedding
        x = embed(torch.cat([latents, shot.y], dim=1).to(embed.weight.dtype))
        grid = tuple(x.shape[2:])
        x = x.flatten(2).transpose(1, 2).to(self.precision.residual).contiguous()
        x = x if shot.sharing is None else shot.sharing.own(x, 1)
        shared = x, self._first_half(block, x, modulation, shot), grid
        if start is not None:
            start.shared = shared
        return shared

    def _running(self, cross: Sequence[CrossKV]) -> Generator[tuple[nn.Module, CrossKV], None, None]:
        """The blocks in order; closing it early sets a streamer back to the first."""
        blocks = iter(self._blocks)
        try:
            yield from zip(blocks, cross, strict=True)
        finally:
            if isinstance(blocks, Generator):
                blocks.close()

    def _rest(
        self, blocks: Iterator[tuple[nn.Module, CrossKV]], x: Tensor, modulation: Tensor, shot: Shot
    ) -> Tensor:  # [1, tokens, dim]
        for block, cross in blocks:
            h = self._first_half(block, x, modulation, shot)
            x = self.program.finish(block, x, h, modulation, cross, self._ffn_rows)
        return x

    def _first_half(self, block: nn.Module, x: Tensor, modulation: Tensor, shot: Shot) -> Tensor:
        shared = None if shot.sharing is None else shot.sharing.attention
        return self.program.self_attention(block, x, modulation, shot.rope, self.precision.compute, shared)

    def _rope(self, y: Tensor, sharing: Sharing | None) -> Rope:
        rope = outer.rope(self.model, y)
        return rope if sharing is None else Rope(sharing.own(rope.cos, 0), sharing.own(rope.sin, 0))

    def _prepare(
        self, conditions: Conditions, schedule: Schedule, sharing: Sharing | None, cancel: CancelToken | None
    ) -> Shot:
        model, dtype = self.model, self.precision.compute
        with on_device([model.condition_embedder], self.device):
            times, modulations = outer.time_tokens(model, schedule.timesteps.to(self.device))
            image = outer.image_tokens(model, conditions.clip_fea.to(self.device))
            texts = [outer.text_tokens(model, context.to(self.device)) for context in conditions.contexts]
        cross: list[list[CrossKV]] = [[] for _ in texts]
        # Only the kernels make use of it.
        count = self._short_text and self.program.fused
        distinct = [count_distinct(c).to(self.device) if count else None for c in conditions.contexts]
        for block in model.blocks:
            check(cancel)
            with on_device(conditioning_modules(block), self.device):
                for branch, text in enumerate(texts):
                    keys_values = cross_keys_values(block, text.to(dtype), image.to(dtype))
                    keys_values = keys_values._replace(distinct=distinct[branch])
                    if branch:  # the image is the same in both branches
                        keys_values = keys_values._replace(k_image=cross[0][-1].k_image, v_image=cross[0][-1].v_image)
                    cross[branch].append(keys_values)
        y = conditions.y.to(device=self.device, dtype=torch.float32)
        return Shot(
            y,
            modulations.unsqueeze(1),
            times.unsqueeze(1),
            self._rope(y, sharing),
            tuple(tuple(branch) for branch in cross),
            sharing,
        )

    def close(self) -> None:
        """Give the device's memory back."""
        if self.streamer is not None:
            self.streamer.close()
        self.model.to("cpu")


def block_program(blocks: Any, device: torch.device, *, compiled: bool) -> BlockProgram:
    """The fastest program that this machine runs: kernels on CUDA with Triton, else torch's own operators."""
    halves, name, is_fused = (plain.self_attention, plain.finish), "", False
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            _log.warning("Triton is not installed: the transformer's blocks run uncompiled, which is slower.")
            compiled, name = False, " (Triton is not installed)"
        elif fused.fits(blocks):
            halves, name, is_fused = (fused.self_attention, fused.finish), " with kernels", True
        else:
            _log.warning("These blocks have no norm before cross-attention: they run without kernels, which is slower.")
    if compiled:
        first, second = (compiled_by_shape(half, shaped=1) for half in halves)
        return BlockProgram(first, second, f"compiled{name}", is_fused)
    return BlockProgram(halves[0], halves[1], f"uncompiled{name}", is_fused)


def count_distinct(
    context: Tensor,  # [1, text tokens, channels]
) -> Tensor:  # [1] int32
    """Text tokens up to and including the first of those that only repeat the last one."""
    other = (context[0] != context[0, -1]).any(dim=-1)
    last = other.nonzero()
    return torch.tensor([int(last[-1]) + 2 if len(last) else 1], dtype=torch.int32)


@contextmanager
def attention_backend(device: torch.device, *, prefer_cudnn: bool = True) -> Iterator[None]:
    """On CUDA, prefer cuDNN's attention (about twice as fast as the default on Hopper), then the others in order."""
    if device.type != "cuda" or not prefer_cudnn:
        yield
        return
    order = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    with sdpa_kernel(order, set_priority=True):
        yield
