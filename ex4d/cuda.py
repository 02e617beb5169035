"""What of CUDA and Triton is at hand. Nothing is loaded by looking; torch is only where a device is used."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

INSTALL = {
    "triton": "pip install triton",
    "nvdiffrast": "pip install --no-build-isolation git+https://github.com/NVlabs/nvdiffrast",
}
"""The command that installs what each GPU rasterizer draws with, by its name; of use where there is a device."""


def has_driver() -> bool:
    """Whether NVIDIA's driver is installed and this process may see a device; the driver is not started by asking."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def has_triton() -> bool:
    """Whether Triton is installed (torch for Linux brings it)."""
    return find_spec("triton") is not None


def interpreted() -> bool:
    """Whether Triton was told to run its kernels in Python (TRITON_INTERPRET=1), which needs no GPU and is slow."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def free_bytes(device: torch.device) -> int:
    """Memory of a CUDA device that this process can still take, what torch keeps for its next tensors included."""
    import torch

    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def as_current(device: torch.device) -> AbstractContextManager[Any]:
    """``device`` as the current one, on which Triton starts its kernels; nothing where there is none to choose."""
    import torch

    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
