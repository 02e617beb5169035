"""Writing a DW-mesh for other programs."""

from pathlib import Path

import numpy as np

from ex4d.dwmesh.mesh import DWMesh
from ex4d_ground.files import atomic_path


def export_ply(mesh: DWMesh, t: int, path: Path) -> None:
    """Write frame ``t`` as a binary PLY with RGBA vertex colours (alpha 0 on hidden vertices; published: 255 on all).

    It lies in the world of the clip, where the source camera of frame 0 stands at the origin.
    The file appears complete or not at all. Raises OutputError if it cannot be written, SettingError for a frame
    the clip does not have.
    """
    import trimesh  # half a second and 30 MB, which no other command needs
    from trimesh.exchange.ply import export_ply as export_ply_bytes

    colors = mesh.colors(t)
    if mesh.options.blank_occluded_colors:
        colors = np.concatenate([colors[:, :3], np.full_like(colors[:, 3:], 255)], axis=1)
    vertices, moving = mesh.vertices(t), mesh.clip.moving_camera
    if moving is not None:
        pose = moving.world_from_camera[t]
        vertices = (vertices @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)
    body = trimesh.Trimesh(vertices, mesh.faces, vertex_colors=colors, process=False)
    data: bytes = export_ply_bytes(body, encoding="binary")
    with atomic_path(path) as partial:
        partial.write_bytes(data)
