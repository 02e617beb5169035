"""How the 3D view and the brushes behave while a frame is edited or painted; the artist's own settings come back."""

import json
from typing import Any

import bpy

from ..work.hooks import Hook

begun, ended = Hook(), Hook()
"""Called with the scene and the shot's Empty as somebody begins to edit or paint its mesh, and as that ends."""

AXES = ("lock_x", "lock_y")
"""The mesh lies in the source camera's space: with these locked, Blender's brushes move vertices along z alone."""
WEIGHTS_OPACITY = 0.5
"""While thickness is painted: weights tint the footage instead of covering it."""


def lock(scene: bpy.types.Scene, body: bpy.types.Object) -> None:
    """Have sculpting change depth alone, until :func:`unlock`."""
    sculpt: Any = scene.tool_settings.sculpt
    if sculpt is None or body.ex4d_edit.locks_json:
        return
    body.ex4d_edit.locks_json = json.dumps([getattr(sculpt, axis) for axis in AXES])
    for axis in AXES:
        setattr(sculpt, axis, True)


def unlock(scene: bpy.types.Scene, body: bpy.types.Object) -> None:
    """Give the artist's own axis locks back."""
    before, body.ex4d_edit.locks_json = body.ex4d_edit.locks_json, ""
    for axis, value in zip(AXES, json.loads(before or "[]"), strict=False):
        setattr(scene.tool_settings.sculpt, axis, value)


def begin(context: bpy.types.Context, body: bpy.types.Object, mode: str) -> str:
    """Have the 3D view at hand show the footage and what ``mode`` draws over it, until :func:`end`.

    Returns a sentence of what was changed for good, "" if nothing was.
    """
    begun(context.scene, context.scene.ex4d.shot)
    space = _view(context)
    if space is None:
        return ""
    overlay, edit = space.overlay, body.ex4d_edit
    if not edit.view_json:
        edit.view_json = json.dumps([overlay.show_overlays, overlay.weight_paint_mode_opacity])
    if mode in ("EDIT", "WEIGHT_PAINT"):  # what is selected and how much weight there is are overlays
        overlay.show_overlays = True
    if mode == "WEIGHT_PAINT":
        overlay.weight_paint_mode_opacity = min(overlay.weight_paint_mode_opacity, WEIGHTS_OPACITY)
    if space.shading.type != "SOLID" or space.shading.color_type == "TEXTURE":
        return ""
    space.shading.color_type = "TEXTURE"
    return " The view's shading shows textures now."


def end(context: bpy.types.Context, body: bpy.types.Object) -> None:
    """Give the view the artist's own overlays back."""
    ended(context.scene, context.scene.ex4d.shot)
    before, body.ex4d_edit.view_json = body.ex4d_edit.view_json, ""
    space = _view(context)
    if before and space is not None:
        space.overlay.show_overlays, space.overlay.weight_paint_mode_opacity = json.loads(before)


def _view(context: bpy.types.Context) -> Any:
    """The 3D view at hand; None without one."""
    space: Any = context.space_data
    return space if space is not None and space.type == "VIEW_3D" else None
