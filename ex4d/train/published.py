"""What is trained, under the key names of EX-4D's checkpoint, and back.

A LoRA's scale is multiplied into its upper half on the way out, so that every file reads with alpha = rank whatever
program opens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ex4d.train.model import TrainedModel
from ex4d.train.sharded import filled, whole
from ex4d.weights.adapters import Ex4dCheckpoint, load_ex4d
from ex4d.weights.convert_original import original_names
from ex4d_ground.errors import WeightsError
from ex4d_ground.files import atomic_path

EX4D_FILE, LORA_FILE = "ex4d.safetensors", "lora.safetensors"


def original_modules(names: list[str]) -> dict[str, str]:
    """diffusers' module names to the original program's: ``blocks.0.attn1.to_q`` to ``blocks.0.self_attn.q``."""
    found = original_names("transformer", [f"{name}.weight" for name in names])
    return {targets[0][0].removesuffix(".weight"): key.removesuffix(".weight") for key, targets in found.items()}


def published_state(model: TrainedModel, values: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Everything that is trained, float32 on the CPU, by ``ex4d.ckpt``'s names.

    ``values`` stand in for the model's own, by its parameters' names (averages, say). With sharded parameters every
    process must call this.
    """
    names = {id(p): name for name, p in model.named_parameters()}

    def value(p: Tensor) -> Tensor:
        tensor = p if values is None else values[names[id(p)]]
        return whole(tensor).detach().float().cpu().clone()

    layers = model.lora
    originals = original_modules(list(layers))
    state: dict[str, Tensor] = {}
    for name, layer in layers.items():
        state[f"{originals[name]}.lora_A.default.weight"] = value(layer.lora_A)
        state[f"{originals[name]}.lora_B.default.weight"] = value(layer.lora_B) * layer.scale
    for name, p in model.geometry.named_parameters():
        state[name] = value(p)
    return state


def write_exports(folder: Path, state: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """``ex4d.safetensors`` for this engine and the published program, ``lora.safetensors`` for diffusers and ComfyUI.

    The second has no geometry encoder: no other program has a place for it. Raises OutputError.
    """
    from safetensors.torch import save_file

    halves = {name: tensor for name, tensor in state.items() if ".lora_" in name}
    lora = {f"diffusion_model.{name.replace('.default.', '.')}": tensor for name, tensor in halves.items()}
    for name, tensors in ((EX4D_FILE, dict(state)), (LORA_FILE, lora)):
        with atomic_path(folder / name) as temporary:
            save_file(tensors, temporary, metadata={"format": "pt", **about})


def start_from(model: TrainedModel, path: Path) -> None:
    """Continue from ``ex4d.ckpt`` or an export. Raises WeightsError naming a key that does not fit, with shapes."""
    checkpoint = load_ex4d(path)
    _check(model, checkpoint, path.name)
    with torch.no_grad():
        for name, layer in model.lora.items():
            given = checkpoint.lora.layers[name]
            filled(layer.lora_A, given.down)
            filled(layer.lora_B, given.up.float() * (given.scale / layer.scale))
        for name, p in model.geometry.named_parameters():
            filled(p, checkpoint.geometry[name])


def _check(model: TrainedModel, checkpoint: Ex4dCheckpoint, what: str) -> None:
    wanted = {f"{name}.{half}": p.shape for name, x in model.lora.items() for half, p in x.named_parameters("", False)}
    wanted |= {name: p.shape for name, p in model.geometry.named_parameters()}
    found: dict[str, torch.Size] = {name: t.shape for name, t in checkpoint.geometry.items()}
    for name, layer in checkpoint.lora.layers.items():
        found |= {f"{name}.lora_A": layer.down.shape, f"{name}.lora_B": layer.up.shape}
    if checkpoint.lora.differences:
        raise WeightsError(f"{what} carries plain weight differences, which are not trained; start from another file.")
    odd = sorted(set(wanted) ^ set(found))
    if odd:
        side = "lacks" if odd[0] in wanted else "has more than is trained here:"
        raise WeightsError(f"{what} {side} {odd[0]} ({len(odd)} keys differ); it is for another model.")
    for name in sorted(wanted):
        if wanted[name] != found[name]:
            raise WeightsError(
                f"{what} has {name} as {list(found[name])}, this training {list(wanted[name])}: "
                "set rank, alpha and geometry_width as the file was made, or start from another one."
            )
