"""What lies between meshes and rasterizers: a coloured triangle surface.

``ex4d.surface.batch`` holds surfaces of many frames on one device; it needs torch and is not imported from here.
"""

from ex4d.surface.base import QUAD_DROP, QUAD_HIDE_LOWER, QUAD_HIDE_UPPER, Surface, cap_faces, grid_faces

__all__ = ["QUAD_DROP", "QUAD_HIDE_LOWER", "QUAD_HIDE_UPPER", "Surface", "cap_faces", "grid_faces"]
