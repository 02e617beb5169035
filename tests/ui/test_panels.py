"""What is drawn over the view in a real window: exact colours, stripes in holes, and a line that can be dragged."""

from __future__ import annotations

from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from runner import HERE, OUT, ROOT, Drive, measured

FRAME = 40
"""The scene's frame in which all is pictured."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", params=["5.2", "4.3"])
def drawn(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the script has measured in a Blender of this version."""
    return measured(Drive(HERE / "drive.py", OUT / f"drawn-{request.param}", request.param))


def test_the_live_picture_has_the_colours_that_were_sent(drawn: dict[str, Any]):
    sent = np.load(drawn["out"] / "live.npy").astype(np.float32)
    left, top, right, bottom = drawn["live"]
    rows, columns = np.mgrid[0 : sent.shape[0], 0 : sent.shape[1]].astype(np.float32) + 0.5
    x = left + columns * ((right - left) / sent.shape[1]) - 0.5
    y = top + rows * ((bottom - top) / sent.shape[0]) - 0.5
    window = np.array(Image.open(drawn["out"] / "live.png").convert("RGB")).astype(np.float32)
    shown = cv2.remap(window, x, y, cv2.INTER_LINEAR)
    inside = np.ones((5, 5), np.uint8)
    kinds = (sent[..., 3] == 255, sent[..., 3] == 0, sent[..., 3] == 128)
    seen, hole, goes_on = (cv2.erode(each.astype(np.uint8), inside) > 0 for each in kinds)
    assert seen.any() and hole.any() and goes_on.any()
    off = (shown - sent[..., :3])[seen]
    assert np.abs(np.median(off, axis=0)).max() <= 1, "neither brighter nor darker, but for a rounding"
    assert np.abs(off).mean() < 4
    greys = shown[hole]
    low, high = np.percentile(greys, (1, 99))  # the box at the centre of moves lies over some
    assert low > 30 and high < 75, "holes are quiet"
    assert greys.std() > 5, "and striped"
    red, _, blue = shown[goes_on].mean(axis=0)
    assert blue > red + 20 and shown[goes_on].std(axis=0).min() > 5, "blue, and striped, where the floor goes on"


def test_the_line_between_the_pictures_is_dragged(drawn: dict[str, Any]):
    assert drawn["wipe"] == pytest.approx(0.25, abs=0.02)
    assert drawn["compared"] == "", "and the comparison ends by its button"


def test_the_pictures_follow_the_line(drawn: dict[str, Any]):
    """Right of the line is the source, to the last part of the frame that a drag has given it."""
    with av.open(str(ROOT / "examples" / "clip.mp4")) as video:
        clip = list(video.decode(video=0))[FRAME - 1].to_ndarray(format="rgb24").astype(np.float32)
    left, top, right, bottom = drawn["frame"]
    rows, columns = np.mgrid[0 : clip.shape[0], 0 : clip.shape[1]].astype(np.float32) + 0.5
    x = left + columns * ((right - left) / clip.shape[1]) - 0.5
    y = top + rows * ((bottom - top) / clip.shape[0]) - 0.5
    window = np.array(Image.open(drawn["out"] / "compare.png").convert("RGB")).astype(np.float32)
    off = np.abs(cv2.remap(window, x, y, cv2.INTER_LINEAR) - clip)
    beside = np.s_[20:-20, round(0.3 * clip.shape[1]) : round(0.45 * clip.shape[1])]
    assert off[beside].mean() < 6
    assert off[20:-20, : round(0.2 * clip.shape[1])].mean() > 12, "and left of it is the take"
