"""The DW-mesh as a Blender mesh: shared grid topology, positions from a PC2 Mesh Cache.

Playback runs no Python: a Mesh Cache modifier overwrites the positions per frame, and the user's own modifiers
follow it. Vertices stay in EX-4D's camera space; the shot's Empty turns them into Blender's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np

from ex4d_ground.arrays import Float32, Int32
from ex4d_ground.grids import grid_of

from ..work.errors import AddonError
from .axes import grid_uv
from .topology import NUM_CAPS, Topology, topology

CACHE_NAME = "EX-4D Cache"


def build_mesh(
    name: str,
    vertices: Float32,  # [V, 3] first frame, EX-4D camera space
    faces: Int32,  # [F, 3] grid faces, then the caps
    *,
    width: int,
    height: int,
    side: int = 0,
) -> bpy.types.Mesh:
    """A mesh of the grid's faces with UVs on texel centres; caps use material slot 1.

    ``width`` and ``height`` are the clip's, ``side`` the grid's (0: a vertex per pixel). Raises AddonError if the faces
    do not belong to that grid.
    """
    grid = grid_of(width, height, side)
    count = grid.num_vertices
    if vertices.shape != (count, 3) or faces.ndim != 2 or faces.shape[1] != 3 or not len(faces):
        raise AddonError(
            f"The backend's mesh ({vertices.shape[0]} vertices, {faces.shape} faces) does not fit a clip of "
            f"{width}x{height} with {grid.width}x{grid.height} vertices; connect to a backend of the same version."
        )
    if faces.min() < 0 or faces.max() >= count:
        raise AddonError(f"The backend's faces name vertices outside 0..{count - 1}; import the clip again.")
    made = topology(width, height, side)
    if np.array_equal(faces, made.faces):
        return grid_mesh(name, vertices, made)
    mesh = joined(name, vertices, faces, grid_uv(width, height, side))
    slots = np.zeros(len(faces), np.int32)
    slots[-NUM_CAPS:] = 1
    mesh.polygons.foreach_set("material_index", slots)
    return mesh


def joined(
    name: str,
    vertices: Float32,  # [V, 3]
    faces: Int32,  # [F, 3]
    uv: Float32,  # [V, 2]
) -> bpy.types.Mesh:
    """A mesh of any triangles whose corners have their vertex's UV. Blender finds the edges, which takes its time."""
    flat = np.ascontiguousarray(faces, np.int32).ravel()
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(vertices))
    mesh.loops.add(flat.size)
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.arange(0, flat.size, 3, dtype=np.int32))
    mesh.loops.foreach_set("vertex_index", flat)
    layer = mesh.uv_layers.new(name="Footage", do_init=False)
    layer.data.foreach_set("uv", uv[flat].ravel())
    mesh.update(calc_edges=True)
    set_positions(mesh, vertices)
    clear_selection(mesh)
    return mesh


def grid_mesh(name: str, vertices: Float32, made: Topology) -> bpy.types.Mesh:  # [V, 3]
    """The mesh of a grid, its edges included. Written as attributes: five times as fast as by the collections."""
    mesh = bpy.data.meshes.new(name)
    faces = len(made.faces)
    mesh.vertices.add(len(vertices))
    mesh.edges.add(len(made.edges))
    mesh.loops.add(3 * faces)
    mesh.polygons.add(faces)
    mesh.polygons.foreach_set("loop_start", np.arange(0, 3 * faces, 3, dtype=np.int32))
    slots = np.zeros(faces, np.int32)
    slots[-NUM_CAPS:] = 1
    mesh.uv_layers.new(name="Footage", do_init=False)
    for attribute, kind, domain, field, values in (
        (".corner_vert", "INT", "CORNER", "value", made.faces),
        (".corner_edge", "INT", "CORNER", "value", made.corner_edges),
        (".edge_verts", "INT32_2D", "EDGE", "value", made.edges),
        ("material_index", "INT", "FACE", "value", slots),
        ("Footage", "FLOAT2", "CORNER", "vector", made.uv),
    ):
        found = mesh.attributes.get(attribute) or mesh.attributes.new(attribute, kind, domain)
        found.data.foreach_set(field, np.ascontiguousarray(values).ravel())
    set_positions(mesh, vertices)
    clear_selection(mesh)
    return mesh


def clear_selection(mesh: bpy.types.Mesh) -> None:
    """Select nothing in Edit Mode: a new mesh has all selected.

    Blender 5.0 makes the edges' selection with a wrong type, and writing to it crashes: it must go in any case.
    """
    for name in (".select_vert", ".select_edge", ".select_poly"):
        attribute = mesh.attributes.get(name)
        if attribute is not None:
            mesh.attributes.remove(attribute)


def add_cache(obj: bpy.types.Object, path: str, *, frame_start: int) -> bpy.types.Modifier:
    """The Mesh Cache modifier that plays a PC2 file from ``frame_start``, without blending between frames."""
    cache = obj.modifiers.new(CACHE_NAME, "MESH_CACHE")
    cache.cache_format = "PC2"
    cache.filepath = path
    cache.deform_mode = "OVERWRITE"
    cache.interpolation = "NONE"
    cache.time_mode = "FRAME"
    cache.play_mode = "SCENE"
    cache.frame_start = frame_start
    cache.frame_scale = 1.0
    return cache


def evaluated_positions(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> Float32:
    """Positions [V, 3] of the object with all its modifiers, in the shot's space (EX-4D camera space)."""
    with evaluated_mesh(obj.evaluated_get(depsgraph)) as mesh:
        return positions(mesh)


@contextmanager
def evaluated_mesh(evaluated: bpy.types.Object) -> Iterator[bpy.types.Mesh]:
    """The mesh of an evaluated object, for as long as the block lasts. Raises RuntimeError for one without faces."""
    made = evaluated.to_mesh()
    try:
        yield made
    finally:
        evaluated.to_mesh_clear()


def values_of(elements: Any, name: str, dtype: type[np.generic], *, width: int = 1) -> Any:  # [N], or [N, width]
    """One field of all of a mesh's vertices, loops, faces or of an attribute's values."""
    out = np.empty(len(elements) * width, dtype)
    elements.foreach_get(name, out)
    return out.reshape(-1, width) if width > 1 else out


def positions(mesh: bpy.types.Mesh) -> Float32:  # [V, 3]
    """Positions of a mesh's vertices; the attribute is by far the faster way."""
    attribute = mesh.attributes.get("position")
    if attribute is None:  # before 3.5
        return values_of(mesh.vertices, "co", np.float32, width=3)
    return values_of(attribute.data, "vector", np.float32, width=3)


def corners(mesh: bpy.types.Mesh) -> Int32:  # [F, 3], or [C] with other faces than triangles
    """The vertices of every face."""
    found = values_of(mesh.loops, "vertex_index", np.int32)
    return found.reshape(-1, 3) if found.size == 3 * len(mesh.polygons) else found


def set_positions(mesh: bpy.types.Mesh, vertices: Float32) -> None:  # [V, 3]
    """Replace the positions of a mesh's vertices; Object Mode only."""
    flat = np.ascontiguousarray(vertices, np.float32).ravel()
    position = mesh.attributes.get("position") if hasattr(mesh, "attributes") else None
    if position is None:  # before 3.5, and in an empty mesh of some versions
        mesh.vertices.foreach_set("co", flat)
    else:
        position.data.foreach_set("vector", flat)
    mesh.update()
