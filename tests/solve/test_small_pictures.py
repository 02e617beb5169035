"""Small pictures are enlarged before points are followed in them."""

from dataclasses import replace

import numpy as np
import pytest

from ex4d.solve import solve_camera
from ex4d.solve.tracks import LONG_SIDE, SHORT_LONG_SIDE, Views
from ex4d_ground.errors import ShapeError


def test_a_strip_into_which_no_window_fits_is_refused_with_the_size_that_would_do(filmed) -> None:
    """Eight rows were followed by one another's likeness: the camera was wrong by more than it moved."""
    clip = filmed("handheld").clip
    for rows, told in ((8, "In pictures of 256x8 pixels no points"), (96, "")):
        lens = replace(clip.intrinsics, height=rows)
        cut = replace(clip, frames=clip.frames[:, :rows], depth=clip.depth[:, :rows], intrinsics=lens)
        if not told:
            assert solve_camera(cut).verdict.points > 0
            continue
        with pytest.raises(ShapeError, match=told) as refused:
            solve_camera(cut)
        assert refused.value.text("cli").endswith("; give a clip of at least 256x11 pixels.")


@pytest.mark.parametrize(("width", "height", "long"), [(256, 192, SHORT_LONG_SIDE), (96, 200, SHORT_LONG_SIDE),
                                                       (640, 360, 640), (1920, 1080, LONG_SIDE)])  # fmt: skip
def test_pictures_are_looked_at_in_a_size_that_windows_suit(width: int, height: int, long: int) -> None:
    views = Views(np.zeros((1, height, width, 3), np.uint8), np.ones((1, height, width), np.float32), 1e6)
    grey = views.grey(0)
    assert max(grey.shape) == long
    np.testing.assert_allclose(np.array(grey.shape)[::-1] / [width, height], views.scale)
