"""Whether a run will fit and how long it will take, said before it starts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ex4d.engines.gpu import Gpu
from ex4d.engines.wan.cost_model import PUBLISHED, tokens
from ex4d.engines.wan.plan import ModelSize
from ex4d.train.config import TrainConfig
from ex4d.train.cost import GIB, StepCost, decided, per_block, step_cost
from ex4d.train.dataset import Dataset
from ex4d_ground.costs import rough_time
from ex4d_ground.errors import DeviceMemoryError, Ex4dError, SettingError

CLIP = (49, 512, 512)
"""Frames, height and width that are reckoned with where there is no data set yet."""


@dataclass(frozen=True)
class Examination:
    """What was found; lines for people."""

    lines: list[str]
    cost: StepCost
    recompute: str
    problem: Ex4dError | None = field(default=None)


def gpu_of(text: str | None) -> Gpu | None:
    """``"RTX 4090:24"`` as a GPU with that many GiB; None for this machine's. Raises SettingError."""
    if text is None:
        from ex4d.engines.gpu import find_gpu

        return find_gpu()
    found = re.fullmatch(r"(.+):(\d+(?:\.\d+)?)", text.strip())
    if found is None:
        raise SettingError(f"A GPU is given as NAME:GIB, such as 'RTX 4090:24', got {text!r}.")
    total = int(float(found[2]) * GIB)
    return Gpu(found[1], total, total)


def examine(config: TrainConfig, gpu: Gpu | None, *, processes: int = 1) -> Examination:
    """Memory and time of a run on ``gpu``, for the largest of its samples. Raises WeightsError, DatasetError."""
    frames, height, width = CLIP
    lines, samples = [], 0
    if config.data.dataset and Path(config.data.dataset).is_dir():
        data = Dataset(Path(config.data.dataset), config.data.kinds)
        frames, height, width = max((s.bucket for s in data.training), key=lambda b: b[0] * b[1] * b[2])
        samples = len(data.training)
        lines.append(f"Data: {samples} samples to train on, {len(data.held_out)} held out.")
    else:
        lines.append(f"Data: none yet; reckoned for {frames} frames of {width}x{height}.")
    size = _model_size(config)
    count = tokens(frames, width, height)
    name, free = (gpu.name, float(gpu.free)) if gpu is not None else ("", 0.0)
    if gpu is not None:
        config = decided(config, size, count, name, free)
    recompute = _counted(per_block(config.memory, size.num_layers))
    cost = step_cost(config, size, count, name, processes=processes)
    lines.append(
        f"A step: {cost.tflop:.0f} TFLOP, about {cost.peak_bytes / GIB:.1f} GiB on the GPU; recomputes: {recompute}."
    )
    if gpu is None:
        lines.append("GPU: none here; name one to reckon its time.")
        return Examination(lines, cost, recompute)
    lines.append(f"GPU: {gpu.name}, {free / GIB:.1f} GiB free.")
    if cost.seconds is not None:
        total = cost.seconds * config.train.steps
        lines.append(f"Time: about {cost.seconds:.2f} s a step, {rough_time(total)} for {config.train.steps} steps.")
        if samples:
            seen = config.train.steps * config.data.batch * config.train.accumulate * processes / samples
            lines.append(f"Every sample is seen {seen:.1f} times.")
    problem = None
    if cost.peak_bytes > free:
        problem = DeviceMemoryError(
            f"The run needs about {cost.peak_bytes / GIB:.1f} GiB and {free / GIB:.1f} GiB are free: "
            f"{_advice(config, size)}."
        )
    return Examination(lines, cost, recompute, problem)


def _counted(blocks: Sequence[str]) -> str:
    """``"products (24 blocks), kept (16 blocks)"``; a name alone where all blocks are alike."""
    counts = Counter(blocks)
    return ", ".join(name if len(counts) == 1 else f"{name} ({n} blocks)" for name, n in counts.items())


def _advice(config: TrainConfig, size: ModelSize) -> str:
    memory = config.memory
    if memory.recompute not in ("auto", "full"):
        return 'set memory.recompute to "full"'
    if memory.base != "fp8":
        return 'set memory.base to "fp8"'
    if memory.swap_blocks < size.num_layers:
        return f"set memory.swap_blocks higher than {memory.swap_blocks} (at most {size.num_layers})"
    return "train on smaller or shorter samples"


def _model_size(config: TrainConfig) -> ModelSize:
    """Of the weights that are named, or the published model's where they are not here."""
    from ex4d.train.building import weights_of
    from ex4d.weights.components import open_part
    from ex4d_ground.errors import WeightsError

    try:
        source = open_part(weights_of(config.model), "transformer")
    except WeightsError:
        if config.model.weights:
            raise
        return PUBLISHED
    source.files.close()
    return ModelSize.of(source.config)
