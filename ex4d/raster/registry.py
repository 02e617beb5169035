"""Rasterizers by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from ex4d.errors import MissingExtraError, SettingError
from ex4d.raster.bands import Split, serial
from ex4d.raster.base import Rasterizer
from ex4d.raster.gpu.names import GPU_RASTERIZERS


def _cpu(split: Split) -> Rasterizer:
    from ex4d.raster.cpu import CpuRasterizer

    return CpuRasterizer(split)


def _oracle(split: Split) -> Rasterizer:
    del split  # it draws triangle by triangle
    from ex4d.raster.oracle import OracleRasterizer

    return OracleRasterizer()


def _gpu(name: str) -> Callable[[Split], Rasterizer]:
    def factory(split: Split) -> Rasterizer:
        del split  # the device shares the work out by itself
        if find_spec("torch") is None:
            raise MissingExtraError(f"The rasterizer {name!r}", "gpu")
        from ex4d.raster.gpu.guides import get_batch_rasterizer

        return get_batch_rasterizer(name)

    return factory


# Factories, so that naming a rasterizer loads its dependencies and listing them does not.
_FACTORIES: dict[str, Callable[[Split], Rasterizer]] = {
    "cpu": _cpu,
    "oracle": _oracle,
    **{name: _gpu(name) for name in GPU_RASTERIZERS},
}


def list_rasterizers() -> list[str]:
    """Names that :func:`get_rasterizer` knows."""
    return sorted(_FACTORIES)


def get_rasterizer(name: str, split: Split = serial) -> Rasterizer:
    """A new rasterizer; it keeps buffers, so use one per thread.

    Raises SettingError for an unknown name, RasterError or MissingExtraError for one that cannot run here. One
    that works row by row hands its rows to ``split``.
    """
    if name not in _FACTORIES:
        raise SettingError(f"There is no rasterizer {name!r}; choose one of: {', '.join(list_rasterizers())}.")
    return _FACTORIES[name](split)
