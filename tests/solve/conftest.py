"""Small filmed rooms, each made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from ex4d.eval.filmed import Filmed, film


@cache
def _filmed(move: str) -> Filmed:
    return film(move, seed=5, width=256, height=192, frames=12)


@pytest.fixture
def filmed() -> Callable[[str], Filmed]:
    """The room filmed by a move: 12 frames of 256x192."""
    return _filmed
