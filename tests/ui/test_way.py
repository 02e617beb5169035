"""The first minute, in a real window: an empty scene becomes a visible take in three clicks and one typed field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from runner import HERE, OUT, Drive, Look, measured

MOST_ACTIONS, MOST_FIELDS = 3, 2
LIST_PX = 750
"""What the panels may take with one take, at an interface scale of 1."""
STATES = ("1_empty", "2_importing", "3_ready", "4_camera", "6_take")

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module", params=[(1280, 720), (1920, 1080)], ids=["720", "1080"])
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the script has counted and measured in a window of this size."""
    width, height = request.param
    return measured(Drive(HERE / "drive_way.py", OUT / f"way-{height}", look=Look(width, height)))


def test_three_actions_and_two_fields_at_most(way: dict[str, Any], capsys):
    with capsys.disabled():
        print(f"\nfrom an empty scene to a take: {way['actions']} actions, {way['fields']} fields")
    assert way["actions"] <= MOST_ACTIONS and way["fields"] <= MOST_FIELDS


def test_the_take_is_whole_and_seen(way: dict[str, Any]):
    assert way["take"] == {"frames": 49, "arrived": 49, "shown": True}


def test_the_list_is_short(way: dict[str, Any], capsys):
    left, top, width, height = way["sidebar"]
    pictures = [np.array(Image.open(way["out"] / f"7_take-{name}.png").convert("RGB")) for name in ("with", "without")]
    panels = np.s_[top : top + height, left + 12 : left + width - 40]
    differs = (np.abs(np.subtract(*(p[panels].astype(int) for p in pictures))).max(axis=-1) > 2).any(axis=1)
    tall = int(np.flatnonzero(differs)[-1] - np.flatnonzero(differs)[0] + 1)
    with capsys.disabled():
        print(f"\nthe list of panels with one take: {tall} px of the sidebar's {height}")
    if way["out"].name.endswith("720"):
        pytest.skip("the list is as long as this window's sidebar; it is measured in the taller one")
    assert tall <= min(LIST_PX, height - 8)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("look", ["1-dark", "1.5-dark", "1-light", "1.5-light"])
def test_there_is_a_picture_of_every_state(way: dict[str, Any], state: str, look: str):
    assert (way["out"] / f"{state}-{look}.png").stat().st_size > 20_000
