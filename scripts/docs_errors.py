"""Write docs/errors.md, the list of error codes and remedies, from the code itself.

python scripts/docs_errors.py [--check] [--output docs/errors.md]
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from written_page import ROOT, write_or_check

from ex4d_ground import errors, remedies
from ex4d_protocol import messages

PACKAGES = ("protocol/ex4d_ground", "protocol/ex4d_protocol", "ex4d", "backend/ex4d_backend", "blender_addon")
"""Where errors are defined, the tree's root first."""

HEAD = """# Errors

<!-- Written by scripts/docs_errors.py: change the code, not this page. -->

Every error is one sentence for people, a code for programs and, where something can be done, a remedy as data. A
remedy has words for each place that shows the error and, where a button can do it, an action. Sentences may be reworded
at any time; codes and actions stay. What a sentence means and what to do is in [Troubleshooting](troubleshooting.md).

In Python: `error.code`, `error.remedy`, and `error.text("cli")` for the sentence with its remedy. On the wire: `code`
and `remedy` of an `ErrorReply`, and of the `failure` of a failed `JobState`. On the command line: the exit code.

## Codes

| code | exit code | raised as | what it means |
|---|---|---|---|
"""
WIRE = """
## Codes of refused requests

An `ErrorReply` carries one of the codes above, or one of these.

"""
REMEDIES = """
## Remedies

`...` stands for what the error fills in.

| action | what a button does | on the command line | in Blender |
|---|---|---|---|
"""


def main() -> int:
    """Write or check the page; returns the exit code."""
    return write_or_check(Path(__file__).name, __doc__ or "", "errors.md", page)


def page() -> str:
    """The whole page."""
    codes = [(f"`{k.code}`", k.exit_code, f"`{k.name}`", k.about) for k in kinds()]
    refusals = ", ".join(f"`{code}`" for code in messages.ErrorCode.__args__)
    found = [(code_of(r), remedies.ACTIONS.get(r.action, "-"), r.cli or "-", r.panel or "-") for r in every_remedy()]
    return f"{HEAD}{rows(codes)}{WIRE}{refusals}\n{REMEDIES}{rows(found)}"


def rows(cells: Sequence[tuple[str, ...]]) -> str:
    """Lines of a table."""
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


class Kind(NamedTuple):
    """An error class with a code of its own."""

    name: str
    code: str
    exit_code: str
    about: str


def kinds(root: Path = ROOT) -> list[Kind]:
    """Every error class that has a code of its own, those of a file in order of definition.

    The sources are read, not run: some need what is not installed everywhere.
    """
    files = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    files.sort(key=lambda path: path != root / PACKAGES[0] / "errors.py")
    exits: dict[str, str] = {"Exception": "1"}
    found: list[Kind] = []
    for node in (node for path in files for node in ast.walk(ast.parse(path.read_text("utf-8")))):
        if not isinstance(node, ast.ClassDef):
            continue
        base = next((b.id for b in node.bases if isinstance(b, ast.Name) and b.id in exits), None)
        if base is None:
            continue
        values = constants_of(node)
        exits[node.name] = values.get("exit_code", exits[base])
        if "code" in values:
            about = (ast.get_docstring(node) or "").partition("\n")[0]
            found.append(Kind(node.name, values["code"], exits[node.name], about))
    return found


def constants_of(node: ast.ClassDef) -> dict[str, str]:
    """What the class itself sets to constants, by name."""
    lines = [line for line in node.body if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant)]
    return {ast.unparse(line.targets[0]): str(ast.literal_eval(line.value)) for line in lines}


def code_of(remedy: errors.Remedy) -> str:
    """The action as it stands in a cell."""
    return f"`{remedy.action}`" if remedy.action else "-"


def every_remedy() -> Iterator[errors.Remedy]:
    """Each remedy, made with "..." for what an error would fill in."""
    for _, make in inspect.getmembers(remedies, inspect.isfunction):
        if make.__module__ == remedies.__name__:
            yield make(*("..." for _ in inspect.signature(make).parameters))


if __name__ == "__main__":
    sys.exit(main())
