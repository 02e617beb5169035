"""Rasterizers: draw a coloured surface as a camera sees it. One interface, several implementations."""

from ex4d.raster.base import Camera, Rasterizer, Surface
from ex4d.raster.registry import get_rasterizer, list_rasterizers

__all__ = ["Camera", "Rasterizer", "Surface", "get_rasterizer", "list_rasterizers"]
