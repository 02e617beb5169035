"""Whatever the backend promises names the test that shows it, in a table of tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "backend/README.md").read_text("utf-8")
ROWS = re.findall(r"^\| ([a-z-]+): ([^|]+) \| `(tests/[^`|]+)::([^`|]+)` \| ([^|]+) \|$", TEXT, re.MULTILINE)
MARK = re.compile(r"`\[([a-z-]+)\]`")
NO_PROMISE = ("`ex4d-backend` takes jobs", "What stands in brackets", "- CURVE gives confidentiality")
"""What paragraphs begin with that say what a thing is, or what somebody else promises."""


def _promising() -> list[str]:
    """Paragraphs and points of the texts that promise: README up to the table, SECURITY.md from who gets in on."""
    security = (ROOT / "SECURITY.md").read_text("utf-8")
    texts = (
        TEXT.partition("## What it promises")[0],
        security.partition("## Who gets in")[2].partition("\n## What remains")[0],
    )
    found: list[str] = []
    for text in texts:
        plain = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        plain = re.sub(r"^#.*$", "", plain, flags=re.MULTILINE)
        found += [part.strip() for part in re.split(r"\n\n|\n(?=- )", plain) if part.strip()]
    return [part for part in found if not part.startswith(NO_PROMISE)]


def test_the_table_is_read_whole():
    section = TEXT.partition("## What it promises")[2].partition("\n## ")[0]
    assert len(ROWS) == sum(line.startswith("| ") for line in section.splitlines()) - 1 >= 20
    assert len({row[0] for row in ROWS}) == len({row[1] for row in ROWS}) == len(ROWS)


def test_no_paragraph_promises_without_a_row():
    assert [part[:80] for part in _promising() if not MARK.search(part)] == []
    assert len(_promising()) >= 25


def test_every_mark_has_its_row_and_every_row_its_promise():
    marks, rows = {name for part in _promising() for name in MARK.findall(part)}, {row[0] for row in ROWS}
    assert marks - rows == set(), "marks without a row"
    assert rows - marks == set(), "rows of what nobody promises"


@pytest.mark.parametrize(("key", "promise", "path", "name", "seen"), ROWS, ids=[row[0] for row in ROWS])
def test_a_promise_has_a_test_and_a_figure(key, promise, path, name, seen):
    assert re.search(rf"^def {re.escape(name)}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), promise
    assert seen.strip()
