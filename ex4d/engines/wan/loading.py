"""Loading the transformer for a run: adapters fused and weights quantised tensor by tensor on the way in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from ex4d.engines.wan.blocks import CONDITIONING_NAMES
from ex4d.engines.wan.fp8 import (
    FP8_CONDITIONING_NAMES,
    FP8_NAMES,
    Fp8Linear,
    multiplies_fp8,
    quantise_rows,
    replace_linears,
)
from ex4d.progress import Watch
from ex4d.weights.adapters import Lora
from ex4d.weights.components import PartFiles, load_part, set_parameter

# Small tensors whose rounding would be felt everywhere; they cost 0.7 GB of 33.
_KEEP_FLOAT32 = ("scale_shift_table", "norm", "patch_embedding", "proj_out", "time_embedder", "time_proj")
_OUTER = ("patch_embedding", "proj_out", "scale_shift_table")


@dataclass(frozen=True)
class TransformerPlan:
    """In which form and where the transformer's weights are kept."""

    device: torch.device
    dtype: torch.dtype = torch.bfloat16
    fp8: bool = False
    keep_16bit: tuple[str, ...] = ()
    """Layers of :data:`~ex4d.engines.wan.fp8.FP8_NAMES` that stay as they are."""
    blocks_on_device: bool = True
    """False: the blocks wait on the CPU for a streamer."""
    conditioning_on_device: bool = False
    """Keep what only a shot's start needs on the device too (8.8 GB at 14B)."""
    fp8_conditioning: bool = False
    """With ``fp8``: the large layers of that become 8-bit too."""

    @property
    def fp8_names(self) -> tuple[str, ...]:
        """Layers of a block that become 8-bit."""
        names = FP8_NAMES + (FP8_CONDITIONING_NAMES if self.fp8_conditioning else ())
        return tuple(name for name in names if self.fp8 and name not in self.keep_16bit)

    def place(self, name: str) -> torch.device:
        """Where parameter ``name`` lives."""
        if name.startswith(_OUTER):
            return self.device
        if not name.startswith("blocks."):
            return self.device if self.conditioning_on_device else torch.device("cpu")
        if name.split(".", 2)[2].startswith(CONDITIONING_NAMES):
            return self.device if self.conditioning_on_device and self.blocks_on_device else torch.device("cpu")
        return self.device if self.blocks_on_device else torch.device("cpu")


def load_transformer(
    source: PartFiles, plan: TransformerPlan, *, loras: Sequence[tuple[Lora, float]] = (), **watch: Unpack[Watch]
) -> Any:
    """diffusers' transformer with ``loras`` (each with its strength) fused in float32 before any rounding.

    Raises WeightsError if files or adapters do not fit.
    """
    for lora, _ in loras:
        lora.check_against(source.shapes)

    def prepare(model: nn.Module) -> None:
        if plan.fp8:
            for block in model.get_submodule("blocks").children():
                replace_linears(block, native=multiplies_fp8(plan.device), names=plan.fp8_names)

    def store(model: nn.Module, name: str, tensor: Tensor) -> None:
        if any(lora.touches(name) for lora, _ in loras):
            tensor = tensor.to(plan.device, torch.float32)
            for lora, strength in loras:
                tensor = lora.add_to(name, tensor, strength=strength)
        put(model, name, tensor, plan)

    return load_part(source, dtype=plan.dtype, device=plan.device, prepare=prepare, store=store, **watch)


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def put(model: nn.Module, name: str, tensor: Tensor, plan: TransformerPlan) -> None:
    """Store one tensor in the plan's form and place."""
    place = plan.place(name)
    if name.endswith(tuple(f".{layer}.weight" for layer in plan.fp8_names)):
        weight, scale = quantise_rows(tensor.to(plan.device))
        layer = model.get_submodule(_owner(name))
        assert isinstance(layer, Fp8Linear)
        set_parameter(layer, "weight", weight.to(place))
        set_parameter(layer, "scale", scale.to(place))
        return
    keep = any(part in name for part in _KEEP_FLOAT32)
    set_parameter(model, name, tensor.to(device=place, dtype=torch.float32 if keep else plan.dtype, copy=True))
