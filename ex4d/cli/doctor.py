"""``ex4d doctor``: what is installed, on what terms, what is missing and how to get it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ex4d.cli.console import say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ex4d.doctor import Report


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False) -> None:
    """Show what is installed, the devices, the licence of each part, what is missing and the command that fixes it.

    Downloads nothing and loads no model. Exits with 1 if the base install itself is broken.

    Examples:

      ex4d doctor

      ex4d doctor --json > doctor.json
    """
    from ex4d import doctor as examination

    report = examination.examine()
    if as_json:
        say(json.dumps(asdict(report), indent=2))
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
    for table in _tables(report):
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


def _tables(report: Report) -> Iterator[Table]:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def table(title: str, columns: str, rows: Iterable[tuple[str | Text, ...]]) -> Table:
        made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False)
        for name in columns.split():
            made.add_column(name, overflow="fold")
        for row in rows:
            made.add_row(*row)
        return made

    def state(is_here: bool, here: str, missing: str) -> Text:
        return Text(here, "green") if is_here else Text(missing, "yellow")

    parts = ((Text(p.name), p.kind, Text(p.licence), state(p.available, "ready", "not ready")) for p in report.parts)
    yield table("Engines, depth estimators and rasterizers", "Name Kind Licence State", parts)
    extras = ((Text(e.name), e.purpose, state(not e.missing, "installed", "not installed")) for e in report.extras)
    yield table("Extras", "Name For State", extras)
    licences = (f"{p.licence} ({p.note})" if p.note else p.licence for p in report.packages)
    packages = (
        (Text(p.name), p.version or Text("missing", "red"), Text(licence))
        for p, licence in zip(report.packages, licences, strict=True)
    )
    yield table("Packages in use", "Name Version Licence", packages)
