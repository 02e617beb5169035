"""Writing a DW-mesh for other programs."""

from pathlib import Path

import numpy as np
import trimesh
from trimesh.exchange.ply import export_ply as export_ply_bytes

from ex4d.dwmesh.mesh import DWMesh
from ex4d_ground.files import atomic_path


def export_ply(mesh: DWMesh, t: int, path: Path) -> None:
    """Write frame ``t`` as a binary PLY with RGBA vertex colours (alpha 0 on hidden vertices; published: 255 on all).

    The file appears complete or not at all. Raises OutputError if it cannot be written, SettingError for a frame
    the clip does not have.
    """
    colors = mesh.colors(t)
    if mesh.options.blank_occluded_colors:
        colors = np.concatenate([colors[:, :3], np.full_like(colors[:, 3:], 255)], axis=1)
    body = trimesh.Trimesh(mesh.vertices(t), mesh.faces, vertex_colors=colors, process=False)
    data: bytes = export_ply_bytes(body, encoding="binary")
    with atomic_path(path) as partial:
        partial.write_bytes(data)
