"""Operators for what moves by itself: on the selection, and with Blender's brushes."""

import bpy
import numpy as np

from ..scene import shot
from . import moving, paint, state, thickness_weights, view
from .operators import EditOperator, object_mode
from .paint_operators import OnFrames, shown_frame


class EX4D_OT_mark_moving(OnFrames, EditOperator, bpy.types.Operator):
    """Say that what is selected moves by itself, so that the estimate of the filming camera leaves it out"""

    bl_label = "Mark as Moving"
    panel = "Clip"

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        thickness_weights.require_finished(body)
        span = self.span(context, body)
        with object_mode(context, body):
            count = moving.paint(body.data, paint.selected(body.data.vertices), moving.MOVES, span)
        return f"{count} vertices move by themselves."


class EX4D_OT_clear_moving(OnFrames, EditOperator, bpy.types.Operator):
    """Say that what is selected stands still as the world does"""

    bl_label = "Clear Moving"
    panel = "Clip"

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        thickness_weights.require_finished(body)
        span = self.span(context, body)
        with object_mode(context, body):
            count = moving.paint(body.data, paint.selected(body.data.vertices), 0, span)
        return f"{count} vertices stand still."


class EX4D_OT_select_moving(EditOperator, bpy.types.Operator):
    """Select what moves by itself on the current frame"""

    bl_label = "Select Moving"
    panel = "Clip"

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        frame = shown_frame(context, body) - shot.active_shot(context).ex4d.frame_start
        context.scene.tool_settings.mesh_select_mode = (True, False, False)
        with object_mode(context, body):
            values = moving.MOVING.painted_at(body.data, frame)
            chosen = np.zeros(len(body.data.vertices), np.bool_) if values is None else values == moving.MOVES
            paint.select_vertices(body.data, chosen)
        return f"{int(chosen.sum())} vertices move by themselves here."


class EX4D_OT_paint_moving(EditOperator, bpy.types.Operator):
    """Paint what moves by itself with Blender's weight brushes: where the weight is 0.5 or more, it moves"""

    bl_label = "Paint What Moves"
    panel = "Clip"

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        state.require_finished(body)
        frame = shown_frame(context, body) - shot.active_shot(context).ex4d.frame_start
        with object_mode(context, body, stay=True):
            thickness_weights.begin(body, frame, 1.0, moves=True)
            if body.visible_get():
                context.view_layer.objects.active = body
                body.select_set(True)
                bpy.ops.object.mode_set(mode="WEIGHT_PAINT")
                view.begin(context, body, "WEIGHT_PAINT")
        return "Paint what moves by itself, and press Finish to keep it."
