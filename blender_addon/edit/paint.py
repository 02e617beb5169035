"""Occlusion paint: which faces count as seen or hidden, whatever their shape says; and the selection it works on.

The backend decides the faces that nobody painted.
"""

from typing import Any

import bpy
import numpy as np

from ex4d_ground.arrays import Bool

from ..scene import mesh
from ..work.errors import AddonError
from .painted import Kind, Span

AUTO, VISIBLE, OCCLUDED = 0, 1, 2
"""Flags as the protocol has them."""

FLAGS = Kind("ex4d_occlusion", "INT8", "FACE", cleared=3)


def paint(
    data: bpy.types.Mesh,
    faces: Bool,  # [F]
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


def selected(elements: Any) -> Bool:  # [N]
    """Which of a mesh's vertices or faces are selected in Edit Mode, as Object Mode remembers it."""
    return mesh.values_of(elements, "select", np.bool_)


def select(data: bpy.types.Mesh, faces: Bool) -> None:  # [F]
    """Select exactly ``faces`` of the grid and their vertices; Object Mode only."""
    vertices = np.zeros(len(data.vertices), np.bool_)
    vertices[mesh.corners(data)[faces]] = True
    _select(data, vertices, faces)


def select_vertices(data: bpy.types.Mesh, vertices: Bool) -> None:  # [V]
    """Select exactly ``vertices`` and the faces between them; Object Mode only."""
    _select(data, vertices, vertices[mesh.corners(data)].all(axis=1))


def _select(data: bpy.types.Mesh, vertices: Bool, faces: Bool) -> None:  # [V], [F]
    joined = vertices[mesh.values_of(data.edges, "vertices", np.int32, width=2)].all(axis=1)
    mesh.clear_selection(data)
    for name, domain, chosen in (
        (".select_vert", "POINT", vertices),
        (".select_edge", "EDGE", joined),
        (".select_poly", "FACE", faces),
    ):
        data.attributes.new(name, "BOOLEAN", domain).data.foreach_set("value", chosen)
    data.update()
