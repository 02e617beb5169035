"""The Edits panel in a real window of a Blender that has edit layers; EX4D_UI_BLENDER names one of 4.2 or later.

The system's Blender, which the other panels are driven in, is older.
"""

from __future__ import annotations

import json
import os

import pytest
from runner import OUT, drive

EDITS = OUT.with_name("ui-edits")
BLENDER = os.environ.get("EX4D_UI_BLENDER", "")

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not BLENDER, reason="edit layers need Blender 4.2; name one with EX4D_UI_BLENDER"),
]


def test_an_edit_becomes_a_layer_in_the_list(tmp_path):
    console = drive(BLENDER, "drive_edits.py", tmp_path, EDITS)
    assert json.loads((EDITS / "result.json").read_text()) == {"ok": True}, console[-3000:]
    assert "Traceback" not in console
    for state in ("1_edit", "2_layers"):
        assert (EDITS / f"{state}.png").stat().st_size > 20_000
