"""Starting the processes of a group of devices with torch's own launcher, which ends them all when one of them dies.

    exit_code = launch(Devices.named("cuda:0+1"), "ex4d", ["run", "shots/010"])

The module's ``main`` runs in the first process alone; the others wait for orders (:mod:`ex4d.engines.rank`). They meet
at a file in a folder of their own and talk over loopback: no port is open to other machines.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from ex4d.device_names import Devices
from ex4d_ground.errors import SettingError

CANCELLED = 130
_GRACE_S = 30
"""What the processes are given to end by themselves, so that a cancel is heard at the next step."""


def launch(devices: Devices, module: str, arguments: Sequence[str], *, everywhere: bool = False) -> int:
    """Run ``module`` with ``arguments`` on ``devices``, and see to it that no process is left. The exit code is its.

    ``everywhere`` runs it in every process. Raises SettingError where there are not as many GPUs, or no Linux.
    """
    require_devices(devices)
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Its own lines on the process that failed say less than what is said below.
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    set_environment(devices)
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # the launcher's own store would listen on every address
    # Older torch has no such setting: it gives its processes 30 seconds by itself.
    grace: dict[str, Any] = (
        {"shutdown_timeout": _GRACE_S} if "shutdown_timeout" in signature(LaunchConfig).parameters else {}
    )
    with tempfile.TemporaryDirectory(prefix="ex4d-group-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=len(devices),
            run_id="group",
            rdzv_backend="c10d",
            rdzv_endpoint=str(Path(folder) / "launcher"),
            rdzv_configs={"store_type": "file"},
            max_restarts=0,
            local_addr="127.0.0.1",
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            **grace,
        )
        ours = ["--kind", devices.kind, "--folder", folder, "--parent", str(os.getpid())]
        command = ["-m", "ex4d.engines.rank", *ours, *(["--everywhere"] if everywhere else []), module, *arguments]
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            return _told(devices, error)
        except SignalException as error:
            return CANCELLED if error.sigval in (signal.SIGINT, signal.SIGTERM) else 1
    return 0


def set_environment(devices: Devices) -> None:
    """What this process and those of the group that it starts need: loopback alone, a share of the processor each."""
    for library in ("GLOO", "NCCL"):
        os.environ.setdefault(f"{library}_SOCKET_IFNAME", "lo")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // len(devices))))


def show_only(devices: Devices) -> None:
    """Have this process and those it starts see these GPUs alone, counted among those that it sees now."""
    if devices.kind == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = None if given is None else [name.strip() for name in given.split(",")]
    if names is not None and max(devices.indices) >= len(names):
        raise SettingError(f"{devices.name} names more GPUs than CUDA_VISIBLE_DEVICES={given} shows.")
    chosen = devices.visible if names is None else ",".join(names[index] for index in devices.indices)
    os.environ["CUDA_VISIBLE_DEVICES"] = chosen


def require_devices(devices: Devices) -> None:
    """Raise SettingError where there are not as many GPUs, or no Linux."""
    if sys.platform != "linux":
        raise SettingError(f"Several GPUs work on one shot on Linux alone; name one instead of {devices.name}.")
    if devices.kind == "cpu":
        return
    import torch

    found = torch.cuda.device_count()
    if found < len(devices):
        raise SettingError(f"{devices.name} names {len(devices)} GPUs, and {found} of them can be used here.")


def _told(devices: Devices, error: Any) -> int:
    """The exit code of what failed first; what the leader has not told of itself is told here."""
    rank, first = error.get_first_failure()
    if rank == 0 and first.exitcode > 0:
        return int(first.exitcode)
    if first.exitcode < 0:
        how = f"was ended by signal {-first.exitcode}"
    else:
        lines = str(first.message).strip().splitlines() or [""]
        how = f"failed ({lines[-1]})"
    sys.stderr.write(f"The process on {devices.one(rank)} {how}; the others were ended with it.\n")
    sys.stderr.flush()
    return 1
