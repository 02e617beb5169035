"""Rasterizers by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from ex4d.errors import MissingExtraError, SettingError
from ex4d.raster.bands import Pause, no_pause
from ex4d.raster.base import Rasterizer
from ex4d.raster.gpu.names import GPU_RASTERIZERS


def _cpu(pause: Pause) -> Rasterizer:
    from ex4d.raster.cpu import CpuRasterizer

    return CpuRasterizer(pause=pause)


def _oracle(pause: Pause) -> Rasterizer:
    del pause  # for tests
    from ex4d.raster.oracle import OracleRasterizer

    return OracleRasterizer()


def _gpu(name: str) -> Callable[[Pause], Rasterizer]:
    def factory(pause: Pause) -> Rasterizer:
        del pause  # the device cannot be interrupted
        if find_spec("torch") is None:
            raise MissingExtraError(f"The rasterizer {name!r}", "gpu")
        from ex4d.raster.gpu.guides import get_batch_rasterizer

        return get_batch_rasterizer(name)

    return factory


# Factories, so that naming a rasterizer loads its dependencies and listing them does not.
_FACTORIES: dict[str, Callable[[Pause], Rasterizer]] = {
    "cpu": _cpu,
    "oracle": _oracle,
    **{name: _gpu(name) for name in GPU_RASTERIZERS},
}


def list_rasterizers() -> list[str]:
    """Names that :func:`get_rasterizer` knows."""
    return sorted(_FACTORIES)


def get_rasterizer(name: str, pause: Pause = no_pause) -> Rasterizer:
    """A new rasterizer; it keeps buffers, so use one per thread.

    Raises SettingError for an unknown name, RasterError or MissingExtraError for one that cannot run here. One
    that works in parts calls ``pause`` between them, which may raise.
    """
    if name not in _FACTORIES:
        raise SettingError(f"There is no rasterizer {name!r}; choose one of: {', '.join(list_rasterizers())}.")
    return _FACTORIES[name](pause)
