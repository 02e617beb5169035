"""Models with random weights for benchmarks/wan.py: ours, and the original program's own, filled with the same numbers.

Every tensor is drawn from a seed made of its name whenever it is asked for, so nothing is stored twice and both
programs compute the same function.
"""

from __future__ import annotations

import importlib
import math
import re
import sys
import types
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ex4d.weights.adapters import Ex4dCheckpoint, Lora, LoraLayer, geometry_shapes
from ex4d.weights.components import PartFiles, build_empty
from ex4d.weights.layout import Part
from ex4d.weights.mapping import TRANSFORMER, map_key

LORA_MODULES = re.compile(r"blocks\.\d+\.(attn[12]\.(to_q|to_k|to_v|to_out\.0)|ffn\.net\.0\.proj|ffn\.net\.2)")


@dataclass(frozen=True)
class Sizes:
    """Configurations of all parts, and of the clip."""

    configs: dict[Part, dict[str, Any]]
    geometry_hidden: int
    frames: int
    height: int
    width: int
    lora_rank: int = 16

    @property
    def transformer(self) -> dict[str, Any]:
        return self.configs["transformer"]

    @property
    def dim(self) -> int:
        return self.transformer["num_attention_heads"] * self.transformer["attention_head_dim"]

    @property
    def latent_shape(self) -> tuple[int, int, int, int, int]:
        return (1, 16, (self.frames - 1) // 4 + 1, self.height // 8, self.width // 8)

    @property
    def tokens(self) -> int:
        return math.prod(self.latent_shape[2:]) // 4


def real_sizes() -> Sizes:
    """Wan2.1-I2V-14B-480P and EX-4D as published; 49 frames at 512x512."""
    transformer = {
        "num_attention_heads": 40, "attention_head_dim": 128, "in_channels": 36, "out_channels": 16, "text_dim": 4096,
        "ffn_dim": 13824, "num_layers": 40, "image_dim": 1280, "added_kv_proj_dim": 5120,
    }  # fmt: skip
    clip = {
        "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16,
        "patch_size": 14, "image_size": 224, "hidden_act": "gelu",
    }  # fmt: skip
    return Sizes({"transformer": transformer, "vae": {}, "image_encoder": clip}, 1024, 49, 512, 512)


def mid_sizes() -> Sizes:
    """The same width per head, a fifth of the width and 16 blocks, for 17 frames at 256x256: for measuring errors."""
    transformer = {
        "num_attention_heads": 8, "attention_head_dim": 128, "in_channels": 36, "out_channels": 16, "text_dim": 4096,
        "ffn_dim": 2816, "num_layers": 16, "image_dim": 1280, "added_kv_proj_dim": 1024,
    }  # fmt: skip
    return Sizes({**real_sizes().configs, "transformer": transformer}, 256, 17, 256, 256)


def tiny_sizes() -> Sizes:
    """The same architecture, small enough for any CPU; for trying the benchmark itself."""
    transformer = {
        "num_attention_heads": 2, "attention_head_dim": 24, "in_channels": 36, "out_channels": 16, "text_dim": 32,
        "ffn_dim": 96, "num_layers": 6, "image_dim": 1280, "added_kv_proj_dim": 48,
    }  # fmt: skip
    clip = {
        "hidden_size": 1280, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 16,
        "patch_size": 14, "image_size": 224, "hidden_act": "gelu",
    }  # fmt: skip
    return Sizes({"transformer": transformer, "vae": {"base_dim": 8}, "image_encoder": clip}, 32, 5, 64, 64, 4)


def draw(name: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Random float32 numbers for parameter ``name``, of a size that keeps activations in range."""
    generator = torch.Generator(device).manual_seed(zlib.crc32(name.encode()))
    if "norm" in name and name.endswith(("weight", "gamma")):
        return 1 + 0.05 * torch.randn(shape, generator=generator, device=device)
    noise = torch.randn(shape, generator=generator, device=device)
    if name.endswith("bias"):
        return 0.02 * noise
    if "scale_shift_table" in name:
        return noise / shape[-1] ** 0.5
    return noise / max(1, math.prod(shape[1:])) ** 0.5


class RandomFiles:
    """Stands where opened weight files would."""

    what = "random numbers"

    def __init__(self, shapes: dict[str, tuple[int, ...]], device: torch.device):
        self.shapes, self._device = shapes, device

    def get(self, name: str) -> Tensor:
        return draw(name, self.shapes[name], self._device)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class RandomSources:
    """All parts of the model, drawn on ``device``."""

    sizes: Sizes
    device: torch.device

    def open(self, part: Part) -> PartFiles:
        config = self.sizes.configs[part]
        model = build_empty(part, config)
        shapes = {n.removeprefix("vision_model."): tuple(p.shape) for n, p in model.named_parameters()}
        files: Any = RandomFiles(shapes, self.device)
        return PartFiles(part, files, dict(model.config.items()) if part != "image_encoder" else config,
                         {n: (n, "copy") for n in shapes}, shapes)  # fmt: skip

    def lora(self, name: str, rank: int) -> Lora:
        layers = {}
        for weight, shape in self.open("transformer").shapes.items():
            module = weight.removesuffix(".weight")
            if weight.endswith(".weight") and LORA_MODULES.fullmatch(module):
                down = draw(f"{name}.{module}.down", (rank, shape[1]), self.device)
                up = 0.1 * draw(f"{name}.{module}.up", (shape[0], rank), self.device)
                layers[module] = LoraLayer(down, up, 1.0)
        return Lora(name, layers)

    def ex4d(self) -> Ex4dCheckpoint:
        shapes = geometry_shapes({"latent_encoder.0.bias": (self.sizes.geometry_hidden,)}, self.sizes.dim)
        geometry = {name: draw(name, shape, self.device) for name, shape in shapes.items()}
        return Ex4dCheckpoint(self.lora("ex4d", self.sizes.lora_rank), geometry)

    def turbo(self) -> Lora:
        return self.lora("turbo", 4 * self.sizes.lora_rank)


def load_upstream(folder: Path, sources: RandomSources, dtype: torch.dtype) -> Any:
    """The original program's transformer with its LoRA beside it (unfused, as it runs), from its own code."""
    module = _import_upstream(folder, "wan_video_dit")
    if sources.device.type == "cpu":  # its attention insists on a GPU, and its float32 passages name CUDA alone
        module.flash_attention = partial(_plain_attention, inner=dtype)
        module.amp = types.SimpleNamespace(autocast=lambda **unused: torch.autocast("cpu", enabled=False))
    config = sources.sizes.transformer
    with torch.device("meta"):
        model = module.WanModel(
            model_type="i2v", in_dim=config["in_channels"], out_dim=config["out_channels"], dim=sources.sizes.dim,
            ffn_dim=config["ffn_dim"], text_dim=config["text_dim"], num_heads=config["num_attention_heads"],
            num_layers=config["num_layers"], qk_norm=True, cross_attn_norm=True,
        )  # fmt: skip
    for name, parameter in list(model.named_parameters()):
        tensor = draw(_our_name(name), tuple(parameter.shape), sources.device).to(dtype)
        owner, _, leaf = name.rpartition(".")
        model.get_submodule(owner)._parameters[leaf] = torch.nn.Parameter(tensor, requires_grad=False)
    if sources.device.type == "cpu":  # what CUDA's autocast to float32 does there: float32 products of rounded weights
        norms = [module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)]
        for part in (model.time_embedding, model.time_projection, model.head, *norms):
            part.float()
    # Its rotary table is a plain attribute, made on the meta device above.
    d = sources.sizes.dim // config["num_attention_heads"]
    parts = [module.rope_params(1024, n) for n in (d - 4 * (d // 6), 2 * (d // 6), 2 * (d // 6))]
    model.freqs = torch.cat(parts, dim=1)
    _add_lora(model, sources.lora("ex4d", sources.sizes.lora_rank), sources.sizes.lora_rank)
    return model.eval().requires_grad_(False)


def _add_lora(model: Any, lora: Lora, rank: int) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    targets = ["q", "k", "v", "o", "ffn.0", "ffn.2"]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets), model)
    for name, parameter in model.named_parameters():
        match = re.fullmatch(r"(.+)\.lora_([AB])\.default\.weight", name)
        if match:
            layer = lora.layers[_our_name(f"{match.group(1)}.weight").removesuffix(".weight")]
            parameter.data = (layer.down if match.group(2) == "A" else layer.up).float()


def _our_name(original: str) -> str:
    targets = map_key(TRANSFORMER, original)
    if not targets:
        raise KeyError(original)
    return targets[0].name


def _import_upstream(folder: Path, name: str) -> Any:
    """One of its model files, without running its packages' own imports (which want much more than the model needs)."""
    for package, path in (("diffsynth", folder / "diffsynth"), ("diffsynth.models", folder / "diffsynth" / "models")):
        if package not in sys.modules:
            module = types.ModuleType(package)
            module.__path__ = [str(path)]
            sys.modules[package] = module
    return importlib.import_module(f"diffsynth.models.{name}")


def _plain_attention(q: Tensor, k: Tensor, v: Tensor, *, inner: torch.dtype, **unused: Any) -> Tensor:
    dtype = q.dtype
    q, k, v = (x.transpose(1, 2).to(inner) for x in (q, k, v))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).contiguous().to(dtype)
