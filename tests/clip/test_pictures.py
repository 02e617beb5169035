"""A picture grid shows each video's frames in order, and holes as a checker."""

from __future__ import annotations

import numpy as np
import pytest

from ex4d.errors import ShapeError
from ex4d.pictures import checkered, picture_grid


def test_each_column_holds_its_video_from_first_to_last_frame() -> None:
    grey = np.arange(9, dtype=np.uint8)[:, None, None, None] * np.uint8(25)
    a = np.broadcast_to(grey, (9, 60, 80, 3)).copy()
    mask = np.zeros((9, 30, 30), bool)
    mask[-1] = True
    sheet = picture_grid([("a", a), ("mask", mask)], rows=3, tile_height=60)
    centres = [26 + 30 + row * 68 for row in range(3)]
    assert [int(sheet[y, 44 + 40, 0]) for y in centres] == [0, 100, 200]
    assert [int(sheet[y, 44 + 80 + 8 + 30, 0]) for y in centres] == [0, 0, 255]


def test_lengths_must_agree() -> None:
    with pytest.raises(ShapeError, match=r"got lengths \[2, 3\]"):
        picture_grid([("a", np.zeros((2, 4, 4, 3), np.uint8)), ("b", np.zeros((3, 4, 4, 3), np.uint8))])


def test_only_holes_are_checkered() -> None:
    colour = np.full((32, 32, 3), 200, np.uint8)
    mask = np.zeros((32, 32), bool)
    mask[:, :16] = True
    shown = checkered(colour, mask, cell=4)
    assert (shown[:, :16] == 200).all()
    assert set(np.unique(shown[:, 16:])) == {64, 96}
