"""Takes that step aside: a plane that fills the camera's frame covers the mesh that somebody edits or paints."""

import bpy

from ..edit import view
from ..scene import in_the_way
from ..work.hooks import Listeners
from . import compare, listing

MARK = "ex4d_aside"
"""Custom property on a plane that was hidden here."""


def step_aside(scene: bpy.types.Scene, shot: bpy.types.Object) -> None:
    """Hide the shot's planes that are seen, until :func:`come_back`; their keys stay as they are."""
    for plane in _planes(scene, shot):
        if plane.visible_get():
            plane.hide_set(True)
            plane[MARK] = True


def come_back(scene: bpy.types.Scene, shot: bpy.types.Object) -> None:
    """Show the planes that stepped aside."""
    for plane in _planes(scene, shot):
        if plane.pop(MARK, False):
            plane.hide_set(False)


def hide(scene: bpy.types.Scene, shot: bpy.types.Object) -> None:
    """Hide the takes of a shot whose mesh was switched off."""
    mine = next((take for take in scene.ex4d.takes if take.shot_id == shot.ex4d.shot_id), None)
    if mine is not None:
        listing.show_only(scene, mine, visible=False)


def _planes(scene: bpy.types.Scene, shot: bpy.types.Object) -> list[bpy.types.Object]:
    shot_id = shot.ex4d.shot_id
    shown = [take.plane for take in scene.ex4d.takes if take.shot_id == shot_id]
    planes = [*shown, *compare.planes_of(scene, shot_id)]
    return [plane for plane in planes if plane is not None and plane.name in bpy.context.view_layer.objects]


listeners = Listeners((view.begun, step_aside), (view.ended, come_back), (in_the_way.switched_off, hide))
