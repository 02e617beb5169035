"""Mask recipes and sizes from the few words of a command line. No torch here."""

from __future__ import annotations

import re
from typing import Literal

from ex4d.engines.wan.constants import SIDE
from ex4d.train.config import MaskKind
from ex4d.train.masks import MaskRecipe
from ex4d_ground.errors import SettingError


def recipe_of(*, occluders: Literal["endless", "solid", "mixed"] = "mixed", tracking: float = 0.3) -> MaskRecipe:
    """The usual recipe with these shares."""
    shares: dict[MaskKind, float] = {"rendering": 1 - tracking, "tracking": tracking}
    return MaskRecipe(kinds={kind: share for kind, share in shares.items() if share > 0}, occluders=occluders)


def parse_sizes(text: str) -> list[tuple[int, int]]:
    """``"512x512, 832x480"`` as width and height. Raises SettingError for sides that are no multiple of 16."""
    sizes = []
    for each in text.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*[xX]\s*(\d+)\s*", each)
        size = (int(found[1]), int(found[2])) if found else (0, 0)
        if not all(side > 0 and side % SIDE == 0 for side in size):
            raise SettingError(f"A size is WIDTHxHEIGHT in multiples of {SIDE}, got {each.strip()!r}.")
        sizes.append(size)
    return sizes


def parse_part(text: str) -> tuple[int, int]:
    """``"1/4"`` as (1, 4). Raises SettingError."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or int(found[1]) >= int(found[2]):
        raise SettingError(f"A part is I/N with I from 0 to N-1, got {text!r}.")
    return int(found[1]), int(found[2])
