"""What the keys of a LoRA file mean, in the spellings of the programs that write them.

A key is a prefix, a module's name, and an ending. Trainers disagree about all three: the module's name is the
original's or diffusers', joined by dots or (kohya, musubi) by underscores; the halves are ``lora_A`` and ``lora_B``,
``lora_down`` and ``lora_up`` or ``lora.down`` and ``lora.up``, with or without an adapter's name. Only strings here: no
torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ex4d.weights.mapping import TRANSFORMER, map_key

Kind = Literal["down", "up", "up_bias", "alpha", "difference"]

_PREFIX = re.compile(r"(?:(?:base_model|model|diffusion_model|transformer|unet|dit)\.|lora_unet_|lora_transformer_)+")
_HALF = re.compile(
    r"(?P<module>.+)\.(?P<half>lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up)"
    r"(?:\.(?P<adapter>(?!weight$|bias$)\w+))?(?:\.(?P<leaf>weight|bias))?"
)
_ENDINGS = {"diff": "weight", "diff_b": "bias", "diff_m": "modulation"}
_OTHER_KINDS = {
    "LoHa": re.compile(r"\.hada_"),
    "LoKr": re.compile(r"\.lokr_"),
    "DoRA": re.compile(r"\.(dora_scale|lora_magnitude_vector)"),
    "LoCon with a Tucker core": re.compile(r"\.lora_mid"),
    "OFT": re.compile(r"\.oft_"),
}


@dataclass(frozen=True)
class LoraKey:
    """One key, understood."""

    kind: Kind
    name: str
    """diffusers' module name (``blocks.0.attn1.to_q``), or for a difference the parameter's."""
    written: str
    """The module as the file names it, without prefixes; patterns of alphas are in these words."""


def without_prefix(key: str) -> str:
    """``key`` without what trainers put before a module's name."""
    found = _PREFIX.match(key)
    return key[found.end() :] if found else key


def parse_key(key: str) -> LoraKey | None:
    """What ``key`` is, or None if it is nothing that can be added to Wan's transformer."""
    plain = without_prefix(key)
    half = _HALF.fullmatch(plain)
    if half:
        kind = _half_kind(half["half"], half["leaf"])
        name = parameter_name(f"{half['module']}.weight") if kind else None
        return LoraKey(kind, name.removesuffix(".weight"), half["module"]) if kind and name else None
    written, _, ending = plain.rpartition(".")
    if ending == "alpha":
        name = parameter_name(f"{written}.weight")
        return LoraKey("alpha", name.removesuffix(".weight"), written) if name else None
    if ending in _ENDINGS:
        leaf = _ENDINGS[ending]
        name = parameter_name(f"{written}.{leaf}") or (parameter_name(written) if ending != "diff_b" else None)
        return LoraKey("difference", name, written) if name else None
    return None


def other_kind(keys: list[str]) -> str | None:
    """The name of a kind of adapter that is no LoRA but looks like one, if ``keys`` are of it."""
    return next((kind for kind, mark in _OTHER_KINDS.items() if any(mark.search(key) for key in keys)), None)


def _half_kind(half: str, leaf: str | None) -> Kind | None:
    up = half in ("lora_B", "lora_up", "lora.up")
    if leaf == "bias":
        return "up_bias" if up else None
    return "up" if up else "down"


def parameter_name(written: str) -> str | None:
    """diffusers' name of the transformer's parameter ``written`` in any of the spellings; None if there is none.

    >>> parameter_name("blocks_0_self_attn_q.weight")
    'blocks.0.attn1.to_q.weight'
    """
    targets = map_key(TRANSFORMER, written)
    if targets:
        return targets[0].name
    for pattern, template in _spellings():
        match = pattern.fullmatch(written)
        if match:
            return match.expand(template)
    return None


@cache
def _spellings() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The original's names with underscores for dots, and diffusers' names with either."""
    return tuple(_any_spelling())


def _any_spelling() -> Iterator[tuple[re.Pattern[str], str]]:
    for rule in TRANSFORMER:
        for template, _ in rule.targets:
            assert isinstance(template, str), "the transformer's names are rewritten by patterns alone"
            yield re.compile(rule.pattern.replace(r"\.", "[._]")), template
            groups = iter(re.findall(r"\([^()]*\)", rule.pattern))
            ours = "".join(
                next(groups) if piece.startswith("\\") else re.escape(piece).replace(r"\.", "[._]")
                for piece in re.split(r"(\\\d)", template)
            )
            yield re.compile(ours), template
