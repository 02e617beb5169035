"""Operators of the planes: one from a selection of the mesh, and taking such a one away."""

import bpy
import numpy as np

from ..edit import paint, state
from ..edit.operators import object_mode
from ..scene import mesh, shot
from ..scene.properties import options_changed
from ..work.errors import AddonError
from ..work.operators import QuickOperator
from . import planes


class EX4D_OT_add_plane(QuickOperator, bpy.types.Operator):
    """Add the plane that fits the selected vertices of the shot's mesh to the place that previews show"""

    bl_label = "Add Plane From Selection"
    bl_options = {"REGISTER", "UNDO"}
    panel = "Camera"
    requires = (shot.active_shot,)

    def run(self, context: bpy.types.Context) -> str:
        target = shot.active_shot(context)
        body = state.body_of(target)
        with object_mode(context, body):
            context.view_layer.update()
            places = mesh.evaluated_positions(body, context.evaluated_depsgraph_get())
            selected = paint.selected(body.data.vertices)
            if len(places) != len(selected):
                raise AddonError(f"A modifier changes the vertices of '{body.name}'; hide or remove it.")
        world = np.linalg.inv(np.array(target.matrix_world)) @ np.array(body.matrix_world)
        points = places[selected].astype(np.float64) @ world[:3, :3].T + world[:3, 3]
        item = planes.add(target, points)
        options_changed()
        return f"Added the plane of {len(points)} vertices: {planes.told(item)}."


class EX4D_OT_remove_plane(QuickOperator, bpy.types.Operator):
    """Take away a plane that was added; one that was found loses its tick instead"""

    bl_label = "Remove Plane"
    bl_options = {"REGISTER", "UNDO"}
    panel = "Camera"
    requires = (shot.active_shot,)

    def run(self, context: bpy.types.Context) -> str:
        props = shot.active_shot(context).ex4d
        if not 0 <= props.active_plane < len(props.planes):
            raise AddonError("No plane is chosen; click one in the list.")
        item, name = props.planes[props.active_plane], props.planes[props.active_plane].name
        if item.added:
            props.planes.remove(props.active_plane)
            props.active_plane = max(props.active_plane - 1, 0)
        else:
            item.use = False
        options_changed()
        return f"'{name}' takes no part any more."
