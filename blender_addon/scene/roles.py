"""The role that any object of the scene may have in the guides of a shot."""

import bpy

from . import keyframes

NONE, GUIDE, HOLDOUT = "NONE", "GUIDE", "HOLDOUT"
ROLES = (
    (NONE, "Nothing", "It is not sent"),
    (GUIDE, "Geometry", "Its faces are drawn with their colour, as something the source shows"),
    (HOLDOUT, "Holdout", "It blocks what is behind it and leaves a hole, which the engine fills"),
)
TYPES = frozenset({"MESH", "CURVE", "SURFACE", "META", "FONT"})
"""What has faces."""


def marked(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The objects of ``scene`` with a role, but for those that are hidden all the time; by name."""
    return [obj for obj in _with_role(scene) if not _is_hidden(obj)]


def left_out(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The objects of ``scene`` with a role that take no part because they are hidden; by name."""
    return [obj for obj in _with_role(scene) if _is_hidden(obj)]


def is_hidden_at(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> bool:
    """Whether an object that comes and goes is hidden at the frame of ``depsgraph``, which may evaluate it anyway."""
    frame = depsgraph.scene.frame_current_final
    keyed = [curve for curve in keyframes.fcurves(obj) if curve.data_path == "hide_viewport"]
    return obj.evaluated_get(depsgraph).hide_render or any(curve.evaluate(frame) >= 0.5 for curve in keyed)


def _with_role(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    return sorted((obj for obj in scene.objects if obj.ex4d.role != NONE), key=lambda obj: obj.name)


def _is_hidden(obj: bpy.types.Object) -> bool:
    """Whether it is hidden on all frames: what is keyed or driven may come and go."""
    if obj.hide_render and not keyframes.varies(obj, "hide_render"):
        return True
    if any(curve.data_path == "hide_viewport" for curve in keyframes.drivers_of(obj)):
        return not obj.visible_get()
    comes_and_goes = keyframes.varies(obj, "hide_viewport") and obj.name in bpy.context.view_layer.objects
    return not (obj.visible_get() or (comes_and_goes and not obj.hide_get()))
