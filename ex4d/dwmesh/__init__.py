"""The Depth Watertight Mesh: one grid mesh per frame, closed behind the scene."""

from ex4d.dwmesh.export import export_ply
from ex4d.dwmesh.mesh import FACE_AUTO, FACE_OCCLUDED, FACE_VISIBLE, DWMesh

__all__ = ["FACE_AUTO", "FACE_OCCLUDED", "FACE_VISIBLE", "DWMesh", "export_ply"]
