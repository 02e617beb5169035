"""Windows cover every clip; memory plans fit what is free and say what would."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ex4d.engines.wan.plan import GIB, ModelSize, Workload, plans
from ex4d.engines.wan.windows import blend, pad_sides, window_guides, window_seed, windows
from ex4d_ground.errors import DeviceMemoryError, SettingError

WAN = ModelSize(5120, 13824, 40)
SHOT = Workload(tokens=13 * 32 * 32, pixels=512 * 512, branches=2)


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 12), st.integers(1, 40))
def test_windows_cover_the_clip_and_overlap_as_asked(count: int, quarter: int, overlap: int) -> None:
    window = 4 * quarter + 1
    overlap = min(overlap, window - 1)
    found = windows(count, window=window, overlap=overlap)
    assert found[0].start == 0 and found[0].given == 0 and found[-1].stop == count
    for before, after in pairwise(found):
        assert after.start > before.start
        assert after.given == before.stop - after.start >= overlap
    for one in found:
        assert one.padded % 4 == 1 and one.stop - one.start <= one.padded <= window


def test_a_later_window_is_given_finished_frames_fully_visible() -> None:
    colour = np.zeros((12, 16, 16, 3), np.uint8)
    mask = np.zeros((12, 16, 16), bool)
    finished = np.full_like(colour, 7)
    second = windows(12, window=9, overlap=3)[1]
    part, shown = window_guides(second, colour, mask, finished)
    assert (part[: second.given] == 7).all() and shown[: second.given].all()
    assert not part[second.given :].any() and not shown[second.given :].any()
    assert len(part) == second.padded


def test_the_overlap_goes_evenly_from_one_window_to_the_next() -> None:
    before, after = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 200, np.uint8)
    assert [int(blend(before, after, i, 3)[0, 0, 0]) for i in range(3)] == [50, 100, 150]


def test_sides_are_padded_by_repeating_the_edge() -> None:
    frames = np.arange(2 * 17 * 15, dtype=np.uint8).reshape(2, 17, 15)
    padded = pad_sides(frames)
    assert padded.shape == (2, 32, 16)
    assert np.array_equal(padded[:, :17, :15], frames)
    assert (padded[:, 17:, 0] == frames[:, 16:17, 0]).all()


def test_windows_have_noise_of_their_own_and_the_first_the_jobs() -> None:
    assert window_seed(5, 0) == 5
    assert len({window_seed(seed, index) for seed in (5, 6) for index in range(4)}) == 8


@pytest.mark.parametrize(
    ("free", "mode", "first"),
    [(141, "exact", "resident"), (36, "fast", "resident"), (18, "fast", "fp8"), (18, "fp8", "resident"),
     (12, "fast", "offload"), (8, "fp8", "offload")],
)  # fmt: skip
def test_the_plan_fits_what_is_free(free: int, mode: str, first: str) -> None:
    found = plans(mode, "auto", WAN, SHOT, free * GIB)  # type: ignore[arg-type]
    assert found[0].name == first
    assert all(plan.expected_peak <= free * GIB for plan in found)
    assert f"{found[0].expected_peak / GIB:.1f} GiB" in str(found[0])


def test_offload_keeps_as_many_blocks_as_fit() -> None:
    counts = [plans("fast", "offload", WAN, SHOT, free * GIB)[0].resident_blocks for free in (8, 12, 16, 24)]
    assert counts == sorted(counts) and counts[0] < counts[-1] < 40


def test_a_plan_that_cannot_fit_says_what_it_needs_and_what_would() -> None:
    with pytest.raises(DeviceMemoryError, match=r"resident plan needs about .* GiB and 12\.0 GiB are free") as caught:
        plans("exact", "resident", WAN, SHOT, 12 * GIB)
    assert "use --set memory=offload" in caught.value.text("cli")
    with pytest.raises(DeviceMemoryError, match="fewer pixels or frames"):
        plans("exact", "auto", WAN, SHOT, 2 * GIB)
    with pytest.raises(SettingError, match="memory must be one of"):
        plans("exact", "lots", WAN, SHOT, GIB)  # type: ignore[arg-type]
