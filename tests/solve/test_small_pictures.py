"""Small pictures are enlarged before points are followed in them."""

import numpy as np
import pytest

from ex4d.solve.tracks import LONG_SIDE, SHORT_LONG_SIDE, Views


@pytest.mark.parametrize(("width", "height", "long"), [(256, 192, SHORT_LONG_SIDE), (96, 200, SHORT_LONG_SIDE),
                                                       (640, 360, 640), (1920, 1080, LONG_SIDE)])  # fmt: skip
def test_pictures_are_looked_at_in_a_size_that_windows_suit(width: int, height: int, long: int) -> None:
    views = Views(np.zeros((1, height, width, 3), np.uint8), np.ones((1, height, width), np.float32), 1e6)
    grey = views.grey(0)
    assert max(grey.shape) == long
    np.testing.assert_allclose(np.array(grey.shape)[::-1] / [width, height], views.scale)
