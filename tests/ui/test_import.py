"""After an import the window shows the clip: measured on pictures of real windows."""

from __future__ import annotations

from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from runner import HERE, OUT, ROOT, Drive, measured

MOST = 4.0
"""Mean difference to the clip's frame, of 255."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", params=["5.2", "4.3"])
def shown(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the script has measured in a Blender of this version."""
    return measured(Drive(HERE / "drive_import.py", OUT / f"import-{request.param}", request.param))


def difference(shown: dict[str, Any], name: str) -> float:
    """Mean difference of the camera's frame in a picture to the clip's first frame, of 255."""
    with av.open(str(ROOT / "examples" / "clip.mp4")) as video:
        clip = next(video.decode(video=0)).to_ndarray(format="rgb24").astype(np.float32)
    picture = np.array(Image.open(shown["out"] / f"{name}.png").convert("RGB")).astype(np.float32)
    left, top, right, bottom = shown[name]
    rows, columns = np.mgrid[0 : len(clip), 0 : clip.shape[1]].astype(np.float32) + 0.5
    x = left + columns * ((right - left) / clip.shape[1]) - 0.5
    y = top + rows * ((bottom - top) / len(clip)) - 0.5
    return float(np.abs(cv2.remap(picture, x, y, cv2.INTER_LINEAR) - clip).mean())


@pytest.mark.parametrize("transform", ["standard", "agx"])
def test_the_window_shows_the_clip(shown: dict[str, Any], transform: str, record_property, capsys):
    """In Blender's first scene, whose cube is around the source camera."""
    found = difference(shown, transform)
    record_property("mean_difference", found)
    with capsys.disabled():
        print(f"\nafter the import, view transform {transform}: mean difference {found:.2f} of 255")
    assert found <= MOST


def test_the_frame_is_clear_of_sidebar_and_toolbar(shown: dict[str, Any]):
    assert shown["overlapped"] == []
    left, top, right, bottom = shown["standard"]
    assert right - left > 400 and bottom - top > 400, "and as large as there is room"


def test_no_other_view_is_touched(shown: dict[str, Any]):
    assert shown["other_view_untouched"]


def test_the_view_turns_once_unless_switched_off(shown: dict[str, Any]):
    assert (shown["turns"], shown["turns_though_switched_off"]) == (1, 0)


def test_a_hand_on_the_view_ends_the_turn(shown: dict[str, Any]):
    assert shown["hand_wins"]


def test_the_clip_is_ready_to_play(shown: dict[str, Any]):
    assert shown["range"] == [1, 49, 1]
