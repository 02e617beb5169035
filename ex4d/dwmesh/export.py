"""Writing a DW-mesh for other programs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import trimesh
from trimesh.exchange.ply import export_ply as export_ply_bytes

from ex4d.dwmesh.mesh import DWMesh
from ex4d.errors import OutputError


def export_ply(mesh: DWMesh, t: int, path: Path) -> None:
    """Write frame ``t`` as a binary PLY with RGBA vertex colours (alpha 0 on hidden vertices).

    The file appears complete or not at all. Raises OutputError if it cannot be written, SettingError for a frame
    the clip does not have.
    """
    body = trimesh.Trimesh(mesh.vertices(t), mesh.faces, vertex_colors=mesh.colors(t), process=False)
    data: bytes = export_ply_bytes(body, encoding="binary")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise OutputError(
            f"The mesh could not be written to {path} ({error.strerror or error}); choose a folder that can be written."
        ) from error
