"""Every number among the server's settings: an absurd one is refused by name, wherever it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from ex4d_backend.settings import ServerSettings, load_settings
from ex4d_ground.errors import SettingError


def numbers() -> Iterator[tuple[str, str]]:
    """Every setting that is a number, with what makes no sense for it."""
    for name, hint in get_type_hints(ServerSettings).items():
        for value in {int: ("-2", "9" * 20, "1.5"), float: ("nan", "inf", "-inf", "-1", "1e30")}.get(hint, ()):
            yield name, value


def test_the_walk_meets_the_settings_there_are():
    assert {"live_idle_s", "clip_pixels", "requests_per_s", "results_ttl_hours", "ray_gpus"} <= dict(numbers()).keys()


@pytest.mark.parametrize(("name", "value"), list(numbers()))
def test_an_absurd_number_is_refused_with_its_name_its_value_and_what_it_may_be(tmp_path, name, value):
    config = tmp_path / "backend.toml"
    config.write_text(f"{name} = {value}\n")
    variable = f"EX4D_BACKEND_{name.upper()}"
    ways: tuple[tuple[str, str, dict[str, Any]], ...] = (
        (f"The configuration {config}", name, {"config": config, "environment": {}}),
        ("The environment", variable, {"environment": {variable: value}}),
        ("The command line", name, {"environment": {}, "overrides": {name: value}}),
    )
    for source, shown, given in ways:
        with pytest.raises(SettingError) as refused:
            load_settings(**given)
        said = str(refused.value)
        assert said.startswith(f"{source} sets {shown} = ") and ": give a " in said and "number " in said
        assert value in said or repr(float(value)) in said


@pytest.mark.parametrize(
    ("name", "most", "words"),
    [("job_stall_s", 31622400, "366 days"), ("results_ttl_hours", 878400, "100 years"), ("clients", 1000000, None)],
)
def test_the_longest_time_is_taken_and_one_beyond_it_told_in_words(name, most, words):
    assert getattr(load_settings(environment={}, overrides={name: most}), name) == most
    with pytest.raises(SettingError) as refused:
        load_settings(environment={}, overrides={name: most + 1})
    assert str(refused.value).endswith(f" {most}, that is {words}." if words else f" {most}.")
    if words:
        example = (Path(__file__).parents[2] / "backend" / "backend.example.toml").read_text(encoding="utf-8")
        assert f"up to {most} ({words}" in example


def test_a_value_of_another_kind_is_refused_in_the_same_words(tmp_path):
    config = tmp_path / "backend.toml"
    for text, said in (
        ("curve = 3", "curve = 3: give true or false"),
        ("devices = [3]", "each text"),
        ("guardian = 'maybe'", 'guardian = \'maybe\': give one of "auto", "off", "on"'),
        ("extensions = 3", "extensions = 3: give a table"),
        ("[extensions]\nfolder = 3", "extensions.folder = 3: give text"),
    ):
        config.write_text(text)
        with pytest.raises(SettingError, match="The configuration") as refused:
            load_settings(config, environment={})
        assert said in str(refused.value)
