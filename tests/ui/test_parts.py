"""Parts of the panel that few need, in a real window: planes of the place, both eyes, the export of geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from runner import HERE, OUT, Drive, measured

VIEW = np.s_[100:625, 150:560]
"""The clip's picture in the view, but for the plant that stands before the screen and for what lies below it."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    """What the script has measured."""
    return measured(Drive(HERE / "drive_parts.py", OUT / "parts"))


def picture(parts: dict[str, Any], name: str) -> np.ndarray:  # [h, w, 3]
    out: Path = parts["out"]
    return np.array(Image.open(out / f"{name}.png").convert("RGB")).astype(np.float32)


def test_the_planes_of_the_place_are_listed_and_drawn(parts):
    names = [name for name, _ in parts["planes"]]
    assert "floor" in names and all(0 < share < 1 for _, share in parts["planes"])
    levels = picture(parts, "planes") - picture(parts, "planes-hidden")
    drawn = np.abs(levels[420:640, 10:140]).max(axis=-1) > 40
    assert 0.005 < drawn.mean() < 0.3, "lines of the floor's grid beside the picture"


def test_eyes_are_fitted_and_what_lies_behind_the_screen_is_tinted(parts):
    distance, convergence = parts["eyes"]
    assert 0 < distance < convergence
    before, after = (picture(parts, name)[VIEW] for name in ("planes-hidden", "stereo"))
    bluer = (after[..., 2] - after[..., 0]) - (before[..., 2] - before[..., 0])
    far, near = bluer[:250], bluer[-60:]
    assert (far > 20).mean() > 0.9 and (near < 5).mean() > 0.9


def test_the_export_asks_for_format_and_mesh_and_says_how_large_it_will_be(parts):
    assert parts["export"] == ["EX4D_OT_export_geometry", "ALEMBIC", "1"]
    shown = picture(parts, "geometry-options")[70:196, 1030:1280]
    assert shown.std() > 15, "the choices stand beside the files"
