"""Write docs/cli.md, the reference of every command, from the commands themselves.

python scripts/docs_cli.py [--check] [--output docs/cli.md]
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

os.environ["TERM"], os.environ["COLUMNS"] = "dumb", "100"

from typer.main import get_command  # noqa: E402
from written_page import write_or_check  # noqa: E402

from ex4d.engines import list_engines  # noqa: E402

HEAD = """# Command line

<!-- Written by scripts/docs_cli.py: change the commands' own help, not this page. -->

`ex4d COMMAND --help` says the same. Options may be written with `-` or `_` between words. Long commands stop with
Ctrl-C and leave nothing half-written.
"""
ENGINES = """
## Engine settings

For `--set NAME=VALUE` of the commands that generate. The panel in Blender builds its controls from the same list.
"""


def main() -> int:
    """Write or check the page; returns the exit code."""
    return write_or_check(Path(__file__).name, __doc__ or "", "cli.md", page)


def page() -> str:
    """The whole page."""
    from ex4d.cli.app import app
    from ex4d_backend.__main__ import app as backend_app

    parts = [HEAD]
    for name, command in (("ex4d", get_command(app)), ("ex4d-backend", get_command(backend_app))):
        parts += [described(path, each) for path, each in walk(name, command)]
    parts.append(ENGINES)
    parts += [engine_settings(info) for info in list_engines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The command and every command below it, with their full names."""
    yield path, command
    if hasattr(command, "list_commands"):
        context = command.context_class(command, info_name=path)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from walk(f"{path} {name}", child)


def described(path: str, command: Any) -> str:
    """One command: its text, its usage, its options by panel."""
    is_group = hasattr(command, "list_commands")
    level = "##" if path.count(" ") < 2 else "###"
    paragraphs = [" ".join(part.split()) for part in (command.help or "").split("\n\n") if part.strip()]
    text = [part for part in paragraphs if part != "Examples:" and not part.startswith("ex4d ")]
    examples = [part for part in paragraphs if part.startswith("ex4d ")]
    arguments = [argument_text(p) for p in command.params if is_argument(p)]
    usage = " ".join([path, *(["COMMAND"] if is_group else []), *arguments, "[OPTIONS]"])
    parts = [f"{level} {path}", *text, f"```\n{usage}\n```"]
    if examples:
        parts.append("Examples:\n\n```\n" + "\n".join(wrapped(each) for each in examples) + "\n```")
    for title, parameters in panels(command).items():
        parts.append((f"**{title}**\n\n" if title else "") + table(parameters))
    return "\n\n".join(parts) + "\n"


def wrapped(command: str, *, width: int = 92) -> str:
    """A command on as many lines as a page is wide, broken before options in the shell's way."""
    lines, line = [], ""
    for part in re.split(r" (?=-)", command):
        longer = f"{line} {part}" if line else part
        if line and len(longer) > width:
            lines.append(line)
            longer = f"  {part}"
        line = longer
    return " \\\n".join([*lines, line])


def is_argument(parameter: Any) -> bool:
    """Whether it stands without a name on the command line."""
    return not parameter.opts[0].startswith("-")


def argument_text(parameter: Any) -> str:
    """An argument as the usage line shows it."""
    name = (parameter.metavar or parameter.name or "").strip("[]").removesuffix("...").upper()
    shown = name + ("..." if parameter.nargs == -1 else "")
    return shown if parameter.required else f"[{shown}]"


def panels(command: Any) -> dict[str, list[Any]]:
    """Parameters by their panel, in order; what belongs to the shell is left out."""
    found: dict[str, list[Any]] = {}
    for parameter in command.params:
        hidden = getattr(parameter, "hidden", False) or parameter.name in (
            "install_completion",
            "show_completion",
            "help",
        )
        if not hidden:
            found.setdefault(getattr(parameter, "rich_help_panel", None) or "", []).append(parameter)
    return found


def table(parameters: list[Any]) -> str:
    """A table of options."""
    lines = ["| option | value | what it is |", "|---|---|---|"]
    for parameter in parameters:
        names = (
            argument_text(parameter)
            if is_argument(parameter)
            else ", ".join((*parameter.opts, *parameter.secondary_opts))
        )
        flag = getattr(parameter, "is_flag", False)
        value = "" if flag or is_argument(parameter) else value_text(parameter)
        help_text = " ".join((parameter.help or "").split())
        notes = [*(["required"] if parameter.required else []), *default_note(parameter), *environment_note(parameter)]
        if notes:
            help_text = f"{help_text} *({'; '.join(notes)})*"
        lines.append(f"| `{names}` | {cell(f'`{value}`' if value else '')} | {cell(help_text)} |")
    return "\n".join(lines)


def value_text(parameter: Any) -> str:
    """What to write after the option's name."""
    if parameter.metavar:
        return str(parameter.metavar)
    annotation = parameter.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(str(choice.value) for choice in annotation)
    if get_origin(annotation) is Literal:
        return ", ".join(str(choice) for choice in get_args(annotation))
    return {Path: "PATH", str: "TEXT", int: "NUMBER", float: "NUMBER"}.get(annotation, "TEXT")


def default_note(parameter: Any) -> list[str]:
    """The default, where it is worth showing and the help does not say it."""
    value = parameter.default
    if (
        not parameter.show_default
        or value is None
        or isinstance(value, bool)
        or value == ()
        or value == []
        or callable(value)
    ):
        return []
    value = getattr(value, "value", value)
    return [] if "Default:" in (parameter.help or "") or value == "" else [f"default: `{value}`"]


def environment_note(parameter: Any) -> list[str]:
    """The variable that sets it, if there is one."""
    return [f"environment: `{parameter.envvar}`"] if parameter.envvar else []


def engine_settings(info: Any) -> str:
    """One engine's settings. Raises SystemExit for an engine that cannot say them here."""
    if not info.settings:
        raise SystemExit(f"The engine {info.name} cannot say its settings here: {info.missing}")
    lines = [
        f"### {info.name}: settings",
        "",
        info.title + ".",
        "",
        "| setting | type | default | what it is |",
        "|---|---|---|---|",
    ]
    for setting in info.settings:
        kind = " / ".join(f"`{choice}`" for choice in setting.choices) if setting.choices else setting.kind
        if setting.minimum is not None and setting.maximum is not None:
            kind += f", {setting.minimum:g} to {setting.maximum:g}"
        default = str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default)
        lines.append(f"| `{setting.name}` | {kind} | {cell(default)} | {cell(setting.help)} |")
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Text for a table's cell."""
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
