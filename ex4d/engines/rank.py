"""One process of a group of devices; started by :func:`ex4d.engines.launch.launch` alone."""

from __future__ import annotations

import argparse
import json
import os
import runpy
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

_LAUNCHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What other libraries would take for a group of their own."""


def main() -> None:
    """Join the others; then run what the group is for, or follow who does."""
    parser = argparse.ArgumentParser(prog="ex4d.engines.rank")
    parser.add_argument("--kind", choices=["cpu", "cuda"], required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--everywhere", action="store_true")
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    from ex4d.processes import end_with_parent

    end_with_parent(args.parent)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    for name in _LAUNCHERS:
        os.environ.pop(name, None)
    if rank > 0:  # a cancel is the leader's to hear
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        from ex4d.engines.group import join

        group = join(rank, size, args.kind, args.folder / "group")
        if rank == 0 or args.everywhere:
            sys.argv = [args.module, *args.arguments]
            code = _run(args.module)
            if rank == 0:
                sys.exit(code)
            _leave(code)
        from ex4d.engines.wan.engine import free_bytes, held_bytes
        from ex4d.engines.wan.leading import follow

        follow(group, lambda: free_bytes(group.device) + held_bytes(group.device))
        _leave(0)
    except Exception as error:
        _note(error)
        raise


def _run(module: str) -> int | str | None:
    """What ``module`` exits with as a program."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code
    return 0


def _leave(code: int | str | None) -> NoReturn:
    """End a process that does not lead, at once: whoever has told the leader to leave waits for all of them, and
    torch's threads may abort the process while the interpreter ends.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _note(error: Exception) -> None:
    """For the launcher, which says which process failed and of what."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        text = "".join(traceback.format_exception_only(error)).strip()
        Path(path).write_text(json.dumps({"message": text, "timestamp": str(int(time.time()))}), encoding="utf-8")


if __name__ == "__main__":
    main()
