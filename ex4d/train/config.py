"""A training run's configuration: one TOML file, every value with a default, a wrong name answered with the nearest."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ex4d.engines.wan.constants import PROMPT
from ex4d_ground.errors import InputError
from ex4d_ground.files import read_text
from ex4d_ground.parsing import parse_toml
from ex4d_ground.values import misfits

Share = Annotated[float, Meta(ge=0, le=1)]
Steps = Annotated[int, Meta(ge=1, le=1_000_000_000)]
StepsOrNone = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Size = Annotated[int, Meta(ge=1, le=65_536)]
SizeOrNone = Annotated[int, Meta(ge=0, le=65_536)]
Factor = Annotated[float, Meta(gt=0, le=1_000_000)]
MaskKind = Literal["rendering", "tracking"]


class ConfigError(InputError):
    """A configuration cannot be read, or says something that it cannot."""

    code = "bad_config"


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Data(_Table, frozen=True):
    """``[data]``: what is trained on."""

    dataset: str = ""
    """Folder that ``ex4d train prepare`` wrote."""
    kinds: list[MaskKind] = msgspec.field(default_factory=lambda: ["rendering", "tracking"])
    """Which masks to train on."""
    batch: Size = 1
    """Clips a process takes at once."""


class Model(_Table, frozen=True):
    """``[model]``: the base and what is added to it."""

    weights: str = ""
    """Weights folder; empty: the one that the engine uses."""
    start: str = ""
    """Empty: from nothing; "ex4d": from the published checkpoint; or a path to a checkpoint or an export."""
    rank: Size = 16
    alpha: Factor = 16.0
    geometry: bool = True
    """false: geometry tokens are zero throughout, to see what they are worth."""
    geometry_width: Size = 1024
    """Inner width of the geometry encoder."""


class Train(_Table, frozen=True):
    """``[train]``: the loop."""

    steps: Steps = 10_000
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 3e-5
    warmup: StepsOrNone = 100
    """Steps over which the learning rate rises from zero."""
    accumulate: Steps = 1
    """Batches a step adds up."""
    clip: Factor = 1.0
    """Largest norm of the gradient."""
    weight_decay: Annotated[float, Meta(ge=0, le=100)] = 0.01
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    """adamw8bit keeps its two averages in 8 bits; needs torchao."""
    ema: Share = 0.0
    """Decay of the running average that exports are made of; 0: none."""
    shift: Annotated[float, Meta(gt=0, le=1000)] = 5.0
    """Of the noise levels, as in generation."""
    geometry_dropout: Share = 0.05
    prompt_dropout: Share = 0.1


class Memory(_Table, frozen=True):
    """``[memory]``: what the device holds."""

    precision: Literal["bf16", "float32"] = "bf16"
    residual: Literal["bf16", "float32"] = "bf16"
    """Of the residual stream; float32 is exacter and needs twice the memory for what is kept."""
    base: Literal["16bit", "fp8"] = "16bit"
    """The frozen weights."""
    recompute: Literal["auto", "full", "attention", "products", "kept"] = "auto"
    """What blocks compute again in the backward pass: everything, everything but self-attention, only what lies between
    matrix products, nothing, or as much as the free memory asks for."""
    eased_blocks: SizeOrNone = 0
    """So many blocks, the last ones, go one step further from full to attention, products, kept; "auto" sets it."""
    swap_blocks: SizeOrNone = 0
    """Blocks whose frozen weights wait in main memory."""
    offload_inputs: bool = False
    """Blocks' inputs wait in main memory for the backward pass: 5 GiB less at 49 x 512x512."""
    compile: bool = True


class Output(_Table, frozen=True):
    """``[output]``: what is written, and when (0: never)."""

    folder: str = ""
    checkpoint_every: StepsOrNone = 500
    keep: Steps = 3
    """Checkpoints that are kept, the newest ones."""
    held_out_every: StepsOrNone = 250
    held_out_clips: Size = 8
    sample_every: StepsOrNone = 1000
    sample_steps: Annotated[int, Meta(ge=1, le=1000)] = 25
    tensorboard: bool = False


class Parallel(_Table, frozen=True):
    """``[parallel]``: several GPUs."""

    kind: Literal["ddp", "fsdp2"] = "ddp"
    """ddp: each has the whole model; fsdp2: the frozen weights are split between them."""


class TrainConfig(_Table, frozen=True):
    """Everything a run is made of."""

    data: Data = msgspec.field(default_factory=Data)
    model: Model = msgspec.field(default_factory=Model)
    train: Train = msgspec.field(default_factory=Train)
    memory: Memory = msgspec.field(default_factory=Memory)
    output: Output = msgspec.field(default_factory=Output)
    parallel: Parallel = msgspec.field(default_factory=Parallel)
    prompt: str = PROMPT


def read_config(path: Path) -> TrainConfig:
    """The configuration in ``path``; paths in it are relative to its folder. Raises ConfigError."""
    try:
        content = parse_toml(read_text(path))
    except FileNotFoundError as error:
        raise ConfigError(f"There is no configuration {path}.") from error
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ConfigError(f"{path} cannot be read as TOML ({error}).") from error
    return parse_config(content, path.parent, what=path.name)


def parse_config(content: dict[str, Any], folder: Path, *, what: str = "the configuration") -> TrainConfig:
    """A configuration from plain tables. Raises ConfigError naming what is wrong, and the nearest name there is."""
    _check_names(content, TrainConfig, "", what)
    for misfit in misfits(content, TrainConfig):
        raise ConfigError(f"{what} sets {misfit.words}.")
    config = msgspec.convert(content, TrainConfig)
    memory = config.memory
    if memory.swap_blocks and memory.recompute not in ("auto", "full"):
        raise ConfigError(f"{what}: swapped blocks recompute in full; set memory.recompute to full or auto.")
    if memory.swap_blocks and memory.eased_blocks:
        raise ConfigError(f"{what}: swapped blocks recompute in full; set memory.eased_blocks to 0.")
    if config.parallel.kind == "fsdp2" and memory.swap_blocks:
        raise ConfigError(f"{what}: fsdp2 splits the blocks already; set memory.swap_blocks to 0.")

    def place(given: str) -> str:
        return str((folder / given).resolve()) if given else ""

    start = config.model.start
    return msgspec.structs.replace(
        config,
        data=msgspec.structs.replace(config.data, dataset=place(config.data.dataset)),
        output=msgspec.structs.replace(config.output, folder=place(config.output.folder)),
        model=msgspec.structs.replace(
            config.model, weights=place(config.model.weights), start=start if start in ("", "ex4d") else place(start)
        ),
    )


def _check_names(content: dict[str, Any], kind: Any, where: str, what: str) -> None:
    known = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for name, value in content.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.5)
            hint = f"did you mean {where}{near[0]}?" if near else f"known here: {', '.join(known)}"
            home = [] if near else _homes(name)
            hint = f"it belongs to [{home[0]}]" if home else hint
            raise ConfigError(f"{what} sets {where}{name}, which there is not; {hint}")
        if isinstance(value, dict) and isinstance(known[name], type) and issubclass(known[name], msgspec.Struct):
            _check_names(value, known[name], f"{where}{name}.", what)


def _homes(name: str) -> list[str]:
    """Tables that know ``name``."""
    tables = {field.name: field.type for field in msgspec.structs.fields(TrainConfig)}
    kinds = {key: kind for key, kind in tables.items() if isinstance(kind, type) and issubclass(kind, _Table)}
    return [key for key, kind in kinds.items() if name in {f.name for f in msgspec.structs.fields(kind)}]
