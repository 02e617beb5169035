"""User data on Scene, Object and WindowManager: what the folders declare, put together and attached.

It is saved in the .blend. Runtime state lives in ``work.session``, never here.
"""

import bpy

from . import camera, edit, guides, live, panels, scene, takes
from .work.properties import OWN, Pointer


class EX4D_PG_shot(
    scene.properties.ShotProperties,
    edit.properties.ShotProperties,
    guides.properties.ShotProperties,
    camera.properties.ObjectProperties,
    bpy.types.PropertyGroup,
):
    """A shot, on its Empty. ``role`` is for any object, ``keyed_move`` for cameras."""


class EX4D_PG_scene(
    panels.properties.SceneProperties,
    camera.properties.SceneProperties,
    guides.properties.SceneProperties,
    takes.properties.SceneProperties,
    bpy.types.PropertyGroup,
):
    """The scene's active shot, its takes, and what the next steps will use."""

    shot: Pointer(
        "Shot", "The shot that the panels work on", type=bpy.types.Object, poll=lambda _self, o: bool(o.ex4d.is_shot)
    )


_ATTACHED = (
    (bpy.types.Object, "ex4d", EX4D_PG_shot, {"override": OWN}),
    (bpy.types.Scene, "ex4d", EX4D_PG_scene, {}),
    (bpy.types.Object, "ex4d_edit", edit.properties.EX4D_PG_edit, {}),
    (bpy.types.WindowManager, "ex4d_live", live.handlers.EX4D_PG_live, {}),
)


def attach() -> None:
    """Hang the groups on Blender's types (after their classes are registered)."""
    for owner, name, group, options in _ATTACHED:
        setattr(owner, name, bpy.props.PointerProperty(type=group, **options))


def detach() -> None:
    """Take the groups off again (before their classes are unregistered)."""
    for owner, name, _, _ in reversed(_ATTACHED):
        delattr(owner, name)
