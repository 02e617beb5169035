"""Write docs/errors.md, the list of error codes and remedies, from the code itself.

python scripts/docs_errors.py [--check] [--output docs/errors.md]
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from written_page import write_or_check

from ex4d_ground import errors, remedies
from ex4d_protocol import messages

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
    codes = [(f"`{k.code}`", str(k.exit_code), f"`{k.__name__}`", first_line(k)) for k in kinds(errors.Ex4dError)]
    refusals = ", ".join(f"`{code}`" for code in messages.ErrorCode.__args__)
    found = [(code_of(r), remedies.ACTIONS.get(r.action, "-"), r.cli or "-", r.panel or "-") for r in every_remedy()]
    return f"{HEAD}{rows(codes)}{WIRE}{refusals}\n{REMEDIES}{rows(found)}"


def rows(cells: Sequence[tuple[str, ...]]) -> str:
    """Lines of a table."""
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def kinds(base: type[errors.Ex4dError]) -> Iterator[type[errors.Ex4dError]]:
    """The error tree of the ground package, from its root, in order of definition."""
    yield base
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from kinds(kind)


def first_line(kind: type) -> str:
    """What the class is for."""
    return (inspect.getdoc(kind) or "").partition("\n")[0]


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
