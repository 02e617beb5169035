"""Shares as people read them."""

import pytest

from ex4d_ground.texts import percent


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 98304, "0 %"),
        (1, 12_845_056, "under 0.01 %"),
        (12, 98304, "0.012 %"),
        (7, 100, "7 %"),
        (1, 8, "12 %"),
        (599, 600, "99.8 %"),
        (12_845_055, 12_845_056, "over 99.9 %"),
        (98304, 98304, "100 %"),
    ],
)
def test_a_share_is_shown_without_exponents_and_is_all_or_nothing_only_where_it_is(part, whole, shown):
    assert percent(part / whole) == shown
