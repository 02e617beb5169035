"""The GPU a model would run on, asked of the driver's own tool: nothing is loaded onto it by looking."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

_MIB = 1 << 20


@dataclass(frozen=True)
class Gpu:
    """A GPU and its memory in bytes; or several alike that make one shot together, and the memory of each."""

    name: str
    total: int
    free: int
    count: int = 1


def find_gpu() -> Gpu | None:
    """The first NVIDIA GPU that this process may use, or None.

    In a process that has CUDA running already torch is asked, and memory that this process holds counts as free: the
    next job gets it. Otherwise ``nvidia-smi`` is, which takes a few tenths of a second.
    """
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_properties(torch.cuda.current_device()).name
        return Gpu(name, total, free + torch.cuda.memory_reserved())
    return _from_driver(os.environ.get("CUDA_VISIBLE_DEVICES"))


def _from_driver(visible: str | None) -> Gpu | None:
    """``visible`` is CUDA_VISIBLE_DEVICES: indices or names of the GPUs this process may use, None for all."""
    first = None if visible is None else visible.split(",")[0].strip()
    tool = shutil.which("nvidia-smi")
    if tool is None or first in ("", "-1"):
        return None
    command = [tool, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    command += [] if first is None else [f"--id={first}"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_listing(asked.stdout) if asked.returncode == 0 else None


def parse_listing(text: str) -> Gpu | None:
    """The first line of ``name, total, free`` (MiB) that ``nvidia-smi`` prints; None if it says something else."""
    for line in text.splitlines():
        name, *numbers = (part.strip() for part in line.rsplit(",", 2))
        if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
            return Gpu(name, int(numbers[0]) * _MIB, int(numbers[1]) * _MIB)
    return None
