"""Write docs/what-comes-in.md, the table of what is read and what becomes of it, from the tests that show it.

python scripts/docs_formats.py [--check] [--output docs/what-comes-in.md]

A test that shows a row carries ``@pytest.mark.comes_in(kind, given, becomes)``: one of :data:`KINDS`, what somebody
gives, and what is made of it (or the refusal). The tests are read, not run.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from written_page import ROOT, write_or_check

MARKER = "comes_in"
KINDS = ("Video", "Images", "Depth", "Cameras", "LoRA")
HEAD = """# What comes in, what goes out

<!-- Written by scripts/docs_formats.py from the tests: change the tests, not this page. -->

Each row is shown by the test that it names; the page is made from them. What is refused is refused with one sentence,
before anything is written.
"""


class Row(NamedTuple):
    """One line of the table."""

    kind: str
    given: str
    becomes: str
    test: str


def main() -> int:
    """Write or check the page; returns the exit code."""
    return write_or_check(Path(__file__).name, __doc__ or "", "what-comes-in.md", page)


def page(tests: Path = ROOT / "tests") -> str:
    """The whole page. Raises ValueError for a marker that is not three plain strings, or of an unknown kind."""
    found = [row for path in sorted(tests.rglob("test_*.py")) for row in rows_of(path, tests.parent)]
    text = HEAD
    for kind in KINDS:
        lines = sorted((row for row in found if row.kind == kind), key=lambda row: row.given.lower())
        if lines:
            text += f"\n## {kind}\n\n| what comes in | what goes out | shown by |\n|---|---|---|\n"
            text += "".join(f"| {row.given} | {row.becomes} | `{row.test}` |\n" for row in lines)
    return text


def rows_of(path: Path, root: Path) -> Iterator[Row]:
    """The rows that the tests of one file show."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if not (isinstance(mark, ast.Call) and ast.unparse(mark.func) == f"pytest.mark.{MARKER}"):
                continue
            try:
                kind, given, becomes = (ast.literal_eval(each) for each in mark.args)
            except ValueError as error:
                raise ValueError(f"{path}: {node.name}: {MARKER} takes three plain strings ({error}).") from error
            if kind not in KINDS:
                raise ValueError(f"{path}: {node.name}: {kind!r} is none of {', '.join(KINDS)}.")
            yield Row(kind, given, becomes, f"{path.relative_to(root).as_posix()}::{node.name}")


if __name__ == "__main__":
    sys.exit(main())
