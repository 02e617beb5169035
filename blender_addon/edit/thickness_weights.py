"""Painting thickness, or what moves by itself, with Blender's own brushes: a vertex group for as long as it takes.

Beginning fills the group from what is painted already and goes to Weight Paint mode; finishing turns the weights that
changed into lengths, or into what moves. All of it lies in the .blend, so undo, saving and reopening in between are
harmless.
"""

import bpy
import numpy as np

from ex4d_ground.arrays import Float32

from ..work.errors import AddonError
from . import moving, state, thickness
from .painted import Span

GROUP, MOVING_GROUP = "EX-4D Thickness", "EX-4D Moving"
MOVES_FROM = 0.5
"""The weight from which on something moves by itself."""
STEPS = 100
"""Weights that existing paint is rounded to: a group takes one call for each."""
UNCHANGED = 1e-4
"""Weights that differ by less were not painted."""


def is_painting(body: bpy.types.Object) -> bool:
    """Whether the brushes are out."""
    return bool(body.ex4d_edit.painting) and body.vertex_groups.get(_group_name(body)) is not None


def is_painting_moving(body: bpy.types.Object) -> bool:
    """Whether they paint what moves by itself."""
    return is_painting(body) and body.ex4d_edit.paints_moving


def _group_name(body: bpy.types.Object) -> str:
    return MOVING_GROUP if body.ex4d_edit.paints_moving else GROUP


def is_open(body: bpy.types.Object) -> bool:
    """Whether a frame of this mesh is being edited, or its thickness painted."""
    return state.is_editing(body) or is_painting(body)


def require_finished(body: bpy.types.Object) -> None:
    """Raise AddonError while the brushes are out."""
    if is_painting_moving(body):
        raise AddonError("What moves is still being painted; finish or discard the painting first.")
    if is_painting(body):
        raise AddonError("Thickness is still being painted; finish or discard the painting first.")


def begin(body: bpy.types.Object, frame: int, full: float, *, moves: bool = False) -> None:
    """Make the group, filled with the paint of source frame ``frame``; weight 1 is the length ``full``. Object Mode.

    ``moves`` is for what moves by itself instead of thickness.
    """
    require_finished(body)
    body.ex4d_edit.paints_moving = moves
    old = body.vertex_groups.get(_group_name(body))
    if old is not None:
        body.vertex_groups.remove(old)
    group = body.vertex_groups.new(name=_group_name(body))
    steps = np.rint(_weights(body, frame, full) * STEPS).astype(np.int32)
    for step in np.unique(steps[steps > 0]):
        group.add(np.flatnonzero(steps == step).tolist(), float(step) / STEPS, "REPLACE")
    body.vertex_groups.active = group
    edit = body.ex4d_edit
    edit.painting, edit.paint_frame, edit.paint_full = True, frame, full


def finish(body: bpy.types.Object, span: Span | None) -> int:
    """Keep what was painted in ``span``, or in the whole shot; Object Mode. Returns how many vertices changed."""
    if not is_painting(body):
        raise AddonError("No thickness is being painted; press Paint with Brushes first.")
    edit, group = body.ex4d_edit, body.vertex_groups[_group_name(body)]
    weights = _read(body.data, group.index)
    before = np.rint(_weights(body, edit.paint_frame, edit.paint_full) * STEPS) / STEPS
    if edit.paints_moving:
        now, was = weights >= MOVES_FROM, before >= MOVES_FROM
        changed = now != was
        if changed.any():
            moving.paint(body.data, changed, np.where(now[changed], moving.MOVES, 0), span)
        discard(body)
        return int(changed.sum())
    changed = np.abs(weights - before) > UNCHANGED
    lengths = np.where(weights > 0, np.maximum(weights * edit.paint_full, thickness.THINNEST), 0)
    if changed.any():
        thickness.paint(body.data, changed, lengths[changed], span)
    discard(body)
    return int(changed.sum())


def discard(body: bpy.types.Object) -> None:
    """Forget what was painted; Object Mode."""
    group = body.vertex_groups.get(_group_name(body))
    if group is not None:
        body.vertex_groups.remove(group)
    body.ex4d_edit.painting = False


def _weights(body: bpy.types.Object, frame: int, full: float) -> Float32:  # [V]
    if body.ex4d_edit.paints_moving:
        values = moving.MOVING.painted_at(body.data, frame)
        if values is None:
            return np.zeros(len(body.data.vertices), np.float32)
        return (values == moving.MOVES).astype(np.float32)
    lengths = thickness.LENGTHS.painted_at(body.data, frame)
    if lengths is None:
        return np.zeros(len(body.data.vertices), np.float32)
    return np.clip(lengths / np.float32(full), 0, 1)


def _read(data: bpy.types.Mesh, index: int) -> Float32:  # [V]
    """Weights of the group with this index; one by one, as Blender has no faster way."""
    out = np.zeros(len(data.vertices), np.float32)
    for vertex in data.vertices:
        for entry in vertex.groups:
            if entry.group == index:
                out[vertex.index] = entry.weight
    return out
