"""Rasterizers by name."""

from __future__ import annotations

from collections.abc import Callable

from ex4d.errors import SettingError
from ex4d.raster.bands import Split, serial
from ex4d.raster.base import Rasterizer


def _cpu(split: Split) -> Rasterizer:
    from ex4d.raster.cpu import CpuRasterizer

    return CpuRasterizer(split)


def _oracle(split: Split) -> Rasterizer:
    del split  # it draws triangle by triangle
    from ex4d.raster.oracle import OracleRasterizer

    return OracleRasterizer()


# Factories, so that naming a rasterizer loads its dependencies and listing them does not.
_FACTORIES: dict[str, Callable[[Split], Rasterizer]] = {"cpu": _cpu, "oracle": _oracle}


def list_rasterizers() -> list[str]:
    """Names that :func:`get_rasterizer` knows."""
    return sorted(_FACTORIES)


def get_rasterizer(name: str, split: Split = serial) -> Rasterizer:
    """A new rasterizer; it keeps buffers, so use one per thread. Raises SettingError for an unknown name.

    One that works row by row hands its rows to ``split``.
    """
    if name not in _FACTORIES:
        raise SettingError(f"There is no rasterizer {name!r}; choose one of: {', '.join(list_rasterizers())}.")
    return _FACTORIES[name](split)
