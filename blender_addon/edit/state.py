"""Editing one frame of a shot: begin, finish, discard.

A Mesh Cache in OVERWRITE mode hides whatever is done to the base mesh, so editing is explicit. Beginning copies the
shown positions to the base mesh and hides cache and layers; finishing stores what moved as a new layer. Everything an
edit needs to end lies in the .blend (a property group on the mesh object, one point attribute, a copy of the mesh), so
undo, saving and reopening in the middle of an edit are harmless.
"""

import json
from pathlib import Path

import bpy
import numpy as np

from ex4d_ground.arrays import Float32

from ..scene import layer_nodes, layers, linked, mesh
from ..scene import shot as shots
from ..scene.layer_nodes import Mode
from ..scene.layers import FrameRange
from ..scene.shot import lost_mesh
from ..work.errors import AddonError
from . import sampling

BEFORE = "ex4d_edit_before"
"""Point attribute with the positions the edit began with."""


def body_of(shot: bpy.types.Object) -> bpy.types.Object:
    """The shot's mesh object. Raises AddonError if it is gone, linked from another file, or has shape keys."""
    body = shot.ex4d.mesh
    if body is None or body.type != "MESH":
        raise lost_mesh(shot)
    for what in (body, body.data):
        library = linked.library_of(what)
        if what.library is not None or (library is not None and what == body.data):  # an override has no own vertices
            raise AddonError(
                f"'{what.name}' is linked from {Path(library.filepath).name if library else 'another file'}; "
                "make it local, or open that file, to edit it."
            )
    if body.data.shape_keys is not None:
        raise AddonError(f"'{body.name}' has shape keys, which an edit cannot go through; remove them first.")
    return body


def is_editing(body: bpy.types.Object) -> bool:
    """Whether a frame of this mesh is being edited."""
    return bool(body.ex4d_edit.active)


def require_editing(body: bpy.types.Object) -> None:
    """Raise AddonError unless a frame is being edited."""
    if not is_editing(body):
        raise AddonError("No frame is being edited; press Edit This Frame first.")


def require_finished(body: bpy.types.Object) -> None:
    """Raise AddonError while a frame is being edited."""
    if is_editing(body):
        raise AddonError(f"Frame {body.ex4d_edit.frame} is still being edited; finish or discard that edit first.")


def begin(shot: bpy.types.Object, frame: int) -> bpy.types.Object:
    """Make scene frame ``frame`` editable and return the mesh object; Object Mode only. Raises AddonError."""
    layer_nodes.require_version()
    body = body_of(shot)
    require_finished(body)
    props = shot.ex4d
    last = props.frame_start + props.num_frames - 1
    if not props.frame_start <= frame <= last:
        raise AddonError(f"Frame {frame} is not one of the shot's ({props.frame_start} to {last}); go to one of them.")
    require_grid(shot, body)
    with sampling.sampling(body, user_modifiers=False) as sampler:
        shown = sampler.positions(frame)
    edit = body.ex4d_edit
    edit.backup = body.data.copy()
    edit.backup.name = f"{body.data.name} before the edit"
    edit.topology = sampling.topology_digest(body.data)
    before = body.data.attributes.get(BEFORE) or body.data.attributes.new(BEFORE, "FLOAT_VECTOR", "POINT")
    before.data.foreach_set("vector", shown.ravel())
    mesh.set_positions(body.data, shown)
    hidden = []
    edit.cache_name = layers.cache_of(body).name
    for modifier in (layers.cache_of(body), *layers.stack(body)):
        hidden.append([modifier.name, modifier.show_viewport, modifier.show_render])
        modifier.show_viewport = modifier.show_render = False
    edit.hidden_json = json.dumps(hidden)
    edit.frame = frame
    edit.active = True
    return body


def require_grid(shot: bpy.types.Object, body: bpy.types.Object) -> None:
    """Raise AddonError unless the mesh has the vertices of the shot's grid."""
    count, wanted = len(body.data.vertices), shots.grid_of(shot).num_vertices
    if count != wanted:
        raise AddonError(
            f"'{body.name}' has {count} vertices instead of {wanted}; undo what changed it or import the clip again."
        )


def finish(body: bpy.types.Object, *, name: str, mode: Mode, frames: FrameRange) -> bpy.types.Modifier | None:
    """Store what moved as a new layer and end the edit; Object Mode only.

    None if nothing moved: then no layer is made. Raises AddonError, with the edit still open, if the vertices are not
    the ones the edit began with or cannot be where they are.
    """
    require_editing(body)
    require_topology(body)
    before, after = _before(body.data), mesh.positions(body.data)
    values = changed(before, after, mode=mode)
    _close(body)
    if not values.any():
        return None
    return layers.add(body, name, values, mode=mode, frames=frames)


def discard(body: bpy.types.Object) -> None:
    """End the edit as if it had never begun; Object Mode only. A changed topology is put back too."""
    require_editing(body)
    edit = body.ex4d_edit
    if edit.backup is not None and sampling.topology_digest(body.data) != edit.topology:
        damaged, name = body.data, body.data.name
        body.data = edit.backup.copy()
        bpy.data.meshes.remove(damaged)
        body.data.name = name
    _close(body)


def changed(
    before: Float32,  # [V, 3]
    after: Float32,  # [V, 3]
    *,
    mode: Mode,
) -> Float32:
    """What a layer stores of an edit: offsets [V, 3], or each vertex's change of depth as a share of it [V].

    Raises AddonError for positions that are not finite or, along the ray, not before the camera.
    """
    if not np.isfinite(after).all():
        bad = int((~np.isfinite(after)).any(axis=1).sum())
        raise AddonError(f"{bad} vertices of the edit lie at NaN or infinity; undo what put them there.")
    if mode == "OFFSET":
        return after - before
    behind = int((after[:, 2] <= 0).sum())
    if behind:
        raise AddonError(
            f"{behind} vertices lie behind the source camera, where no viewing ray leads; move them or use Offset."
        )
    return after[:, 2] / before[:, 2] - np.float32(1)


def _before(data: bpy.types.Mesh) -> Float32:  # [V, 3]
    stored = data.attributes.get(BEFORE)
    if stored is None:
        raise AddonError(f"The attribute '{BEFORE}' was removed, so the edit has nothing to compare with; discard it.")
    return mesh.values_of(stored.data, "vector", np.float32, width=3)


def require_topology(body: bpy.types.Object) -> None:
    """Raise AddonError if vertices or faces were added, deleted or re-ordered since the edit began."""
    edit, data = body.ex4d_edit, body.data
    wanted = len(edit.backup.vertices) if edit.backup is not None else len(data.vertices)
    if len(data.vertices) != wanted:
        raise AddonError(
            f"The mesh now has {len(data.vertices)} vertices instead of {wanted}; an edit may move vertices but not "
            "add or delete them: undo that, or discard the edit."
        )
    if sampling.topology_digest(data) != edit.topology:
        raise AddonError(
            "The mesh's vertices or faces are in another order than before; an edit may only move vertices: "
            "undo that, or discard the edit."
        )


def _close(body: bpy.types.Object) -> None:
    """Put the base mesh and the modifiers back to what they were."""
    edit, data = body.ex4d_edit, body.data
    if edit.backup is not None:
        mesh.set_positions(data, mesh.positions(edit.backup))
        backup, edit.backup = edit.backup, None
        bpy.data.meshes.remove(backup)
    stored = data.attributes.get(BEFORE)
    if stored is not None:
        data.attributes.remove(stored)
    for name, in_viewport, in_render in json.loads(edit.hidden_json or "[]"):
        modifier = body.modifiers.get(name) or (layers.cache_of(body) if name == edit.cache_name else None)
        if modifier is not None:
            modifier.show_viewport, modifier.show_render = in_viewport, in_render
    edit.active = False
    edit.hidden_json = edit.topology = edit.cache_name = ""
    body.update_tag()
