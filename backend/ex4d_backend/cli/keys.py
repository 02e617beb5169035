"""``ex4d keys`` and ``ex4d-backend keys``: who may connect to an encrypted backend."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ex4d_backend.settings import load_settings

if TYPE_CHECKING:  # else whoever starts a server has ZeroMQ and numpy in memory before it needs them
    from ex4d_backend.keys import KeyRing

app = typer.Typer(
    help="Allow and shut out clients of an encrypted backend (curve = true). Run it where the backend runs.",
    no_args_is_help=True,
    add_completion=False,
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Of a client, such as workstation-1: letters, digits, - and _.", show_default=False
    ),
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="The backend's data folder.")]
Config = Annotated[Path | None, typer.Option("--config", help="The backend's TOML file of settings.")]


def _ring(data_dir: Path | None, config: Path | None) -> "KeyRing":
    from ex4d_backend.keys import KeyRing

    overrides = {"data_dir": str(data_dir) if data_dir else None}
    return KeyRing(load_settings(config, overrides=overrides).folder)


@app.command("new")
def new(name: Name, data_dir: DataDir = None, config: Config = None) -> None:
    """Allow a client and print its keys: hand them over safely, they are not kept here."""
    typer.echo(_ring(data_dir, config).new(name), nl=False)


@app.command("list")
def list_keys(data_dir: DataDir = None, config: Config = None) -> None:
    """Print the names of all allowed clients."""
    for name in _ring(data_dir, config).names():
        typer.echo(name)


@app.command("revoke")
def revoke(name: Name, data_dir: DataDir = None, config: Config = None) -> None:
    """Shut a client out at once, also if it is connected."""
    _ring(data_dir, config).revoke(name)
    typer.echo(f"{name} is shut out.")
