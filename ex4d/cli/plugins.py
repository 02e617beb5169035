"""Commands from other packages, found by the entry-point group ``ex4d.commands`` and loaded when they are needed.

The library knows no wire and no server; the backend's commands attach themselves here, so that people have one
``ex4d``. An entry point's name is the command's, its object a :class:`typer.Typer`.
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ex4d_ground.errors import Ex4dError

GROUP = "ex4d.commands"


class PluginError(Ex4dError):
    """A command of another package is installed but cannot be loaded."""

    exit_code = 4


class CommandGroup(TyperGroup):
    """The ``ex4d`` group: its own commands first, then what other packages add."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order they are shown."""
        own = super().list_commands(ctx)
        return [*own, *sorted(set(_plugins()) - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, loaded now if it is another package's."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        point = _plugins().get(cmd_name)
        return None if point is None else _load(point)


@cache
def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


@cache
def _load(point: EntryPoint) -> Any:
    try:
        app = point.load()
    except ImportError as error:
        return _broken(point, error)
    command = typer.main.get_command(app)
    command.name = point.name
    return command


def _broken(point: EntryPoint, error: ImportError) -> Any:
    """A stand-in that says why the real command is not there, so that help still works."""

    def explain() -> None:
        raise PluginError(f"The command '{point.name}' cannot be loaded ({error}); install the package again.")

    return TyperCommand(point.name, callback=explain, help="Installed, but cannot be loaded.")
