"""Guides are read back from their videos at the size that is asked for, if a model can make that."""

from __future__ import annotations

import numpy as np
import pytest

from ex4d.engines.guide_videos import read_guides, write_guides
from ex4d.types import Guides
from ex4d_ground.errors import SettingError


@pytest.mark.parametrize(("made", "size"), [((8, 24), None), ((64, 64), (64, 8))])
def test_a_size_too_small_for_the_model_is_refused_with_its_remedy(tmp_path, made, size) -> None:
    width, height = made
    guides = Guides(np.zeros((2, height, width, 3), np.uint8), np.ones((2, height, width), np.bool_))
    write_guides(tmp_path, guides, "x", fps=15.0)
    with pytest.raises(SettingError) as refused:
        read_guides(tmp_path / "color_x.mp4", tmp_path / "mask_x.mp4", size=size)
    width, height = size or made
    told = f"A picture of {width}x{height} pixels is too small for the model; give --width and --height of at least 16."
    assert refused.value.text("cli") == told
