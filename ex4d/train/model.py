"""The model that is trained: Wan's transformer with its LoRA, and the geometry encoder, in one forward with gradients.

Blocks run through the engine's own functions (:mod:`ex4d.engines.wan.blocks`), geometry enters as it does there. What a
block keeps for its backward pass is chosen per block: nothing but its input ("full" recomputation), what self-attention
made besides ("attention"), what all attention and every matrix product made ("products"), or whatever autograd wants
("kept").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from ex4d.engines.wan import outer
from ex4d.engines.wan.blocks import Rope, cross_keys_values, finish, self_attention
from ex4d.engines.wan.compiling import compiled_by_shape
from ex4d.engines.wan.denoiser import attention_backend
from ex4d.engines.wan.geometry import GeometryEncoder
from ex4d.train.cost import Recompute
from ex4d.train.lora import LoraLinear, lora_layers
from ex4d.train.offload import InputOffload
from ex4d.train.operators import gelu, rotated_on
from ex4d.train.swap import BlockSwapper
from ex4d_ground.errors import ShapeError


@dataclass(frozen=True)
class Batch:
    """What the model is trained on in one step, on its device."""

    latents: Tensor  # [B, 16, T, h, w] of the clip, normalised
    image: Tensor  # [B, 20, T, h, w] frame 0 behind its four channels
    colour: Tensor  # [B, 16, T, h, w] of the masked clip
    mask: Tensor  # [B, 16, T, h, w]
    clip_fea: Tensor  # [B, 257, image channels]
    context: Tensor  # [B, 512, text channels]
    hidden: Tensor  # [B, T, h, w] 0..1: share of each latent's pixels that the masks hide

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device) -> Batch:
        """The batch with all its tensors on ``device``."""
        return Batch(**{name: tensor.to(device, non_blocking=True) for name, tensor in vars(self).items()})


class TrainedBlock(nn.Module):
    """One block of the transformer with its share of the conditions; the unit of recomputing, swapping and sharding."""

    def __init__(self, block: nn.Module, *, recompute: Recompute = "full", compiled: bool = False):
        super().__init__()
        self.block = block
        self._run = _program(recompute, compiled)

    def forward(
        self,
        x: Tensor,  # [B, tokens, dim] residual stream
        modulation: Tensor,  # [B, 6, dim] float32
        rope: Rope,
        text: Tensor,  # [B, 512, dim] in the compute dtype
        image: Tensor,  # [B, 257, dim]
    ) -> Tensor:  # [B, tokens, dim]
        """As the engine runs a block, with gradients for its LoRA and for ``x``."""
        return self._run(self.block, x, modulation, rope.cos, rope.sin, text, image)


def _whole(
    block: Any, x: Tensor, modulation: Tensor, cos: Tensor, sin: Tensor, text: Tensor, image: Tensor
) -> Tensor:  # [B, tokens, dim]
    h = self_attention(block, x, modulation, Rope(cos, sin), text.dtype, rotated=rotated_on(x.device))
    return finish(block, x, h, modulation, cross_keys_values(block, text, image), feed=_feed_forward)


def _feed_forward(ffn: Any, x: Tensor) -> Tensor:
    return ffn.net[2](gelu(ffn.net[0].proj(x)))


_ATTENTION = frozenset(
    getattr(torch.ops.aten, name).default
    for name in (
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_efficient_attention",
    )
)
_THIN = 129
_PRODUCTS = frozenset(
    (
        torch.ops.ex4d.lora_products.default,
        torch.ops.aten.mm.default,
        torch.ops.aten.addmm.default,
        torch.ops.aten._scaled_mm.default,
    )
)


def _policy(recompute: Recompute, ctx: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    """What is kept. "attention" keeps the video's to itself alone, which is as long as its keys; the rest is cheap."""
    del ctx, kwargs
    if op in _ATTENTION:
        to_itself = args[0].shape[-2] == args[1].shape[-2]
        keeps = recompute == "products" or (recompute == "attention" and to_itself)
    else:
        keeps = recompute == "products" and op in _PRODUCTS and not _is_thin(op, args)
    return CheckpointPolicy.MUST_SAVE if keeps else CheckpointPolicy.PREFER_RECOMPUTE


def _is_thin(op: Any, args: Any) -> bool:
    """Whether a product makes much of little, as a LoRA's upper half does: cheaper to make again than to keep."""
    left = args[1] if op is torch.ops.aten.addmm.default else args[0]
    return left.shape[-1] < _THIN


def _checkpointed(recompute: Recompute) -> Callable[..., Tensor]:
    contexts = partial(create_selective_checkpoint_contexts, partial(_policy, recompute))

    def run(*args: Any) -> Tensor:
        # With a policy even for "full": the compiler then also makes again what frozen 8-bit products put out.
        out: Any = checkpoint(_whole, *args, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
        return out

    return run


_RUNS: dict[Recompute, Callable[..., Tensor]] = {
    "full": _checkpointed("full"),
    "attention": _checkpointed("attention"),
    "products": _checkpointed("products"),
    "kept": _whole,
}
_compiled: dict[Recompute, Callable[..., Tensor]] = {}


def _program(recompute: Recompute, compiled: bool) -> Callable[..., Tensor]:
    """How a block runs; the same compiled programs, one a clip's size, serve all blocks that recompute alike."""
    if not compiled:
        return _RUNS[recompute]
    if recompute not in _compiled:
        _compiled[recompute] = compiled_by_shape(_RUNS[recompute], shaped=1)
    return _compiled[recompute]


@dataclass(frozen=True)
class ModelPlan:
    """How a training step uses the device: what each block recomputes, which are swapped, dtypes."""

    recompute: Sequence[Recompute] = ("full",)
    """One for every block, or one for all."""
    swapped: Sequence[int] = ()
    """Blocks whose frozen weights wait on the host; they must recompute in full."""
    offload_inputs: bool = False
    """Whether blocks' inputs wait on the host for the backward pass."""
    compiled: bool = False
    compute: torch.dtype = torch.bfloat16
    residual: torch.dtype = torch.bfloat16

    def of(self, index: int) -> Recompute:
        """What block ``index`` recomputes."""
        return self.recompute[index if len(self.recompute) > 1 else 0]


class TrainedModel(nn.Module):
    """Call it with a batch's tensors and noise levels for a velocity. ``transformer``'s LoRA must be there already."""

    def __init__(self, transformer: Any, geometry: GeometryEncoder, plan: ModelPlan = ModelPlan()):
        super().__init__()
        self.plan = plan
        blocks = list(transformer.blocks)
        self.blocks = nn.ModuleList(
            TrainedBlock(block, recompute=plan.of(i), compiled=plan.compiled) for i, block in enumerate(blocks)
        )
        transformer.blocks = nn.ModuleList()  # they are trained above; what is left of it lies around them
        self.outside = transformer
        self.geometry = geometry
        self._swapper: BlockSwapper | None = None
        self._offload: InputOffload | None = None

    def to_device(self, device: torch.device) -> TrainedModel:
        """All of it on ``device`` except what the plan swaps."""
        swapped = set(self.plan.swapped)
        for name, child in self.named_children():
            if name != "blocks":
                child.to(device)
        for i, block in enumerate(self.blocks):
            for p in block.parameters():
                if i not in swapped or p.requires_grad:
                    p.data = p.data.to(device)
        if swapped:
            self._swapper = BlockSwapper(list(self.blocks), sorted(swapped), device)
        self._offload = InputOffload(len(self.blocks), device) if self.plan.offload_inputs else None
        return self

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.geometry.parameters()).device

    @property
    def lora(self) -> dict[str, LoraLinear]:
        """The LoRA's layers by diffusers' module names."""
        return dict(lora_layers(self))

    def trained(self) -> dict[str, nn.Parameter]:
        """What is trained, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def attention(self) -> AbstractContextManager[None]:
        """Choose the fastest attention; to be active in forward and backward."""
        return attention_backend(self.device)

    def forward(
        self,
        noisy: Tensor,  # [B, 16, T, h, w] float32
        timesteps: Tensor,  # [B] 0..1000
        image: Tensor,  # [B, 20, T, h, w]
        colour: Tensor,  # [B, 16, T, h, w]
        mask: Tensor,  # [B, 16, T, h, w]
        clip_fea: Tensor,  # [B, 257, image channels]
        context: Tensor,  # [B, 512, text channels]
        geometry_scale: Tensor,  # [B] 1 with geometry, 0 without
    ) -> Tensor:  # [B, 16, T, h, w] float32
        """The direction from data to noise. Raises ShapeError for sides that make no patches."""
        if noisy.shape[3] % 2 or noisy.shape[4] % 2:
            raise ShapeError(f"Latents must have even sides, got {list(noisy.shape)}.")
        outside, plan = self.outside, self.plan
        tokens: Any = checkpoint(self.geometry, colour.float(), mask.float(), use_reentrant=False)
        with torch.no_grad():
            weight = outside.patch_embedding.weight
            x = outside.patch_embedding(torch.cat([noisy, image.float()], dim=1).to(weight.dtype))
            times, modulation = outer.time_tokens(outside, timesteps)
            text = outer.text_tokens(outside, context).to(plan.compute)
            image_tokens = outer.image_tokens(outside, clip_fea).to(plan.compute)
            rope = outer.rope(outside, noisy)
        x = x + tokens * geometry_scale.view(-1, 1, 1, 1, 1)
        grid = tuple(x.shape[2:])
        x = x.flatten(2).transpose(1, 2).to(plan.residual).contiguous()
        offload = self._offload if torch.is_grad_enabled() else None
        if offload is not None:
            offload.start()
        for i, block in enumerate(self.blocks):
            x = self._before(x, i)
            with offload.block(i, x) if offload is not None else nullcontext():
                x = block(x, modulation, rope, text, image_tokens)
            x = self._after(x, i)
        return outer.head(outside, x, times, grid)

    def _before(self, x: Tensor, index: int) -> Tensor:
        if self._swapper is not None:
            self._swapper.need(index, backwards=False)
        return x

    def _after(self, x: Tensor, index: int) -> Tensor:
        """On the way back, this runs before the block's own backward."""
        if self._swapper is not None and x.requires_grad:
            swapper = self._swapper
            x.register_hook(lambda gradient: swapper.need(index, backwards=True))
        return x


def zero_last_layer(geometry: GeometryEncoder) -> None:
    """Geometry tokens of zero: the first step's model is the base model."""
    last = geometry.latent_patch_embedding
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
