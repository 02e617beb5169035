"""Whether a GPU rasterizer can run here, and one clear sentence where it cannot."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any

import torch

from ex4d.errors import RasterError

NVDIFFRAST_SOURCE = "pip install --no-build-isolation git+https://github.com/NVlabs/nvdiffrast"


def has_triton() -> bool:
    """Whether Triton is installed (torch for Linux brings it)."""
    return find_spec("triton") is not None


def interpreted() -> bool:
    """Whether Triton was told to run its kernels in Python (TRITON_INTERPRET=1), which needs no GPU and is slow."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def as_current(device: torch.device) -> AbstractContextManager[Any]:
    """``device`` as the current one, on which Triton starts its kernels; nothing where there is none to choose."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def check_device(name: str, device: torch.device | str | None = None) -> torch.device:
    """The device rasterizer ``name`` shall run on; the current CUDA device by default. Raises RasterError."""
    if name == "triton" and not has_triton():
        raise RasterError("The rasterizer 'triton' needs Triton, which is not installed; run: pip install triton")
    if name == "nvdiffrast" and find_spec("nvdiffrast") is None:
        raise RasterError(
            "The rasterizer 'nvdiffrast' is not installed; its licence allows non-commercial use only. If that fits, "
            f"run: {NVDIFFRAST_SOURCE}; otherwise use 'triton' or 'cpu'."
        )
    if name == "triton" and interpreted() and device is None:
        return torch.device("cpu")
    wanted = torch.device(device or "cuda")
    if wanted.type == "cpu" and name == "triton" and interpreted():
        return wanted
    if wanted.type != "cuda" or not torch.cuda.is_available():
        found = "none was found" if wanted.type == "cuda" else f"got {wanted}"
        raise RasterError(f"{name} needs a CUDA device, {found}; use --rasterizer cpu.")
    count = torch.cuda.device_count()
    if wanted.index is not None and wanted.index >= count:
        raise RasterError(f"There is no CUDA device {wanted.index}; this machine has {count}, counted from 0.")
    return torch.device("cuda", torch.cuda.current_device() if wanted.index is None else wanted.index)
