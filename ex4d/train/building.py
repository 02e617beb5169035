"""From files and a configuration to the model that is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import torch

from ex4d.cuda import free_bytes
from ex4d.engines.wan.geometry import GeometryEncoder
from ex4d.engines.wan.loading import TransformerPlan, load_transformer
from ex4d.engines.wan.plan import ModelSize
from ex4d.progress import Watch
from ex4d.train.config import Memory, Model, TrainConfig
from ex4d.train.cost import decided, per_block
from ex4d.train.lora import add_lora
from ex4d.train.model import ModelPlan, TrainedModel, zero_last_layer
from ex4d.train.published import start_from
from ex4d.train.swap import spread_evenly
from ex4d.weights.components import PartFiles, open_part
from ex4d.weights.layout import WanWeights

DTYPES = {"bf16": torch.bfloat16, "float32": torch.float32}


def weights_of(config: Model) -> WanWeights:
    """The files that the configuration names."""
    return WanWeights.under(Path(config.weights) if config.weights else None)


def build(
    config: TrainConfig, device: torch.device, *, weights: WanWeights | None = None, **watch: Unpack[Watch]
) -> TrainedModel:
    """The model on ``device``, started as the configuration says.

    Raises WeightsError for files that are missing or do not fit, Cancelled.
    """
    weights = weights or weights_of(config.model)
    source = open_part(weights, "transformer")
    try:
        model = build_from(source, config, device, **watch)
    finally:
        source.files.close()
    if config.model.start:
        published = weights.ex4d if config.model.start == "ex4d" else Path(config.model.start)
        assert published is not None
        start_from(model, published)
    return model


def build_from(source: PartFiles, config: TrainConfig, device: torch.device, **watch: Unpack[Watch]) -> TrainedModel:
    """The same from an opened transformer, with nothing learned yet."""
    memory, layers = config.memory, int(source.config["num_layers"])
    plan = model_plan(memory, layers, device)
    where = TransformerPlan(
        # A base that is swapped is quantised on the device and waits on the host.
        device,
        DTYPES[memory.precision],
        fp8=memory.base == "fp8",
        fp8_conditioning=True,
        blocks_on_device=not plan.swapped,
        conditioning_on_device=True,
    )
    transformer = load_transformer(source, where, **watch)
    seed = config.train.seed
    add_lora(transformer, rank=config.model.rank, alpha=config.model.alpha, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        dim = source.shapes["patch_embedding.weight"][0]
        geometry = GeometryEncoder(32, config.model.geometry_width, dim)
    zero_last_layer(geometry)
    return TrainedModel(transformer, geometry, plan).to_device(device)


def resolved(config: TrainConfig, count: int, weights: WanWeights | None, device: torch.device) -> TrainConfig:
    """The configuration with "auto" decided for samples of ``count`` tokens and the memory that is free now."""
    if config.memory.recompute != "auto" or device.type != "cuda":
        return config
    source = open_part(weights or weights_of(config.model), "transformer")
    source.files.close()
    name = torch.cuda.get_device_properties(device).name
    size = ModelSize.of(source.config)
    return decided(config, size, count, name, float(free_bytes(device)))


def model_plan(memory: Memory, layers: int, device: torch.device) -> ModelPlan:
    """How the model runs; "auto" that nobody has resolved recomputes in full."""
    return ModelPlan(
        recompute=tuple(per_block(memory, layers)),
        swapped=spread_evenly(layers, min(memory.swap_blocks, layers)),
        offload_inputs=memory.offload_inputs,
        compiled=memory.compile and device.type == "cuda",
        compute=DTYPES[memory.precision],
        residual=DTYPES[memory.residual] if memory.precision == "bf16" else torch.float32,
    )
