"""A take says how its holes were filled where that is not how it was asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ex4d
from ex4d import Clip, save_take
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.takes import read_take_info

SIZE = 48
LENS = Intrinsics.from_fov(SIZE, SIZE)


@pytest.fixture(scope="module")
def wall() -> Clip:
    """Grain on a wall before a camera that stands still."""
    frame = np.random.default_rng(0).integers(60, 200, (SIZE, SIZE, 3), np.uint8)
    return Clip(np.stack([frame] * 2), np.full((2, SIZE, SIZE), 4.0, np.float32), LENS)


def used(clip: Clip, folder: Path, **settings: object) -> dict[str, object]:
    take = ex4d.generate(clip, ex4d.preset("orbit_right", clip, amount=20), settings=settings)
    info = read_take_info(save_take(folder, take, video=False))
    assert info.engine == "preview" and info.settings["fill"] == settings.get("fill", "world")
    return info.used


def test_a_place_that_is_not_known_is_noted_with_what_stood_in_for_it(wall: Clip, tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 255, wall.frames.shape, np.uint8)
    moving = replace(wall, frames=frames)
    assert used(moving, tmp_path) == {"fill": "background"}
    assert used(moving, tmp_path, fill="nearest") == {}
    assert used(wall, tmp_path) == {"planes": "back wall (0 0 1 4)"}
    assert used(wall, tmp_path, planes="remove back wall") == {"planes": ""}
