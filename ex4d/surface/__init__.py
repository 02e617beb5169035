"""What lies between meshes and rasterizers: a coloured triangle surface.

``ex4d.surface.batch`` holds surfaces of many frames on one device; it needs torch and is not imported from here.
"""

from ex4d.surface.base import Surface, SurfacePair, cap_faces, grid_faces
from ex4d.surface.flags import QUAD_DROP, QUAD_HIDE_LOWER, QUAD_HIDE_UPPER

__all__ = ["QUAD_DROP", "QUAD_HIDE_LOWER", "QUAD_HIDE_UPPER", "Surface", "SurfacePair", "cap_faces", "grid_faces"]
