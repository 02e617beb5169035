"""What live mode makes of its answers: the overlay, the list of problems, the judgement of the link."""

from __future__ import annotations

import numpy as np
import pytest


def test_what_is_seen_keeps_its_colours_up_to_the_rim_of_a_hole():
    from blender_addon.live import overlay

    picture = np.array([[[10, 20, 30, 255], [7, 7, 7, 0]]], np.uint8)
    found = overlay.pixels(picture)
    np.testing.assert_allclose(found[0, 0], [10 / 255, 20 / 255, 30 / 255, 1])
    np.testing.assert_array_equal(found[0, 1], 0)
    rim = found[0].mean(axis=0)
    np.testing.assert_allclose(rim[:3] / rim[3], found[0, 0, :3], rtol=1e-6)
    assert found.dtype == np.float32


def test_problems_say_why_they_are_listed():
    from blender_addon.guides import coverage

    values = np.array([0.9, 0.0, 0.3, 0.9, np.nan, 0.45])
    found = coverage.problems(values, frame_start=1, minimum=0.5)
    assert [p.text for p in found] == ["2-3: sees nothing", "6: 45%, below 50%"]
    picture = coverage.graph(values, minimum=0.5)
    assert np.isfinite(picture).all()


def test_the_meter_wants_enough_round_trips_before_it_judges():
    from blender_addon.live.lane import Meter, too_slow

    meter = Meter()
    for _ in range(7):
        meter.append(9.0)
    assert meter.p95_ms is None and too_slow(meter.p95_ms, 300) == ""
    meter.clear()
    for _ in range(19):
        meter.append(0.02)
    meter.append(5.0)
    assert meter.p95_ms == pytest.approx(5000)
    assert "5000 ms, more than 300 ms" in too_slow(meter.p95_ms, 300)
    assert too_slow(20.0, 300) == ""
