"""Engine settings from text, checked against what the engine advertises."""

from __future__ import annotations

import pytest

from ex4d.cli.settings import parse_settings
from ex4d_ground.descriptions import EngineInfo, Setting
from ex4d_ground.errors import SettingError

INFO = EngineInfo(
    name="toy",
    title="Toy",
    settings=(
        Setting("steps", "int", 25, "Denoising steps", 1, 100),
        Setting("scale", "float", 5.0, "CFG scale", 0, 20),
        Setting("lead_in", "bool", True, "Lead-in"),
        Setting("prompt", "str", "", "Prompt"),
        Setting("mode", "choice", "exact", "Mode", choices=("exact", "turbo")),
    ),
    licence="none",
)


def test_defaults_stand_where_nothing_is_given() -> None:
    assert parse_settings(INFO, []) == {"steps": 25, "scale": 5.0, "lead_in": True, "prompt": "", "mode": "exact"}


def test_values_take_the_settings_type() -> None:
    pairs = ["steps=4", "scale=1", "lead-in=off", "prompt=a = b", "mode=turbo"]
    parsed = parse_settings(INFO, pairs)
    assert parsed == {"steps": 4, "scale": 1.0, "lead_in": False, "prompt": "a = b", "mode": "turbo"}
    assert isinstance(parsed["scale"], float)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("steps=many", "steps must be a whole number, got 'many'"),
        ("steps=0", "between 1 and 100, got 0"),
        ("scale=x", "scale must be a number"),
        ("scale=inf", "scale must be a number, got inf"),
        ("scale=nan", "scale must be a number, got nan"),
        ("scale=1e30", "between 0 and 20, got 1e\\+30"),
        ("lead_in=maybe", "lead_in must be true or false, got 'maybe'"),
        ("mode=slow", "mode must be one of exact, turbo"),
        ("stps=4", "no setting 'stps'; it has: steps, scale, lead_in, prompt, mode"),
        ("steps", "--set takes name=value, got 'steps'; for example --set steps="),
    ],
)
def test_wrong_settings_say_what_would_do(pair: str, message: str) -> None:
    with pytest.raises(SettingError, match=message.replace("(", r"\(")):
        parse_settings(INFO, [pair])


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan"), 1e30, 10**400])
def test_a_program_that_sends_an_absurd_number_is_told_too(value: float) -> None:
    """On the wire and in files numbers come as numbers, whatever the setting's kind."""
    for name in ("steps", "scale"):
        with pytest.raises(SettingError, match=f"{name} must be"):
            INFO.validated({name: value})
