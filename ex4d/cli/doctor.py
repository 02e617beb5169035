"""``ex4d doctor``: what is installed, on what terms, what is missing and how to get it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ex4d.cli.console import say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ex4d.doctor import Report

HELP = """Show what is installed, the devices, the licence of each part, what is missing and the command that fixes it.

Downloads nothing and loads no model. Exits with 1 if the base install itself is broken.

Examples:

  ex4d doctor

  ex4d doctor --json > doctor.json
"""


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("doctor", help=HELP)(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Examine and print; the help text is ``HELP``."""
    from ex4d import doctor as examination

    report = examination.examine()
    if as_json:
        say(json.dumps(examination.as_json(report), indent=2))
    else:
        _print(report)
    if report.problems:
        raise typer.Exit(1)


def _print(report: Report) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"[bold]ex4d {report.version}[/bold]  Python {report.python}, {report.system}")
    for device in report.devices:
        memory = f", {device.memory_gib:g} GiB" if device.memory_gib else ""
        console.print(f"  {device.kind}: {device.name}{memory}", markup=False)
    for table in (_parts(report), _extras(report), _packages(report)):
        console.print(table)
    _print_missing(console, report)
    for problem in report.problems:
        console.print(f"Problem: {problem}", style="red", markup=False)
    if not report.problems:
        console.print("The base install is complete: ex4d recon, preview and coverage work here.", style="green")


def _print_missing(console: Console, report: Report) -> None:
    """What to do for what is not there: outside the tables and unwrapped, so that commands can be copied."""
    lines = [f"{p.name}: {p.missing}" for p in report.parts if not p.available]
    lines += [f"{e.name}: {', '.join(e.missing)} missing; run: {e.command}" for e in report.extras if e.missing]
    if lines:
        console.print("What is missing, and how to get it", style="bold")
    for line in lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if lines:
        console.print()


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _parts(report: Report) -> Table:
    from rich.text import Text

    table = _table("Engines and depth estimators", "Name", "Kind", "Licence", "State")
    for part in report.parts:
        state = Text("ready", "green") if part.available else Text("not ready", "yellow")
        table.add_row(Text(part.name), part.kind, Text(part.licence), state)
    return table


def _extras(report: Report) -> Table:
    from rich.text import Text

    table = _table("Extras", "Name", "For", "State")
    for extra in report.extras:
        state = Text("not installed", "yellow") if extra.missing else Text("installed", "green")
        table.add_row(Text(extra.name), extra.purpose, state)
    return table


def _packages(report: Report) -> Table:
    from rich.text import Text

    table = _table("Packages in use", "Name", "Version", "Licence")
    for package in report.packages:
        licence = f"{package.licence} ({package.note})" if package.note else package.licence
        table.add_row(Text(package.name), package.version or Text("missing", "red"), Text(licence))
    return table
