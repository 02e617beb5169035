"""The table of what the backend promises names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "backend/README.md").read_text("utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| `(tests/[^`|]+)::([^`|]+)` \| ([^|]+) \|$", TEXT, re.MULTILINE)


def test_the_table_is_read_whole():
    section = TEXT.partition("## What it promises")[2].partition("\n## ")[0]
    assert len(ROWS) == sum(line.startswith("| ") for line in section.splitlines()) - 1 >= 20
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("promise", "path", "name", "seen"), ROWS, ids=[row[2] for row in ROWS])
def test_a_promise_has_a_test_and_a_figure(promise, path, name, seen):
    assert re.search(rf"^def {re.escape(name)}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), promise
    assert seen.strip()
