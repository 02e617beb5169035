"""``ex4d-backend``: the command line of the server."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ex4d import __version__
from ex4d.cli.console import forgiving_output
from ex4d.cli.options import refuse_empty_words
from ex4d_backend.cli import keys as keys_cli
from ex4d_backend.guardian import UNEXPECTED, Guarded, Guardian, is_wanted
from ex4d_backend.logs import start_logging
from ex4d_backend.process_ids import is_alive
from ex4d_backend.settings import ServerSettings, load_settings
from ex4d_ground.addresses import DEFAULT_ADDRESS
from ex4d_ground.errors import Ex4dError
from ex4d_ground.files import atomic_path

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, invoke_without_command=True)

app.add_typer(keys_cli.app, name="keys")


@app.callback(
    help="Run the EX-4D backend: it takes jobs from Blender (or any client of the protocol) and runs them on this "
    "machine's devices. Settings come from --config (TOML), then EX4D_BACKEND_<NAME> variables, then these options; "
    "--check-config shows what results, backend.example.toml explains every setting. SIGTERM lets running jobs end, "
    "a second one leaves at once. A server that a crash has ended is started again on the same port. "
    "Exit codes: 0 ended as asked, 1 failed, 2 bad settings, 3 cannot write or listen."
)
def serve(
    context: typer.Context,
    address: Annotated[
        str | None, typer.Option(help=f"Control socket; {DEFAULT_ADDRESS} unless set. Port 'auto': a free one.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder for jobs, results and uploads.")] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="cpu, cuda:N, cuda:N+M (one shot on both) or auto; repeat for several workers."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="[ADDRESS]", help="Workers on a Ray cluster: HOST:PORT, local, or auto (if left out)."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    port_file: Annotated[Path | None, typer.Option(help="Write the control address there once it listens.")] = None,
    exit_with_parent: Annotated[int | None, typer.Option(metavar="PID", help="Leave when this process ends.")] = None,
    check_config: Annotated[
        bool, typer.Option("--check-config", help="Check the settings, print them, leave.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Start the server, unless a subcommand was given."""
    if context.invoked_subcommand is not None:
        return
    if version:
        typer.echo(f"ex4d-backend {__version__}")
        return
    overrides: dict[str, Any] = {
        "address": address,
        "data_dir": str(data_dir) if data_dir else None,
        "devices": tuple(device) if device else None,
        "ray": ray,
        "log_level": log_level,
    }
    settings = load_settings(config, overrides=overrides)
    if check_config:
        _check_devices(settings)
        for name, value in msgspec.to_builtins(settings).items():
            typer.echo(f"{name} = {value!r}")
        typer.echo(f"Settings are valid; data folder: {settings.folder}")
        return
    start_logging(settings.log_level, settings.log_format)
    guarded = Guarded()
    if not guarded.by_guardian and is_wanted(settings.guardian, parent=exit_with_parent):
        raise SystemExit(Guardian().run())
    try:
        _serve(settings, guarded, port_file=port_file, parent=exit_with_parent)
    except Exception as error:
        if not guarded.by_guardian or isinstance(error, Ex4dError):
            raise
        logging.getLogger("ex4d_backend").exception("the server ends by a fault")
        raise SystemExit(UNEXPECTED) from None


def _check_devices(settings: ServerSettings) -> None:
    """Raise SettingError as a start would for devices that there cannot be."""
    from ex4d_backend.devices import wanted_devices

    if not settings.ray:
        wanted_devices(settings.devices)


def _serve(settings: ServerSettings, guarded: Guarded, *, port_file: Path | None, parent: int | None) -> None:
    from ex4d.allocation import give_back_large_blocks
    from ex4d_backend.child_messages import UMASK_VARIABLE
    from ex4d_backend.server import Server
    from ex4d_backend.server_process import LARGE_BYTES, SPARE_BYTES

    give_back_large_blocks(LARGE_BYTES, spare_bytes=SPARE_BYTES)
    # Whatever it and its processes write is for this user alone; weights are for whom they would have been.
    os.environ[UMASK_VARIABLE] = f"{os.umask(0o077):o}"
    sys.setswitchinterval(0.0005)  # the loop must not wait long for a thread that hashes or deletes
    server = Server(settings, still_wanted=lambda: parent is None or is_alive(parent), guarded=guarded)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.ask_to_stop())
    if port_file is not None:
        with atomic_path(port_file) as path:
            path.write_text(server.address + "\n", encoding="utf-8")
    typer.echo(f"EX-4D backend {__version__} listens on {server.address} (data folder {settings.folder})")
    for notice in server.notices:
        typer.echo(notice)
    sys.stdout.flush()
    gc.collect()
    gc.freeze()  # a full collection over everything imported would stop the loop for tens of milliseconds
    server.run()


def with_ray_address(arguments: Sequence[str]) -> list[str]:
    """``--ray`` without an address means the cluster that this machine is part of."""
    given = list(arguments)
    for i in reversed([i for i, word in enumerate(given) if word == "--ray"]):
        if i + 1 == len(given) or given[i + 1].startswith("-"):
            given.insert(i + 1, "auto")
    return given


def main() -> None:
    """Entry point; a known error is one sentence and its exit code."""
    forgiving_output()
    try:
        refuse_empty_words(sys.argv[1:])
        app(args=with_ray_address(sys.argv[1:]))
    except Ex4dError as error:
        typer.echo(f"ex4d-backend: {error.text('cli')}", err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
