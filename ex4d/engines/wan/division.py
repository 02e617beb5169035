"""How several GPUs share one run of the model. No torch here: a panel asks what a take will cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ex4d_ground.errors import SettingError


@dataclass(frozen=True)
class Division:
    """``branches`` x ``sequence`` GPUs."""

    branches: int = 1
    """2 where the prompt's and the negative prompt's runs go on side by side, which changes no number."""
    sequence: int = 1
    """So many share what is left: each run's tokens, and in self-attention its heads."""
    deals: bool = False
    """They take whole tiles of a large picture instead, which needs far less exchange."""

    @property
    def shares_tokens(self) -> bool:
        """Whether each run is shared."""
        return self.sequence > 1 and not self.deals


def divided(
    gpus: int,
    *,
    guided: bool,  # by a negative prompt
    heads: int,
    tokens: int,  # of one run of the model
    tiles: int = 1,  # runs of one step and branch
) -> Division:
    """How ``gpus`` GPUs make one step.

    The branches of guidance are divided first: they need next to no exchange. Raises SettingError where heads or tokens
    are no multiple of what is left.
    """
    division = _division(gpus, guided, tiles)
    if not _fits(division, heads, tokens):
        fitting = [n for n in range(1, gpus) if _fits(_division(n, guided, tiles), heads, tokens)]
        raise SettingError(
            f"{gpus} GPUs cannot share this take: {division.sequence} of them would share each run of the model, whose "
            f"{heads} heads and {tokens} tokens do not both divide by {division.sequence}; let {_listed(fitting)} make "
            "it, or change its size or length."
        )
    return division


def _division(gpus: int, guided: bool, tiles: int) -> Division:
    branches = 2 if guided and gpus % 2 == 0 else 1
    sequence = gpus // branches
    return Division(branches, sequence, deals=sequence > 1 and tiles % sequence == 0)


def _fits(division: Division, heads: int, tokens: int) -> bool:
    return not division.shares_tokens or (heads % division.sequence == 0 and tokens % division.sequence == 0)


def _listed(counts: Sequence[int]) -> str:
    """ "1, 2 or 4 GPUs"."""
    *rest, last = map(str, counts)
    return f"{', '.join(rest)} or {last} GPUs" if rest else f"{last} GPU"
