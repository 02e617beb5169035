"""EX-4D's checkpoint and other LoRA files for Wan, under diffusers' module names.

``ex4d.ckpt`` holds two things in one file: a LoRA for the transformer and the geometry encoder. Distillation LoRAs
(lightx2v) may also carry plain differences for weights (``diff``), biases (``diff_b``) and modulations (``diff_m``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ex4d.weights.lora_alpha import Alphas, read_alphas
from ex4d.weights.lora_keys import Kind, LoraKey, other_kind, parse_key
from ex4d.weights.mapping import name_some
from ex4d.weights.tensors import TensorFiles
from ex4d_ground.errors import WeightsError
from ex4d_ground.remedies import Remedy, fetch_weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

GEOMETRY_PREFIXES = ("latent_encoder.", "latent_patch_embedding.")


@dataclass(frozen=True)
class LoraLayer:
    """``scale * up @ down`` is added to one layer's weight, and ``scale * bias`` to its bias."""

    down: Tensor  # [rank, in], or a convolution's [rank, in, ...]
    up: Tensor  # [out, rank], or [out, rank, 1, ...]
    scale: float
    bias: Tensor | None = None  # [out]

    @property
    def rank(self) -> int:
        """The width between the halves."""
        return self.down.shape[0]


@dataclass(frozen=True)
class Lora:
    """An adapter by diffusers' module names, e.g. ``blocks.0.attn1.to_q``."""

    name: str
    layers: dict[str, LoraLayer]
    differences: dict[str, Tensor] = field(default_factory=dict)
    """Plain additions by diffusers' parameter names."""

    def touches(self, name: str) -> bool:
        """Whether parameter ``name`` changes when this is fused."""
        layer, leaf = self._layer_of(name)
        biased = layer is not None and leaf == "bias" and layer.bias is not None
        return name in self.differences or biased or (layer is not None and leaf == "weight")

    def _layer_of(self, name: str) -> tuple[LoraLayer | None, str]:
        module, _, leaf = name.rpartition(".")
        return self.layers.get(module), leaf

    def add_to(self, name: str, tensor: Tensor, *, strength: float = 1.0) -> Tensor:
        """``tensor`` (float32, of parameter ``name``) with this adapter in it."""

        def like(added: Tensor) -> Tensor:
            return added.to(device=tensor.device, dtype=tensor.dtype)

        layer, leaf = self._layer_of(name)
        if layer is not None and leaf == "weight":
            product = like(layer.up).flatten(1) @ like(layer.down).flatten(1)
            tensor = tensor + (strength * layer.scale) * product.reshape(tensor.shape)
        if layer is not None and leaf == "bias" and layer.bias is not None:
            tensor = tensor + (strength * layer.scale) * like(layer.bias).reshape(tensor.shape)
        difference = self.differences.get(name)
        if difference is not None:
            tensor = tensor + strength * like(difference).reshape(tensor.shape)
        return tensor

    def check_against(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise WeightsError if a layer is not in the model or does not fit it."""
        biases = [f"{module}.bias" for module, layer in self.layers.items() if layer.bias is not None]
        touched = [*(f"{module}.weight" for module in self.layers), *biases, *self.differences]
        unknown = [name for name in touched if name not in shapes]
        if unknown:
            raise WeightsError(
                f"{self.name} has {name_some(unknown)} that the base model lacks; it is for another model."
            )
        for name, made in self._made():
            shape = shapes[name]
            fits = made == (shape[0], math.prod(shape[1:])) if len(made) == 2 else math.prod(made) == math.prod(shape)
            if not fits:
                raise WeightsError(
                    f"{self.name} is {'x'.join(map(str, made))} at {name}, the base model {list(shape)}; "
                    "it is for another model."
                )

    def _made(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The parameters that change, each with what is added: rows and columns, or a number of elements."""
        for module, layer in self.layers.items():
            yield f"{module}.weight", (layer.up.shape[0], math.prod(layer.down.shape[1:]))
            if layer.bias is not None:
                yield f"{module}.bias", (layer.bias.numel(),)
        for name, difference in self.differences.items():
            yield name, (difference.numel(),)


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
    return Ex4dCheckpoint(build_lora(path.name, rest, _alphas_of(path, files, fetch_weights("ex4d"))), geometry)


def load_lora(path: Path, *, remedy: Remedy = fetch_weights("turbo")) -> Lora:
    """A LoRA file for Wan's transformer, as any of the usual trainers writes it, with its plain differences.

    Raises WeightsError if the file is missing, damaged or no LoRA for this model, or has keys that mean nothing here.
    """
    files = TensorFiles([path], remedy=remedy)
    state = {name: files.get(name) for name in files.shapes}
    return build_lora(path.name, state, _alphas_of(path, files, remedy))


def _alphas_of(path: Path, files: TensorFiles, remedy: Remedy) -> Alphas:
    return read_alphas(
        path, files.metadata(path), converted=any(".lora_A" in key for key in files.shapes), remedy=remedy
    )


def build_lora(name: str, state: Mapping[str, Tensor], alphas: Alphas = Alphas()) -> Lora:
    """An adapter from a file's tensors; ``alphas`` is for layers without an alpha tensor of their own."""
    parts = _sorted_parts(name, state)
    downs, ups, biases = parts["down"], parts["up"], parts["up_bias"]
    halves = sorted((set(downs) ^ set(ups)) | (set(biases) - set(ups)) | (set(parts["alpha"]) - set(downs)))
    if halves or not (downs or parts["difference"]):
        text = f"lacks half of its LoRA pairs: {name_some(halves)}" if halves else "holds no LoRA"
        raise WeightsError(f"{name} {text}; fetch it again.")
    layers = {}
    for module, (key, down) in downs.items():
        up = ups[module][1]
        if up.dim() < 2 or down.dim() < 2 or up.shape[1] != down.shape[0] or math.prod(up.shape[2:]) != 1:
            shapes = f"{list(up.shape)} and {list(down.shape)}"
            raise WeightsError(
                f"{name} has halves of {shapes} at {module}, which do not fit each other; fetch it again."
            )
        rank = down.shape[0]
        own = parts["alpha"].get(module)
        scale = alphas.scale(key.written, rank) if own is None else _alpha_tensor(name, *own) / rank
        layers[module] = LoraLayer(down, up, scale, biases[module][1] if module in biases else None)
    return Lora(name, layers, {parameter: tensor for parameter, (_, tensor) in parts["difference"].items()})


def _sorted_parts(name: str, state: Mapping[str, Tensor]) -> dict[Kind, dict[str, tuple[LoraKey, Tensor]]]:
    """The tensors by what they are and by whose; WeightsError for keys that mean nothing here, or the same twice."""
    parts: dict[Kind, dict[str, tuple[LoraKey, Tensor]]] = {kind: {} for kind in get_args(Kind)}
    parsed = {key: parse_key(key) for key in state}
    unknown = [key for key, found in parsed.items() if found is None]
    if unknown:
        kind = other_kind(unknown)
        what = f"that belongs to a {kind}, which cannot be used" if kind else "that is no LoRA for Wan 2.1"
        raise WeightsError(f"{name} holds {name_some(unknown)} {what}; it is for another model.")
    for key, found in parsed.items():
        assert found is not None
        if found.name in parts[found.kind]:
            raise WeightsError(
                f"{name} has more than one {found.kind.replace('_', ' ')} for {found.name}, one as {key}."
            )
        parts[found.kind][found.name] = (found, state[key])
    return parts


def _alpha_tensor(name: str, key: LoraKey, tensor: Tensor) -> float:
    alpha = float(tensor) if tensor.numel() == 1 else math.nan
    if not math.isfinite(alpha):
        raise WeightsError(
            f"{name} has no usable alpha for {key.name}: {tensor.flatten()[:4].tolist()}; fetch it again."
        )
    return alpha


def inject(model: torch.nn.Module, lora: Lora) -> None:
    """Add ``lora`` beside the base weights with peft, unfused (for exactness checks and training).

    Raises WeightsError if it carries differences or biases, which only fusing can apply.
    """
    from peft import LoraConfig, inject_adapter_in_model

    if lora.differences or any(layer.bias is not None for layer in lora.layers.values()):
        raise WeightsError(
            f"{lora.name} carries weight differences or biases, which need fusing; set fuse_lora to true."
        )
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    lora.check_against(shapes)
    ranks = {module: layer.rank for module, layer in lora.layers.items()}
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
