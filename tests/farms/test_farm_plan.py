"""The farm's simulation: its books balance, and at its ends it is what can be reckoned by hand."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def plan() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("farm_plan")


def test_one_gpu_makes_a_take_in_its_measured_time_and_a_cold_one_pays_the_start(plan: ModuleType) -> None:
    measured, assumed = plan.Measured.read(), plan.Assumed()
    for warm, cold_s in ((True, 0.0), (False, measured.cold_s)):
        show = plan.Show(measured, assumed, "fast", 1, seed=1, warm=warm)
        day = show.run(5, 1.0)
        takes = 5 * assumed.takes_a_shot
        assert len(day.waits) == takes
        assert day.gpu_busy_s == pytest.approx(takes * (measured.take_s["fast"] + cold_s))
        assert day.gpu_busy_s / day.ended_s > 0.98


def test_every_byte_is_moved_or_saved(plan: ModuleType) -> None:
    measured, assumed = plan.Measured.read(), plan.Assumed()
    day = plan.Show(measured, assumed, "turbo", 20, seed=3).run(50, 600.0)
    takes, clip = 50 * assumed.takes_a_shot, measured.video_mb + assumed.depth_mb
    assert day.received_mb + day.sent_mb + day.saved_mb == pytest.approx(2 * takes * (clip + measured.take_mb))
    assert day.received_mb == pytest.approx(50 * clip + takes * measured.take_mb)
    one_machine = plan.Show(measured, replace(assumed, gpus_a_machine=20), "turbo", 20, seed=3).run(50, 600.0)
    assert one_machine.sent_mb == pytest.approx(50 * clip + takes * measured.take_mb)  # a clip goes there once
    assert one_machine.saved_mb > day.saved_mb


def test_a_slow_server_sets_the_pace_whatever_gpus_there_are(plan: ModuleType) -> None:
    measured, assumed = replace(plan.Measured.read(), upload_mb_s=20.0), plan.Assumed()
    few, many = (plan.Show(measured, assumed, "turbo", gpus, seed=1).run(40, 1.0) for gpus in (50, 100))
    assert few.server_busy > 0.9 and many.server_busy > 0.9
    assert many.ended_s == pytest.approx(few.ended_s, rel=0.05)


def test_the_fewest_gpus_are_found_that_keep_the_wait(plan: ModuleType) -> None:
    measured, assumed = plan.Measured.read(), plan.Assumed()
    gpus, day = plan.gpus_for(600, "fast", measured, assumed, seed=2)

    def late(found) -> float:
        return sorted(found.waits)[int(0.9 * len(found.waits))]

    assert late(day) <= plan.WAIT_S * 1.02
    fewer = plan.Show(measured, assumed, "fast", gpus - 1, seed=2).run(600, assumed.day_h * 3600)
    assert late(fewer) > plan.WAIT_S * 0.98
