"""The panels in a real Blender window: opened, clicked through, and pictured into out/ui/."""

from __future__ import annotations

import json
import re

import pytest
from runner import OUT, drive

STATES = (
    "01_unsaved", "02_connecting", "03_connected", "03_estimator", "04_failed", "04_importing", "05_imported",
    "06_camera", "06_coverage", "06_live", "06_paint", "06_brushes", "07_cost", "07_generating", "08_take",
    "09_marked", "10_disconnected", "11_compare", "12_partial", "13_restore",
)  # fmt: skip


pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What Blender printed while it was driven."""
    return drive("blender", "drive.py", tmp_path_factory.mktemp("ui"), OUT)


def test_every_button_does_its_work(console: str):
    assert (OUT / "result.json").exists(), f"Blender ended early:\n{console[-3000:]}"
    assert json.loads((OUT / "result.json").read_text()) == {"ok": True}, console[-3000:]


def test_console_shows_no_python_error(console: str):
    found = re.findall(r"(?m)^.*(?:Traceback|Error: Python|rna_uiItem|unknown icon|not found: class).*$", console)
    assert not found, console[-4000:]


@pytest.mark.parametrize("state", STATES)
def test_there_is_a_picture_of_every_state(console: str, state: str):
    assert (OUT / f"{state}.png").stat().st_size > 20_000
