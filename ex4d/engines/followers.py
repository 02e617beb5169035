"""A group of devices whose leader is a process that runs already: a Ray actor, which nothing can start by a launcher.

    lead(Devices.named("cuda:0+1"), folder)

The others are started as :mod:`ex4d.engines.launch` has them started, and wait for orders (:mod:`ex4d.engines.rank`).
There is no launcher to end them all when one of them dies: the leader does, by ending itself, and its parent's signal
ends the others.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from ex4d.device_names import Devices
from ex4d.engines.launch import require_devices, set_environment

_LOOK_S = 0.5
MODULE = "ex4d.engines.rank"


def lead(devices: Devices, folder: Path) -> None:
    """Have this process lead a group on ``devices`` for the rest of its life: it sees them as GPUs 0, 1, ...

    They meet at a file in ``folder``, which is the caller's to remove when this process has ended. Once one of the
    others has ended, this process ends, too (exit code 1): whoever started it starts it again. Raises SettingError
    where there are not as many GPUs, or no Linux.
    """
    require_devices(devices)
    set_environment(devices)
    # On a thread that lasts: the system tells children of their parent's end when the thread that made them ends.
    threading.Thread(target=_keep_others, args=(devices, folder), name="followers", daemon=True).start()
    from ex4d.engines.group import join

    join(0, len(devices), devices.kind, folder / "group")


def _keep_others(devices: Devices, folder: Path) -> None:
    """Start the others, and end this process with the first of them that ends."""
    arguments = ["--kind", devices.kind, "--folder", str(folder), "--parent", str(os.getpid()), "the-leader-runs"]
    others = [
        subprocess.Popen(
            [sys.executable, "-m", MODULE, *arguments],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": str(len(devices))},
            stdin=subprocess.DEVNULL,
        )
        for rank in range(1, len(devices))
    ]
    while all(other.poll() is None for other in others):
        time.sleep(_LOOK_S)
    place = next(i for i, other in enumerate(others) if other.poll() is not None)
    code = others[place].returncode
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    sys.stderr.write(f"The process on {devices.one(place + 1)} {how}; the others are ended with it.\n")
    sys.stderr.flush()
    os._exit(1)
