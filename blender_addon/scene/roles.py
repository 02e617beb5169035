"""The role that any object of the scene may have in the guides of a shot."""

import bpy

NONE, GUIDE, HOLDOUT = "NONE", "GUIDE", "HOLDOUT"
ROLES = (
    (NONE, "Nothing", "It is not sent"),
    (GUIDE, "Geometry", "Its faces are drawn with their colour, as something the source shows"),
    (HOLDOUT, "Holdout", "It blocks what is behind it and leaves a hole, which the engine fills"),
)
TYPES = frozenset({"MESH", "CURVE", "SURFACE", "META", "FONT"})
"""What has faces."""


def marked(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The objects of ``scene`` with a role, but for those that are hidden; by name."""
    objects = [obj for obj in scene.objects if obj.ex4d.role != NONE and not obj.hide_render and obj.visible_get()]
    return sorted(objects, key=lambda obj: obj.name)
