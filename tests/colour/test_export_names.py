"""Rates, time codes and names of exported files are those that studios use."""

from __future__ import annotations

from fractions import Fraction

import pytest

from ex4d_ground.errors import SettingError
from ex4d_ground.footage import exact_rate, timecode_after
from ex4d_ground.names import NameTemplate


def test_rates_are_fractions() -> None:
    assert exact_rate(23.976) == exact_rate(24000 / 1001) == Fraction(24000, 1001)
    assert exact_rate(29.97) == Fraction(30000, 1001)
    assert exact_rate(24.0) == 24
    assert exact_rate(12.5) == Fraction(25, 2)
    with pytest.raises(SettingError):
        exact_rate(0)


def test_time_codes_count_on() -> None:
    ntsc, film = Fraction(30000, 1001), Fraction(24000, 1001)
    assert timecode_after("00:00:59;29", 1, ntsc) == "00:01:00;02"  # two numbers are dropped each minute
    assert timecode_after("00:09:59;29", 1, ntsc) == "00:10:00;00"  # but not each tenth
    assert timecode_after("01:00:00;00", 0, ntsc) == "01:00:00;00"
    assert timecode_after("23:59:59:23", 1, film) == "00:00:00:00"
    assert timecode_after("10:00:00:00", -1, film) == "09:59:59:23"
    for start in ("00:01:00;02", "12:34:56;07", "00:10:00;00"):
        for step in (1, 17, 1799, 17982, 100000):
            assert timecode_after(timecode_after(start, step, ntsc), -step, ntsc) == start
    assert timecode_after("nonsense", 1, film) == ""
    assert timecode_after("00:00:00:24", 1, film) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{shot}", r"lacks \{frame\}"),
        ("{shot}_{colour}.{frame}", r"field \{colour\}"),
        ("{shot.__class__}.{frame}", "field"),
        ("{frame:>1000000}", "width"),
        ("../{frame}", "below the output folder"),
        ("/tmp/{frame}", "below the output folder"),
        ("{frame", "no template"),
        ("{frame}.png", r"\.png"),
        ("{frame!r}", "field"),
    ],
)
def test_a_template_that_cannot_work_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        NameTemplate.of(text, suffix=".exr", numbered=True)


def test_templates_number_as_studios_do() -> None:
    template = NameTemplate.of("{shot}/v{take:02}/{shot}_take{take:03}.{frame:04}.exr", suffix=".exr", numbered=True)
    values = {"take": 3, "frame": 1001, "engine": "wan", "seed": 7, "kind": "exr"}
    assert str(template.path(shot="sh010", **values)) == "sh010/v03/sh010_take003.1001.exr"
    assert ".." not in template.path(shot="../../etc", **values).parts
    movie = NameTemplate.of("{shot}_{engine}_{seed}", suffix=".mov", numbered=False)
    assert str(movie.path(shot="a", **values)) == "a_wan_7.mov"


def test_a_long_name_keeps_its_number_and_ending_or_is_refused() -> None:
    template = NameTemplate.of("{shot}_take{take:03}.{frame:04}", suffix=".exr", numbered=True)
    shot = "s" * 100
    assert str(template.path(shot=shot, take=3, frame=1001)) == f"{shot}_take003.1001.exr"
    with pytest.raises(SettingError, match="is 317 bytes long; a file's name may have 230: choose a shorter one"):
        template.path(shot="\u0e44" * 100, take=3, frame=1001)
