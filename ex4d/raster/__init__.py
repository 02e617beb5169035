"""Rasterizers: draw a coloured surface as a camera sees it. One interface, several implementations."""

from ex4d.raster.base import Camera, Rasterizer
from ex4d.raster.choice import AUTO, Choice, choose_rasterizer, describe_rasterizers
from ex4d.raster.registry import GPU_RASTERIZERS, get_rasterizer, list_rasterizers

__all__ = [
    "AUTO",
    "GPU_RASTERIZERS",
    "Camera",
    "Choice",
    "Rasterizer",
    "choose_rasterizer",
    "describe_rasterizers",
    "get_rasterizer",
    "list_rasterizers",
]
