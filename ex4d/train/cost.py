"""What a training step costs: work, memory and time, reckoned from sizes and a few measured numbers. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ex4d.engines.wan.cost_model import forward_tflop, speed_of
from ex4d.engines.wan.plan import ModelSize
from ex4d.train.config import TrainConfig

GIB = 1 << 30
Recompute = Literal["full", "attention", "products", "kept"]
SHARE = {"full": 1.0, "attention": 0.7, "products": 0.02, "kept": 0.0}
"""Share of the forward that is computed again in the backward pass."""
_ATTENTION_BACKWARD = 2.5  # times its forward: five products for two
_EFFICIENCY = 0.93  # of the speed that a forward alone reaches
_FP8_FORWARD = 1.25  # what 8-bit products gain in forwards; gradients are computed in 16 bits
_BUS = 20e9  # bytes a second from page-locked memory
_SLOTS = 3
_KEPT = {"full": 0.0, "attention": 2.1, "products": 24.0, "kept": 38.0}
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


def step_cost(
    config: TrainConfig, size: ModelSize, tokens: int, gpu: str, *, recompute: str = "full", processes: int = 1
) -> StepCost:
    """The cost of one step of ``config`` on clips of ``tokens`` tokens."""
    memory, batch = config.memory, config.data.batch
    each = 1 if memory.base == "fp8" else 4 if memory.precision == "float32" else 2
    block = (10 * size.dim**2 + 2 * size.dim * size.ffn_dim) * each
    swapped = min(memory.swap_blocks, size.num_layers)
    resident = size.num_layers - swapped + (min(_SLOTS, swapped) if swapped else 0)
    frozen = block * resident + _OUTSIDE * size.dim**2
    if config.parallel.kind == "fsdp2" and processes > 1:
        frozen = frozen / processes + 2 * block
    trained = lora_parameters(size, config.model.rank) + geometry_parameters(size, config.model.geometry_width)
    copies = 4 + 4 + (2 if config.train.optimizer == "adamw8bit" else 8) + (4 if config.train.ema else 0)
    residual = 4 if "float32" in (memory.residual, memory.precision) else 2
    stream = batch * tokens * size.dim
    inputs = 3 * residual if memory.offload_inputs else residual * size.num_layers
    kept = stream * (inputs + _KEPT[recompute] * size.num_layers)
    working = stream * _WORKING * (2 if memory.precision == "float32" else 1)
    peak = frozen + trained * copies + kept + working + _CONTEXT
    work = batch * step_tflop(tokens, size, SHARE[recompute])
    return StepCost(work, peak, _seconds(config, size, tokens, gpu, work, block * swapped, recompute))


def choose_recompute(config: TrainConfig, size: ModelSize, count: int, gpu: str, free: float) -> Recompute:
    """What "auto" becomes: as little as fits ``free`` bytes, with a tenth to spare."""
    if config.memory.recompute != "auto":
        return config.memory.recompute
    if config.memory.swap_blocks:
        return "full"
    sparing: tuple[Recompute, ...] = ("kept", "products", "attention")
    for recompute in sparing:
        if step_cost(config, size, count, gpu, recompute=recompute).peak_bytes <= 0.9 * free:
            return recompute
    return "full"


def _seconds(
    config: TrainConfig, size: ModelSize, tokens: int, gpu: str, work: float, moved: float, recompute: str
) -> float | None:
    speed = speed_of(gpu)
    if speed is None:
        return None
    if config.memory.base == "fp8":
        forwards = config.data.batch * (1 + SHARE[recompute]) * sum(forward_tflop(tokens, size))
        work = work - forwards * (1 - 1 / _FP8_FORWARD)
    # Swapped blocks come twice a step, beside the computation.
    return max(work / (speed * _EFFICIENCY), 2 * moved / _BUS) * config.train.accumulate
