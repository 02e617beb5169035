from __future__ import annotations

from pathlib import Path

import pytest
from analytic import look, write_scene


@pytest.fixture
def card_scene(tmp_path) -> Path:
    """Three frames; one target slides to the right by 1.2, one comes nearer by 1.5."""
    source = look([(0, 0, 0)] * 3)
    slide = look([(0, 0, 0), (0.6, 0, 0), (1.2, 0, 0)])
    nearer = look([(0, 0, 0), (0, 0, 0.75), (0, 0, 1.5)])
    return write_scene(tmp_path / "data" / "card", source, {"slide": slide, "nearer": nearer})
