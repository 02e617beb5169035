"""Holes are shown as a checker."""

from __future__ import annotations

import numpy as np

from ex4d.pictures import checkered


def test_only_holes_are_checkered() -> None:
    colour = np.full((32, 32, 3), 200, np.uint8)
    mask = np.zeros((32, 32), bool)
    mask[:, :16] = True
    shown = checkered(colour, mask, cell=4)
    assert (shown[:, :16] == 200).all()
    assert set(np.unique(shown[:, 16:])) == {64, 96}
