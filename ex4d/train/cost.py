"""What a training step costs: work, memory and time, reckoned from sizes and a few measured numbers. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from ex4d.engines.wan.cost_model import BUS, forward_tflop, speed_of
from ex4d.engines.wan.plan import SLOTS, ModelSize
from ex4d.train.config import Memory, TrainConfig
from ex4d_ground.costs import GIB

Recompute = Literal["full", "attention", "products", "kept"]
STEPS: tuple[Recompute, ...] = ("full", "attention", "products", "kept")
SHARE = {"full": 1.0, "attention": 0.7, "products": 0.02, "kept": 0.0}
"""Share of the forward that is computed again in the backward pass."""
_ATTENTION_BACKWARD = 2.5  # times its forward: five products for two
_EFFICIENCY = 0.93  # of the speed that a forward alone reaches
_FP8_FORWARD = 1.25  # what 8-bit products gain in forwards; gradients are computed in 16 bits
_KEPT = {"full": 0.0, "attention": 2.1, "products": 24.0, "kept": 43.6}
"""Bytes a block keeps for each token and channel, besides its input."""
_WORKING = 34.0
"""Bytes for each token and channel while one block is computed again and gone back through; feed-forward included."""
_OUTSIDE = 66  # embedders, patch embedding and head in their dtypes: bytes for each square of the width
_CONTEXT = 1.2 * GIB  # CUDA context, workspaces, fragments


@dataclass(frozen=True)
class StepCost:
    """Of one process."""

    tflop: float
    peak_bytes: float
    seconds: float | None
    """None for a GPU whose speed is not known."""


def step_tflop(tokens: int, size: ModelSize, recomputed: float) -> float:
    """Forward, what is computed again, and the gradients of inputs: the frozen weights need none of their own."""
    linear, square = forward_tflop(tokens, size)
    return (1 + recomputed) * (linear + square) + linear + _ATTENTION_BACKWARD * square


def lora_parameters(size: ModelSize, rank: int) -> int:
    """Of the ten target layers in every block: eight square ones and the feed-forward's two."""
    return size.num_layers * rank * (8 * 2 * size.dim + 2 * (size.dim + size.ffn_dim))


def geometry_parameters(size: ModelSize, width: int) -> int:
    """Of the geometry encoder."""
    return 32 * width + 2 * width * width + 4 * width * size.dim + 3 * width + size.dim


def per_block(memory: Memory, layers: int) -> list[Recompute]:
    """What each block computes again; "auto" that nobody has decided is "full"."""
    least: Recompute = "full" if memory.recompute == "auto" else memory.recompute
    further = STEPS[min(STEPS.index(least) + 1, len(STEPS) - 1)]
    return [least if i < layers - memory.eased_blocks else further for i in range(layers)]


def recomputed_share(memory: Memory, layers: int) -> float:
    """Share of the forward that is computed again, of all blocks together."""
    return sum(SHARE[each] for each in per_block(memory, layers)) / layers


def step_cost(config: TrainConfig, size: ModelSize, tokens: int, gpu: str, *, processes: int = 1) -> StepCost:
    """The cost of one step of ``config`` on clips of ``tokens`` tokens; see :func:`decided` for "auto"."""
    memory, batch = config.memory, config.data.batch
    each = 1 if memory.base == "fp8" else 4 if memory.precision == "float32" else 2
    block = (10 * size.dim**2 + 2 * size.dim * size.ffn_dim) * each
    swapped = min(memory.swap_blocks, size.num_layers)
    resident = size.num_layers - swapped + (min(SLOTS, swapped) if swapped else 0)
    frozen = block * resident + _OUTSIDE * size.dim**2
    if config.parallel.kind == "fsdp2" and processes > 1:
        frozen = frozen / processes + 2 * block
    trained = lora_parameters(size, config.model.rank) + geometry_parameters(size, config.model.geometry_width)
    copies = 4 + 4 + (2 if config.train.optimizer == "adamw8bit" else 8) + (4 if config.train.ema else 0)
    residual = 4 if "float32" in (memory.residual, memory.precision) else 2
    stream = batch * tokens * size.dim
    inputs = 3 * residual if memory.offload_inputs else residual * size.num_layers
    kept = stream * (inputs + sum(_KEPT[each] for each in per_block(memory, size.num_layers)))
    working = stream * _WORKING * (2 if memory.precision == "float32" else 1)
    peak = frozen + trained * copies + kept + working + _CONTEXT
    share = recomputed_share(memory, size.num_layers)
    work = batch * step_tflop(tokens, size, share)
    return StepCost(work, peak, _seconds(config, size, tokens, gpu, work, block * swapped, share))


def decided(config: TrainConfig, size: ModelSize, count: int, gpu: str, free: float) -> TrainConfig:
    """The configuration without "auto": as little is computed again as fits ``free`` bytes, with a tenth to spare."""
    memory = config.memory
    if memory.recompute != "auto":
        return config

    def with_(recompute: Recompute, eased: int = 0) -> TrainConfig:
        return replace(config, memory=replace(memory, recompute=recompute, eased_blocks=eased))

    def fits(found: TrainConfig) -> bool:
        return step_cost(found, size, count, gpu).peak_bytes <= 0.9 * free

    if memory.swap_blocks:
        return with_("full")
    fitting: list[Recompute] = [step for step in STEPS if fits(with_(step))]
    least = fitting[-1] if fitting else "full"
    return with_(least, max((n for n in range(size.num_layers) if fits(with_(least, n))), default=0))


def _seconds(
    config: TrainConfig, size: ModelSize, tokens: int, gpu: str, work: float, moved: float, share: float
) -> float | None:
    speed = speed_of(gpu)
    if speed is None:
        return None
    if config.memory.base == "fp8":
        forwards = config.data.batch * (1 + share) * sum(forward_tflop(tokens, size))
        work = work - forwards * (1 - 1 / _FP8_FORWARD)
    # Swapped blocks come twice a step, beside the computation.
    return max(work / (speed * _EFFICIENCY), 2 * moved / BUS) * config.train.accumulate
