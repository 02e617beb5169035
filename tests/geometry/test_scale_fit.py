"""The scale between a path and depth."""

from __future__ import annotations

import numpy as np
import pytest

from ex4d_ground.errors import SettingError
from ex4d_ground.scale_fit import fit_scale


def test_the_scale_is_found_beside_noise_and_wrong_points():
    chance = np.random.default_rng(1)
    depth = chance.uniform(2, 20, 200)
    path = depth / 3.7 * chance.normal(1, 0.02, 200)
    path[:50] *= chance.uniform(1.5, 4, 50)  # things that moved
    depth[60], path[61], depth[62] = np.nan, -1, np.inf
    fit = fit_scale(path, depth)
    assert fit.scale == pytest.approx(3.7, rel=0.01)
    assert 130 <= fit.agree <= 160 and fit.points == 200 and fit.deviation == pytest.approx(0.0135, abs=0.006)


def test_far_points_count_no_more_than_near_ones():
    """In relative error: points far away, whose depth is estimated worst, do not decide alone."""
    depth = np.array([1.0] * 20 + [100.0] * 4)
    path = np.concatenate([depth[:20] * 2, depth[20:] * 2.2])
    assert fit_scale(path, depth).scale == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("count", [0, 3, 40])
def test_points_that_do_not_agree_are_refused(count):
    chance = np.random.default_rng(2)
    with pytest.raises(SettingError, match=f"Of {count} points only .* state its scale"):
        fit_scale(np.exp(chance.uniform(-4, 4, count)), np.ones(count))
