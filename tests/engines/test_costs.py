"""What a take will cost is known before anything is loaded, also where there is no GPU and no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ex4d.engines import Gpu, cost
from ex4d.engines.gpu import _from_driver, parse_listing
from ex4d_ground.costs import rough_time
from ex4d_ground.errors import SettingError
from ex4d_ground.remedies import offload

GIB = 1 << 30
H200 = Gpu("NVIDIA H200", 140 * GIB, 139 * GIB)
SMALL = Gpu("Some GPU 8", 8 * GIB, int(7.5 * GIB))
CLIP = {"frames": 49, "width": 512, "height": 512}


def test_it_needs_no_torch() -> None:
    code = "import sys\nfrom ex4d.engines import cost\ncost('wan', frames=9, width=512, height=512)\n"
    code += "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=280)


def test_without_a_gpu_it_says_so_and_still_counts() -> None:
    found = cost("wan", frames=120, width=512, height=512, look=False)
    assert (found.windows, found.passes, found.tiles, found.forwards) == (3, 1, 1, 3 * 25 * 2)
    assert found.problem.startswith("There is no GPU here")
    assert found.plan == "" and found.peak_bytes is None and found.seconds is None
    assert "There is no GPU here" in found.text


def test_the_plan_and_peak_are_those_the_engine_would_choose() -> None:
    big = cost("wan", **CLIP, gpu=H200)
    assert big.plan == "resident" and big.peak_bytes is not None and 24 * GIB < big.peak_bytes < 36 * GIB
    small = cost("wan", **CLIP, gpu=SMALL)
    assert small.plan == "offload" and small.peak_bytes is not None and small.peak_bytes <= SMALL.free
    assert small.seconds is None  # nobody knows how fast this one is
    assert not big.problem and not small.problem


def test_too_large_a_picture_is_a_sentence_not_an_error() -> None:
    found = cost("wan", frames=49, width=1280, height=720, settings={"memory": "resident"}, gpu=SMALL)
    assert "needs about" in found.problem and found.remedy == offload()


def test_time_follows_mode_length_and_size() -> None:
    def seconds(**changes: object) -> float:
        found = cost("wan", **{**CLIP, **changes}, gpu=H200).seconds  # type: ignore[arg-type]
        assert found is not None
        return found

    plain = seconds()
    assert 25 < plain < 80  # 44 s were measured
    assert seconds(settings={"mode": "turbo"}) < plain / 5
    assert seconds(settings={"mode": "fp8"}) < plain
    assert seconds(settings={"cfg_scale": 1}) < 0.6 * plain
    assert seconds(frames=98) > 1.9 * plain
    assert seconds(width=1280, height=720) > 4 * plain


def test_large_pictures_take_two_passes() -> None:
    found = cost("wan", frames=49, width=2048, height=1152, gpu=H200)
    assert (found.passes, found.tiles) == (2, 4)
    assert found.forwards == 2 * (25 + 8 * 4)
    assert "two passes" in found.text


def test_the_preview_costs_no_gpu() -> None:
    found = cost("preview", **CLIP, gpu=H200)
    assert (found.forwards, found.gpu, found.problem) == (0, "", "")
    assert found.seconds is not None and found.seconds < 60


def test_a_preview_s_time_has_the_second_layer_and_the_place_in_it() -> None:
    def seconds(**settings: object) -> float:
        found = cost("preview", **CLIP, settings=settings).seconds
        assert found is not None
        return found

    assert seconds() == seconds(fill="world", known_first=True)
    assert seconds() > seconds(known_first=False) > seconds(fill="background", known_first=False)


def test_nonsense_is_refused() -> None:
    with pytest.raises(SettingError, match="no engine 'paint'"):
        cost("paint", **CLIP)
    with pytest.raises(SettingError, match="at least one frame"):
        cost("wan", frames=0, width=512, height=512)
    with pytest.raises(SettingError, match="mode must be one of"):
        cost("wan", **CLIP, settings={"mode": "slow"})
    with pytest.raises(SettingError, match="no setting 'mode'"):
        cost("preview", **CLIP, settings={"mode": "fast"})


def test_the_drivers_listing_is_read() -> None:
    assert parse_listing("NVIDIA H200, 143771, 143159\nNVIDIA H200, 143771, 1\n") == Gpu(
        "NVIDIA H200", 143771 << 20, 143159 << 20
    )
    assert parse_listing("No devices were found\n") is None
    assert parse_listing("GRID, [N/A], [N/A]\n") is None
    assert _from_driver("") is None and _from_driver("-1") is None


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (7.6, "8 s"), (44, "40 s"), (200, "3 min"), (9000, "2.5 h")]
)
def test_times_are_said_as_roughly_as_they_are_known(seconds: float, said: str) -> None:
    assert rough_time(seconds) == said
