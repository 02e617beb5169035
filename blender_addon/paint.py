"""Occlusion paint: which faces count as seen or hidden, whatever their shape says; and the selection it works on.

The backend decides the faces that nobody painted.
"""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray

from . import mesh
from .errors import AddonError
from .painted import Kind, Span

Int8 = NDArray[np.int8]

AUTO, VISIBLE, OCCLUDED = 0, 1, 2
"""Flags as the protocol has them."""

FLAGS = Kind("ex4d_occlusion", "INT8", "FACE", cleared=3)


def paint(
    data: bpy.types.Mesh,
    faces: NDArray[np.bool_],  # [F]
    flag: int,
    span: Span | None,
) -> int:
    """Give ``faces`` a flag in ``span``, or in the whole shot; Object Mode only. Returns how many faces were given it.

    Painting the whole shot takes the faces out of every range. Raises AddonError if no face is chosen.
    """
    count = int(faces.sum())
    if not count:
        raise AddonError("No face is selected; select the faces to paint in Edit Mode.")
    FLAGS.paint(data, faces, flag, span)
    return count


def flags_at(data: bpy.types.Mesh, frame: int) -> Int8 | None:  # [F]
    """The flags of source frame ``frame``; None if nothing is painted there."""
    flags = FLAGS.values_at(data, frame)
    return flags if flags is not None and flags.any() else None


def selected_faces(data: bpy.types.Mesh) -> NDArray[np.bool_]:  # [F]
    """The faces selected in Edit Mode, as Object Mode remembers them."""
    out = np.empty(len(data.polygons), np.bool_)
    data.polygons.foreach_get("select", out)
    return out


def selected_vertices(data: bpy.types.Mesh) -> NDArray[np.bool_]:  # [V]
    """The vertices selected in Edit Mode, as Object Mode remembers them."""
    out = np.empty(len(data.vertices), np.bool_)
    data.vertices.foreach_get("select", out)
    return out


def select_painted(data: bpy.types.Mesh, frame: int, flag: int) -> int:
    """Select exactly the faces with ``flag`` at source frame ``frame``; returns how many. Object Mode only."""
    flags = flags_at(data, frame)
    chosen = np.zeros(len(data.polygons), np.bool_) if flags is None else flags == flag
    select(data, chosen)
    return int(chosen.sum())


def select(data: bpy.types.Mesh, faces: NDArray[np.bool_]) -> None:  # [F]
    """Select exactly ``faces`` of the grid and their vertices; Object Mode only."""
    vertices = np.zeros(len(data.vertices), np.bool_)
    vertices[_corners(data)[faces]] = True
    _select(data, vertices, faces)


def select_vertices(data: bpy.types.Mesh, vertices: NDArray[np.bool_]) -> None:  # [V]
    """Select exactly ``vertices`` and the faces between them; Object Mode only."""
    _select(data, vertices, vertices[_corners(data)].all(axis=1))


def _corners(data: bpy.types.Mesh) -> NDArray[np.int32]:  # [F, 3]
    corners = np.empty(len(data.loops), np.int32)
    data.loops.foreach_get("vertex_index", corners)
    return corners.reshape(-1, 3)


def _select(data: bpy.types.Mesh, vertices: NDArray[np.bool_], faces: NDArray[np.bool_]) -> None:  # [V], [F]
    ends = np.empty(2 * len(data.edges), np.int32)
    data.edges.foreach_get("vertices", ends)
    joined = vertices[ends.reshape(-1, 2)].all(axis=1)
    mesh.clear_selection(data)
    for name, domain, chosen in (
        (".select_vert", "POINT", vertices),
        (".select_edge", "EDGE", joined),
        (".select_poly", "FACE", faces),
    ):
        data.attributes.new(name, "BOOLEAN", domain).data.foreach_set("value", chosen)
    data.update()
