"""Starts the processes of one worker on several devices, and ends with the server as any child does."""

import os

from ex4d.device_names import Devices
from ex4d.engines.launch import launch
from ex4d.processes import end_with_parent
from ex4d_backend.child import child_arguments


def main(argv: list[str] | None = None) -> None:
    """Entry point of ``python -m ex4d_backend.group_process``; started by the server only."""
    parser = child_arguments("ex4d_backend.group_process")
    parser.add_argument("--device", required=True)
    args = parser.parse_args(argv)
    end_with_parent(args.parent)
    own = {
        "server": args.server,
        "parent": os.getpid(),
        "threads": args.threads,
        "rasterizer": args.rasterizer,
        "device": args.device,
    }
    arguments = [word for name, value in own.items() for word in (f"--{name}", str(value))]
    raise SystemExit(launch(Devices.named(args.device), "ex4d_backend.worker", arguments))


if __name__ == "__main__":
    main()
