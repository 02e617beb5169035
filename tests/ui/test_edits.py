"""The Edits panel in a real window."""

from __future__ import annotations

import json

import pytest
from runner import HERE, OUT, Drive, errors_in, run

EDITS = OUT.with_name("ui-edits")

pytestmark = pytest.mark.timeout(900)


def test_an_edit_becomes_a_layer_in_the_list():
    console = run(Drive(HERE / "drive_edits.py", EDITS))
    found = json.loads((EDITS / "result.json").read_text())
    assert found.pop("ok"), console[-3000:]
    assert found == {"mode": "SCULPT"}, "the frame is edited with brushes that show the footage"
    assert not errors_in(console), console[-3000:]
    for state in ("1_edit", "2_layers"):
        assert (EDITS / f"{state}.png").stat().st_size > 20_000
