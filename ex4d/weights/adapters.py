"""EX-4D's checkpoint and other LoRA files for Wan, in the original key names, under diffusers' module names.

``ex4d.ckpt`` holds two things in one file: a LoRA for the transformer and the geometry encoder. Distillation LoRAs
(lightx2v) may also carry plain differences for weights (``diff``) and biases (``diff_b``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ex4d.weights.mapping import TRANSFORMER, map_key, name_some
from ex4d.weights.tensors import TensorFiles
from ex4d_ground.errors import WeightsError
from ex4d_ground.remedies import Remedy, fetch_weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_LORA_KEY = re.compile(r"(.+)\.(lora_A|lora_B|lora_down|lora_up)(?:\.default)?\.weight")
_PREFIXES = ("diffusion_model.", "transformer.", "base_model.model.")
GEOMETRY_PREFIXES = ("latent_encoder.", "latent_patch_embedding.")


@dataclass(frozen=True)
class LoraLayer:
    """``scale * up @ down`` is added to one linear layer's weight."""

    down: Tensor  # [rank, in]
    up: Tensor  # [out, rank]
    scale: float


@dataclass(frozen=True)
class Lora:
    """An adapter by diffusers' module names, e.g. ``blocks.0.attn1.to_q``."""

    name: str
    layers: dict[str, LoraLayer]
    differences: dict[str, Tensor] = field(default_factory=dict)
    """Plain additions by diffusers' parameter names."""

    def touches(self, name: str) -> bool:
        """Whether parameter ``name`` changes when this is fused."""
        module, _, leaf = name.rpartition(".")
        return name in self.differences or (leaf == "weight" and module in self.layers)

    def add_to(self, name: str, tensor: Tensor, *, strength: float = 1.0) -> Tensor:
        """``tensor`` (float32, of parameter ``name``) with this adapter in it."""
        module, _, leaf = name.rpartition(".")
        layer = self.layers.get(module) if leaf == "weight" else None
        if layer is not None:
            down = layer.down.to(device=tensor.device, dtype=tensor.dtype)
            up = layer.up.to(device=tensor.device, dtype=tensor.dtype)
            tensor = tensor + (strength * layer.scale) * (up @ down).reshape(tensor.shape)
        difference = self.differences.get(name)
        if difference is not None:
            tensor = tensor + strength * difference.to(device=tensor.device, dtype=tensor.dtype).reshape(tensor.shape)
        return tensor

    def check_against(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise WeightsError if a layer is not in the model or does not fit it."""
        unknown = [m for m in self.layers if f"{m}.weight" not in shapes] + [
            d for d in self.differences if d not in shapes
        ]
        if unknown:
            raise WeightsError(
                f"{self.name} has {name_some(unknown)} that the base model lacks; it is for another model."
            )
        for module, layer in self.layers.items():
            shape = shapes[f"{module}.weight"]
            if (layer.up.shape[0], layer.down.shape[1]) != (shape[0], _product(shape[1:])):
                raise WeightsError(
                    f"{self.name} is {layer.up.shape[0]}x{layer.down.shape[1]} at {module}, the base model "
                    f"{list(shape)}; it is for another model."
                )


@dataclass(frozen=True)
class Ex4dCheckpoint:
    """EX-4D's two additions to the base model."""

    lora: Lora
    geometry: dict[str, Tensor]
    """The geometry encoder's tensors, by their published names."""

    def check_against(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise WeightsError if the LoRA or the geometry encoder does not fit a transformer of these shapes."""
        self.lora.check_against(shapes)
        actual = {name: tuple(tensor.shape) for name, tensor in self.geometry.items()}
        wanted = geometry_shapes(actual, shapes["patch_embedding.weight"][0])
        misfits = [name for name in wanted if actual.get(name) != wanted[name]]
        wrong = sorted(set(actual) ^ set(wanted)) or [
            f"{name} is {list(actual[name])}, not {list(wanted[name])}" for name in misfits
        ]
        if wrong:
            raise WeightsError(
                f"{self.lora.name}: its geometry encoder does not fit the base model, {name_some(wrong)}; "
                "it is for another one, or damaged: run ex4d weights fetch ex4d"
            )


def geometry_shapes(actual: Mapping[str, tuple[int, ...]], dim: int) -> dict[str, tuple[int, ...]]:
    """The geometry encoder's tensors for a transformer ``dim`` wide; the inner width is read off ``actual``."""
    hidden = actual.get("latent_encoder.0.bias", (0,))[0]
    shapes: dict[str, tuple[int, ...]] = {}
    for index, width in ((0, 32), (2, hidden), (4, hidden)):
        shapes[f"latent_encoder.{index}.weight"] = (hidden, width, 1, 1, 1)
        shapes[f"latent_encoder.{index}.bias"] = (hidden,)
    shapes["latent_patch_embedding.weight"] = (dim, hidden, 1, 2, 2)
    shapes["latent_patch_embedding.bias"] = (dim,)
    return shapes


def load_ex4d(path: Path) -> Ex4dCheckpoint:
    """Split EX-4D's checkpoint (``.ckpt`` or ``.safetensors``) into LoRA and geometry encoder.

    Raises WeightsError if the file is missing or truncated, or holds anything else.
    """
    files = TensorFiles([path], remedy=fetch_weights("ex4d"))
    state = {name: files.get(name) for name in files.shapes}
    geometry = {name: t for name, t in state.items() if name.startswith(GEOMETRY_PREFIXES)}
    if not geometry:
        text = f"{path.name} has no geometry encoder (latent_encoder.*)."
        raise WeightsError(text, remedy=fetch_weights("ex4d"))
    rest = {name: t for name, t in state.items() if name not in geometry}
    return Ex4dCheckpoint(build_lora(path.name, rest, alpha=_alpha_beside(path)), geometry)


def load_lora(path: Path, *, remedy: Remedy = fetch_weights("turbo")) -> Lora:
    """A LoRA file for Wan's transformer in original key names, with or without alphas and plain differences."""
    files = TensorFiles([path], remedy=remedy)
    return build_lora(path.name, {name: files.get(name) for name in files.shapes}, alpha=None)


def _alpha_beside(path: Path) -> float | None:
    """``lora.alpha`` from a config.json beside the file; the published checkpoint has none (alpha = rank)."""
    config = path.parent / "config.json"
    if not config.is_file():
        return None
    try:
        lora = json.loads(config.read_text()).get("lora", {})
    except ValueError as error:
        text = f"{config} is not valid JSON ({error}); remove it."
        raise WeightsError(text, remedy=fetch_weights("ex4d")) from error
    return lora.get("alpha") if isinstance(lora, dict) else None


def build_lora(name: str, state: Mapping[str, Tensor], *, alpha: float | None = None) -> Lora:
    """An adapter from tensors in original key names; ``alpha`` is for layers without their own (None: their rank)."""
    downs: dict[str, Tensor] = {}
    ups: dict[str, Tensor] = {}
    alphas: dict[str, float] = {}
    differences: dict[str, Tensor] = {}
    unknown: list[str] = []
    for key, tensor in state.items():
        plain = _without_prefix(key)
        match = _LORA_KEY.fullmatch(plain)
        module = _module(match.group(1) if match else plain.rpartition(".")[0])
        leaf = plain.rpartition(".")[2]
        if module is None:
            unknown.append(key)
        elif match:
            (downs if match.group(2) in ("lora_A", "lora_down") else ups)[module] = tensor
        elif leaf == "alpha":
            alphas[module] = float(tensor)
        elif leaf in ("diff", "diff_b"):
            differences[f"{module}.{'weight' if leaf == 'diff' else 'bias'}"] = tensor
        else:
            unknown.append(key)
    if unknown:
        raise WeightsError(f"{name} holds {name_some(unknown)} that is no LoRA for Wan 2.1; it is for another model.")
    halves = sorted(set(downs) ^ set(ups))
    if halves or not downs:
        raise WeightsError(f"{name} lacks half of its LoRA pairs: {name_some(halves)}; fetch it again.")
    layers = {}
    for module, down in downs.items():
        rank = down.shape[0]
        layers[module] = LoraLayer(down, ups[module], alphas.get(module, alpha or rank) / rank)
    return Lora(name, layers, differences)


def _without_prefix(key: str) -> str:
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _module(original: str) -> str | None:
    """diffusers' name of an original (or already renamed) linear or norm layer, None if unknown."""
    targets = map_key(TRANSFORMER, f"{original}.weight")
    if targets:
        return targets[0].name.removesuffix(".weight")
    return (
        original if re.match(r"(blocks\.\d+\.(attn[12]|ffn|norm2)|condition_embedder|proj_out)\b", original) else None
    )


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total


def inject(model: torch.nn.Module, lora: Lora) -> None:
    """Add ``lora`` beside the base weights with peft, unfused (for exactness checks and training).

    Raises WeightsError if it carries plain differences, which only fusing can apply.
    """
    from peft import LoraConfig, inject_adapter_in_model

    if lora.differences:
        raise WeightsError(f"{lora.name} carries weight differences, which need fusing; set fuse_lora to true.")
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    lora.check_against(shapes)
    ranks = {module: layer.down.shape[0] for module, layer in lora.layers.items()}
    config = LoraConfig(
        r=next(iter(ranks.values())),
        lora_alpha=1,
        rank_pattern={f"^{re.escape(m)}$": r for m, r in ranks.items()},
        alpha_pattern={f"^{re.escape(m)}$": lora.layers[m].scale * r for m, r in ranks.items()},
        target_modules=sorted(lora.layers),
        bias="none",
    )
    inject_adapter_in_model(config, model)
    for module, layer in lora.layers.items():
        target = model.get_submodule(module)
        base = target.get_parameter("base_layer.weight")
        for half, tensor in (("lora_A", layer.down), ("lora_B", layer.up)):
            weight = target.get_submodule(f"{half}.default").get_parameter("weight")
            weight.data = tensor.to(device=base.device, dtype=base.dtype)
    model.requires_grad_(False)
