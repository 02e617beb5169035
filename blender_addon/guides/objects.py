"""Objects of the scene that take part in the guides: as geometry with its own colour, or as holdouts.

What counts is their faces as Blender shows them, with all modifiers, on every frame of the shot. They move with the
timeline, like the camera; retiming the source does not touch them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ex4d_ground.arrays import Float32, Float64, Int32, UInt8

from ..jobs.edit_uploads import remove_files_but, store
from ..jobs.object_uploads import OBJECTS_FOLDER, SceneObject
from ..scene import aside, materials, roles
from ..scene.mesh import values_of
from ..scene.roles import GUIDE, marked
from ..work import session
from ..work.errors import AddonError

MOST_BYTES = 1 << 30
"""Of one object's positions over the whole shot."""


def collect(context: bpy.types.Context, shot: bpy.types.Object, folder: Path) -> tuple[SceneObject, ...]:
    """The marked objects on every frame of ``shot``, their data written below ``folder``.

    Frame and subframe are restored. Raises AddonError for an object without faces, one whose number of vertices
    changes, one at NaN, or one too large to send; StorageError if a file cannot be written.
    """
    scene, props = context.scene, shot.ex4d
    marked_objects = marked(scene)
    tracks = [Track(obj.name, obj.ex4d.role) for obj in marked_objects]
    if tracks:
        with aside.evaluated(scene, shot, *marked_objects), aside.at_own_frame(scene):
            for index in range(props.num_frames):
                frame = props.frame_start + index
                scene.frame_set(frame)
                depsgraph = context.evaluated_depsgraph_get()
                shot_from_world = np.linalg.inv(np.array(shot.evaluated_get(depsgraph).matrix_world))
                for obj, track in zip(marked_objects, tracks, strict=True):
                    track.add(obj, depsgraph, shot_from_world, frame, props.num_frames)
    objects = tuple(track.stored(folder) for track in tracks)
    if not session.get().tasks:  # a job that is under way may still have to read its files
        remove_files_but(folder / OBJECTS_FOLDER, {path for each in objects for path in each.files})
    return objects


@dataclass
class Track:
    """One object over the frames of the shot."""

    name: str
    role: str
    corners: Int32 = field(default_factory=lambda: np.zeros((0, 3), np.int32))  # [F, 3] vertices of each triangle
    colors: UInt8 | None = None  # [F * 3, 3] of each corner; None for a holdout
    positions: list[Float32] = field(default_factory=list)  # per frame [V, 3], or [F * 3, 3] with colours

    def add(
        self,
        obj: bpy.types.Object,
        depsgraph: bpy.types.Depsgraph,
        shot_from_world: Float64,
        frame: int,
        num_frames: int,
    ) -> None:
        """Take the object as ``depsgraph`` has it. Raises AddonError."""
        name, evaluated = self.name, obj.evaluated_get(depsgraph)
        mesh = _mesh(evaluated)
        try:
            vertices = values_of(mesh.vertices, "co", np.float32, width=3)
            if not self.positions:
                self._begin(evaluated, mesh, frame, num_frames)
                self._count = len(mesh.vertices)
        finally:
            evaluated.to_mesh_clear()
        if len(vertices) != self._count:
            raise AddonError(
                f"'{name}' has {len(vertices)} vertices at frame {frame} and {self._count} before; remove the modifier "
                "that changes them, or its role."
            )
        matrix = shot_from_world @ np.array(evaluated.matrix_world)
        placed = (vertices @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)
        if not np.isfinite(placed).all():
            raise AddonError(f"'{name}' has vertices at NaN or infinity at frame {frame}; mend its geometry.")
        if roles.is_hidden_at(obj, depsgraph):
            placed[:] = placed[:1]  # hidden on this frame: triangles without area draw nothing
        self.positions.append(placed if self.colors is None else placed[self.corners.ravel()])

    def _begin(self, evaluated: bpy.types.Object, mesh: bpy.types.Mesh, frame: int, num_frames: int) -> None:
        mesh.calc_loop_triangles()
        count = len(mesh.loop_triangles)
        if not count:
            raise AddonError(f"'{self.name}' has no faces at frame {frame}; give it some, or take its role away.")
        self.corners = values_of(mesh.loop_triangles, "vertices", np.int32, width=3)
        if self.role == GUIDE:
            self.colors = _corner_colors(evaluated, mesh)
        sent = (3 * count if self.colors is not None else len(mesh.vertices)) * 12 * num_frames
        if sent > MOST_BYTES:
            raise AddonError(
                f"'{self.name}' has {count} triangles, {sent / 2**30:.1f} GiB over the shot (at most "
                f"{MOST_BYTES >> 30} can be sent); use a simpler stand-in."
            )

    def stored(self, folder: Path) -> SceneObject:
        """The object in files; only one position if it stands still."""
        moves = any(not np.array_equal(self.positions[0], other) for other in self.positions[1:])
        positions = np.stack(self.positions) if moves else self.positions[0]
        faces = self.corners if self.colors is None else np.arange(self.corners.size, dtype=np.int32).reshape(-1, 3)
        return SceneObject(
            name=self.name,
            vertices=store(folder, positions, ".f4", sub=OBJECTS_FOLDER),
            faces=store(folder, faces, ".i4", sub=OBJECTS_FOLDER),
            colors=None if self.colors is None else store(folder, self.colors, ".u1", sub=OBJECTS_FOLDER),
            moves=moves,
        )


def _mesh(evaluated: bpy.types.Object) -> bpy.types.Mesh:
    try:
        return evaluated.to_mesh()
    except RuntimeError as error:
        raise AddonError(
            f"'{evaluated.name}' is a {evaluated.type.lower()} and has no faces; use a mesh, curve, surface or text "
            "object, or take its role away."
        ) from error


def _corner_colors(evaluated: bpy.types.Object, mesh: Any) -> UInt8:  # [F * 3, 3] as the footage has them
    """Colours of the triangles' corners: of the active colour attribute, or flat ones of the materials."""
    attribute = mesh.color_attributes.active_color
    if attribute is not None:
        values = values_of(attribute.data, "color", np.float32, width=4)
        of_corner = "vertices" if attribute.domain == "POINT" else "loops"
        corners = values_of(mesh.loop_triangles, of_corner, np.int32, width=3).ravel()
        return _as_footage(values[corners, :3])
    slots = values_of(mesh.loop_triangles, "material_index", np.int32)
    palette = [materials.base_colour(slot.material) for slot in evaluated.material_slots]
    palette = palette or [materials.base_colour(None)]
    flat = np.array(palette, np.float32)[np.clip(slots, 0, len(palette) - 1)]
    return _as_footage(np.repeat(flat, 3, axis=0))


def _as_footage(linear: Float32) -> UInt8:
    """Linear colours as 8-bit sRGB, which is what the clip's frames are."""
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)
