"""Whether a GPU rasterizer can run here, and one clear sentence where it cannot."""

from importlib.util import find_spec

import torch

from ex4d.cuda import INSTALL, has_triton, interpreted
from ex4d_ground.errors import RasterError
from ex4d_ground.remedies import run_command, use_cpu_rasterizer


def check_device(name: str, device: torch.device | str | None = None) -> torch.device:
    """The device rasterizer ``name`` shall run on; the current CUDA device by default. Raises RasterError."""
    on_cpu = name == "triton" and interpreted()
    wanted = torch.device(device or ("cpu" if on_cpu else "cuda"))
    if not (on_cpu and wanted.type == "cpu") and (wanted.type != "cuda" or not torch.cuda.is_available()):
        found = "none was found" if wanted.type == "cuda" else f"got {wanted}"
        raise RasterError(f"{name} needs a CUDA device, {found}.", remedy=use_cpu_rasterizer())
    _require_program(name)
    if wanted.type == "cpu":
        return wanted
    count = torch.cuda.device_count()
    if wanted.index is not None and wanted.index >= count:
        raise RasterError(f"There is no CUDA device {wanted.index}; this machine has {count}, counted from 0.")
    return torch.device("cuda", torch.cuda.current_device() if wanted.index is None else wanted.index)


def _require_program(name: str) -> None:
    """Raise RasterError with the command that installs it, unless what ``name`` draws with is installed."""
    if name == "triton" and not has_triton():
        text = "The rasterizer 'triton' needs Triton, which is not installed."
        raise RasterError(text, remedy=run_command(INSTALL[name]))
    if name == "nvdiffrast" and find_spec("nvdiffrast") is None:
        raise RasterError(
            "The rasterizer 'nvdiffrast' is not installed: use 'triton' or 'cpu', unless its licence, which allows "
            "non-commercial use only, fits.",
            remedy=run_command(INSTALL[name]),
        )
