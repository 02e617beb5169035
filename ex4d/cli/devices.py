"""``--devices``: a command that several GPUs carry out together."""

from __future__ import annotations

from typing import Annotated

import typer

from ex4d.cli.options import panel
from ex4d.device_names import Devices

DevicesOption = Annotated[
    str | None,
    panel(None)(
        "--devices", "GPUs that make each shot together: cuda:0+1, or one: cuda:1. Default: the first of this process."
    ),
]


def on_devices(name: str | None, context: typer.Context) -> None:
    """Have this command run on the devices of that name; where they are several, in processes of their own.

    Then this process waits for them and raises typer.Exit with the command's exit code; in the one of them that has the
    command to itself nothing happens. Raises SettingError.
    """
    from ex4d.engines.members import joined

    if name is None or joined() is not None:
        return
    from ex4d.engines.launch import launch, show_only

    devices = Devices.named(name)
    show_only(devices)
    if len(devices) > 1:
        raise typer.Exit(launch(devices, "ex4d", context.find_root().obj))
