"""Rasterizers by name. Naming one loads what it needs; listing them does not."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from ex4d.bands import Pause, no_pause
from ex4d.raster.base import Rasterizer
from ex4d_ground.errors import MissingExtraError, SettingError

if TYPE_CHECKING:
    import torch

    from ex4d.raster.gpu.batch import BatchRasterizer

GPU_RASTERIZERS = {
    "triton": "Ours, on NVIDIA GPUs (Apache-2.0); exact fill rule, as on the CPU.",
    "nvdiffrast": "NVIDIA's rasterizer (NVIDIA source licence, non-commercial use only); the published program's.",
}
"""Names of rasterizers that need a CUDA device, and what people should know of each."""


def list_rasterizers() -> list[str]:
    """Names that :func:`get_rasterizer` knows."""
    return sorted(["cpu", *GPU_RASTERIZERS])


def check_name(name: str) -> None:
    """Raise SettingError for a rasterizer that is not there."""
    if name not in list_rasterizers():
        raise SettingError(f"There is no rasterizer {name!r}; choose one of: {', '.join(list_rasterizers())}.")


def get_rasterizer(name: str, pause: Pause = no_pause) -> Rasterizer:
    """A new rasterizer; it keeps buffers, so use one per thread.

    Raises SettingError for an unknown name, RasterError or MissingExtraError for one that cannot run here. One
    that works in parts calls ``pause`` between them, which may raise; a device cannot be interrupted.
    """
    if name == "cpu":
        from ex4d.raster.cpu import CpuRasterizer

        return CpuRasterizer(pause=pause)
    return get_batch_rasterizer(name)


def get_batch_rasterizer(name: str, device: torch.device | str | None = None) -> BatchRasterizer:
    """A GPU rasterizer, on the current CUDA device by default. Raises as :func:`get_rasterizer`."""
    check_name(name)
    if find_spec("torch") is None:
        raise MissingExtraError(f"The rasterizer {name!r}", "gpu")
    from ex4d.raster.gpu.device import check_device

    found = check_device(name, device)
    if name == "triton":
        from ex4d.raster.gpu.triton_raster import TritonRasterizer

        return TritonRasterizer(found)
    from ex4d.raster.gpu.nvdiffrast_raster import NvdiffrastRasterizer

    return NvdiffrastRasterizer(found)
