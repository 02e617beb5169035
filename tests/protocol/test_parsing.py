"""Texts that Python's own readers give up on are errors like any other."""

import pytest

from ex4d_ground.parsing import parse_json, parse_toml

DEEP = "[" * 100_000
LONG = "9" * 5000


@pytest.mark.parametrize(("text", "said"), [(DEEP, "nested too deeply"), (LONG, "too many digits"), ("{", "line 1")])
def test_what_is_no_json_is_one_kind_of_error(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "said"), [(f"a={DEEP}", "nested too deeply"), (f"a={LONG}", "too many digits"), ("a=", "line|end")]
)
def test_what_is_no_toml_is_one_kind_of_error(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        parse_toml(text)


def test_what_is_said_is_read():
    assert parse_json('{"a": [1, 2]}') == {"a": [1, 2]}
    assert parse_json(b"[]") == []
    assert parse_toml("a = 1") == {"a": 1}
