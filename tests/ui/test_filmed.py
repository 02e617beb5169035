"""The source rig in a real window: what moves is tinted, a press estimates the camera, another locks it off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from runner import HERE, OUT, Drive, measured

from ex4d.eval.filmed import film

FRAMES = 16

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def room():
    return film("handheld", seed=12, width=512, height=384, frames=FRAMES)


@pytest.fixture(scope="module")
def found(room, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script has measured."""
    folder = tmp_path_factory.mktemp("filmed")
    (folder / "room").mkdir()
    for i, frame in enumerate(np.asarray(room.clip.frames)):
        cv2.imwrite(str(folder / "room" / f"frame.{i + 1:04d}.png"), frame[..., ::-1])
    np.save(folder / "depth.npy", np.asarray(room.clip.depth))
    np.save(folder / "moves.npy", room.matte)
    (folder / "focal.txt").write_text(str(room.clip.intrinsics.fx))
    return measured(Drive(HERE / "drive_filmed.py", OUT / "filmed", more={"EX4D_UI_FILMED": str(folder)}))


def picture(found: dict[str, Any], name: str) -> np.ndarray:  # [h, w, 3]
    """What is inside the scene camera's frame, of the viewport alone."""
    out: Path = found["out"]
    left, top, right, bottom = (round(value) for value in found["frame"])
    return np.array(Image.open(out / f"{name}.png").convert("RGB"))[top:bottom, left : min(right, 760)].astype(
        np.float32
    )


def test_an_import_whose_picture_moves_offers_the_estimate_and_a_press_makes_the_rig(found, room):
    assert found["seems_to_move"] and found["rig"], "its button was found in the panel and pressed"
    assert found["note"].startswith("Estimated from pictures and depth.")
    off = np.linalg.norm(np.array(found["path"]) - room.camera.world_from_camera[:, :3, 3], axis=1)
    assert off.max() < 0.01 * np.median(room.clip.depth)


def test_what_moves_is_tinted_red(found):
    def red(name: str) -> float:
        levels = picture(found, name)
        return float((levels[..., 0] - levels[..., 1:].max(axis=-1) > 60).mean())

    assert red("2_moving") > red("1_source_first") + 0.3 * found["moves"]


def test_a_locked_off_camera_shows_a_world_that_stands_still(found):
    shaken, still = (
        float(np.median(np.abs(picture(found, f"{name}_last") - picture(found, f"{name}_first"))))
        for name in ("1_source", "4_locked")
    )
    assert still < 0.5 * shaken, "the same room, though the filming camera has moved on"
