"""How strongly a LoRA counts: its alpha, wherever the program that wrote it has put that.

In order: a tensor ``.alpha`` beside the layer, the file's own metadata, an ``adapter_config.json`` (peft) or a
``config.json`` (EX-4D's) beside the file. Where none says anything, alpha is the rank and the scale is 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ex4d.weights.lora_keys import without_prefix
from ex4d_ground.errors import WeightsError, in_brief
from ex4d_ground.parsing import parse_json
from ex4d_ground.remedies import Remedy

_PARTS = ("transformer", "unet", "diffusion_model", "model")
"""Before whose dot diffusers puts a model's settings in the metadata that it writes."""


@dataclass(frozen=True)
class Alphas:
    """What scales a LoRA's layers that have no alpha of their own."""

    alpha: float | None = None
    """For every layer; None: the layer's rank."""
    patterns: Mapping[str, float] = field(default_factory=dict)
    """For layers whose name in the file ends in the pattern (a regular expression), before ``alpha``."""
    root_of_rank: bool = False
    """Divide by the rank's square root (rank-stabilised LoRA) instead of the rank."""

    def scale(self, written: str, rank: int) -> float:
        """The factor of ``up @ down`` for the layer that the file calls ``written``."""
        for pattern, alpha in self.patterns.items():
            if re.fullmatch(rf"(.*\.)?({pattern.removeprefix('^').removesuffix('$')})", written):
                return self._divided(alpha, rank)
        return self._divided(rank if self.alpha is None else self.alpha, rank)

    def _divided(self, alpha: float, rank: int) -> float:
        return alpha / (math.sqrt(rank) if self.root_of_rank else rank)


def read_alphas(
    path: Path, metadata: Mapping[str, str], *, converted: bool = False, remedy: Remedy | None = None
) -> Alphas:
    """The alphas of the LoRA file ``path`` with this ``metadata``.

    ``converted`` says that the keys are in peft's spelling (``lora_A``): kohya's and musubi's converters to it multiply
    their alpha into the tensors and leave it in the metadata, where it then no longer counts.

    Raises WeightsError if what is there cannot be read, or asks for what is not supported (DoRA).
    """
    where, settings = f"{path.name}'s metadata", _from_metadata(path.name, metadata, converted, remedy)
    for beside in ("adapter_config.json", "config.json"):
        if settings is None and (path.parent / beside).is_file():
            where, settings = str(path.parent / beside), _from_file(path.parent / beside, remedy)
    try:
        return _alphas(settings or {}, where)
    except (TypeError, ValueError, re.error) as error:
        raise WeightsError(f"{where} has no usable alpha ({error}).", remedy=remedy) from error


def _alphas(settings: Mapping[str, Any], where: str) -> Alphas:
    if settings.get("use_dora"):
        raise WeightsError(f"{where} says that this is a DoRA, which cannot be used; take a plain LoRA.")
    patterns = settings.get("alpha_pattern") or {}
    if not isinstance(patterns, dict):
        raise TypeError(f"alpha_pattern is {patterns!r}")
    plain = {without_prefix(pattern.removeprefix("^")): _number(value) for pattern, value in patterns.items()}
    for pattern in plain:
        re.compile(pattern)
    alpha = settings.get("lora_alpha")
    return Alphas(None if alpha is None else _number(alpha), plain, bool(settings.get("use_rslora")))


def _number(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"alpha is {value!r}")
    return number


def _from_metadata(
    name: str, metadata: Mapping[str, str], converted: bool, remedy: Remedy | None
) -> dict[str, Any] | None:
    """peft's settings in a safetensors header: as diffusers writes them, as kohya and musubi do, or by themselves."""
    for entry in ("lora_adapter_metadata", "adapter_config", "lora_config"):
        if entry in metadata:
            found = _parsed(metadata[entry], f"{name}'s metadata {entry}", remedy)
            parts = {part: _below(found, f"{part}.") for part in _PARTS}
            return next((settings for settings in parts.values() if settings), found)
    for entry in ("lora_alpha", "network_alpha", "ss_network_alpha"):
        if metadata.get(entry, "None") not in ("None", "") and not (converted and entry == "ss_network_alpha"):
            return {"lora_alpha": metadata[entry], "use_rslora": metadata.get("use_rslora", "").lower() == "true"}
    return None


def _below(settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}


def _from_file(path: Path, remedy: Remedy | None) -> dict[str, Any] | None:
    """peft's settings as they stand; a model's config.json counts only where it has EX-4D's ``lora``."""
    try:
        found = _parsed(path.read_text(encoding="utf-8-sig"), str(path), remedy)
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} cannot be read ({in_brief(error)}); mend or remove it.", remedy=remedy) from error
    if path.name != "config.json":
        return found
    lora = found.get("lora")
    return {"lora_alpha": lora.get("alpha"), "use_rslora": lora.get("use_rslora")} if isinstance(lora, dict) else None


def _parsed(text: str, what: str, remedy: Remedy | None) -> dict[str, Any]:
    try:
        found = parse_json(text)
    except ValueError as error:
        raise WeightsError(f"{what} is not valid JSON ({error}); mend or remove it.", remedy=remedy) from error
    if not isinstance(found, dict):
        raise WeightsError(f"{what} is no table of settings; mend or remove it.", remedy=remedy)
    return found
