"""Operators for painted thickness: on the selection, and with Blender's brushes."""

# pyright: reportInvalidTypeForm=false

import bpy
import numpy as np

from . import edit_sampling, edit_state, edit_tools, paint, shot, thickness, thickness_weights
from .edit_operators import EditOperator, object_mode
from .errors import AddonError
from .paint_operators import OnFrames, shown_frame


class EX4D_OT_set_thickness(OnFrames, EditOperator, bpy.types.Operator):
    """Say how far what is selected reaches back behind its outline"""

    bl_idname = "ex4d.set_thickness"
    bl_label = "Set Thickness"

    by: bpy.props.EnumProperty(
        name="As",
        description="What the number means",
        items=(
            ("LENGTH", "Length", "A length in the unit of the clip's depth"),
            ("SHARE", "Share of Depth", "A share of each point's distance on the frame shown"),
        ),
    )
    length: bpy.props.FloatProperty(
        name="Length", description="In the unit of the clip's depth", default=0.1, min=thickness.THINNEST, soft_max=10.0
    )
    share: bpy.props.FloatProperty(
        name="Share", description="Of each point's distance", default=0.1, min=1e-4, max=1.0, subtype="FACTOR"
    )

    def run(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        thickness_weights.require_finished(body)
        span = self.span(context, body)
        with object_mode(context, body):
            chosen = paint.selected_vertices(body.data)
            lengths = np.full(int(chosen.sum()), self.length, np.float32)
            if self.by == "SHARE":
                depth = shown_depth(context, body).ravel()[chosen]
                lengths = np.maximum(self.share * depth, thickness.THINNEST).astype(np.float32)
            count = thickness.paint(body.data, chosen, lengths, span)
        return f"{count} vertices have a painted thickness.{_only_solid(context)}"


class EX4D_OT_clear_thickness(OnFrames, EditOperator, bpy.types.Operator):
    """Let the occluders' settings decide how thick what is selected is"""

    bl_idname = "ex4d.clear_thickness"
    bl_label = "Clear Thickness"

    def run(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        thickness_weights.require_finished(body)
        span = self.span(context, body)
        with object_mode(context, body):
            count = thickness.paint(body.data, paint.selected_vertices(body.data), 0, span)
        return f"The painted thickness of {count} vertices is cleared."


class EX4D_OT_select_object(EditOperator, bpy.types.Operator):
    """Select the whole of what the selected vertices belong to, up to the depth edges around it"""

    bl_idname = "ex4d.select_object"
    bl_label = "Select Whole Object"

    edge_ratio: bpy.props.FloatProperty(
        name="Edge Ratio",
        description="Neighbours whose depths differ by more than this factor belong to different objects",
        default=1.05,
        min=1.001,
        max=1000.0,
    )

    def run(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        # Faces alone would leave out what is a single pixel wide.
        context.scene.tool_settings.mesh_select_mode = (True, False, False)
        with object_mode(context, body):
            depth = shown_depth(context, body)
            seeds = paint.selected_vertices(body.data).reshape(depth.shape)
            found = edit_tools.connected(depth, seeds, edge_ratio=self.edge_ratio)
            paint.select_vertices(body.data, found.ravel())
        return f"{int(found.sum())} vertices are selected."


class EX4D_OT_select_thickness(EditOperator, bpy.types.Operator):
    """Select what has a painted thickness on the current frame"""

    bl_idname = "ex4d.select_thickness"
    bl_label = "Select Painted Thickness"

    def run(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        frame = shown_frame(context, body) - shot.active_shot(context).ex4d.frame_start
        context.scene.tool_settings.mesh_select_mode = (True, False, False)
        with object_mode(context, body):
            lengths = thickness.at(body.data, frame)
            chosen = np.zeros(len(body.data.vertices), np.bool_) if lengths is None else lengths > 0
            paint.select_vertices(body.data, chosen)
        return f"{int(chosen.sum())} vertices have a painted thickness here."


class EX4D_OT_paint_thickness(EditOperator, bpy.types.Operator):
    """Paint thickness with Blender's weight brushes; a weight of 1 is the length given"""

    bl_idname = "ex4d.paint_thickness"
    bl_label = "Paint Thickness"

    full: bpy.props.FloatProperty(
        name="Full Weight",
        description="Length that a weight of 1 stands for, in the unit of the clip's depth",
        default=0.1,
        min=thickness.THINNEST,
        soft_max=10.0,
    )
    enter_weight_paint: bpy.props.BoolProperty(
        name="Enter Weight Paint", description="Select the mesh and switch to Weight Paint mode", default=True
    )

    def run(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        edit_state.require_finished(body)
        frame = shown_frame(context, body) - shot.active_shot(context).ex4d.frame_start
        with object_mode(context, body, stay=True):
            thickness_weights.begin(body, frame, self.full)
            if self.enter_weight_paint and body.visible_get():
                context.view_layer.objects.active = body
                body.select_set(True)
                bpy.ops.object.mode_set(mode="WEIGHT_PAINT")
        return f"A weight of 1 is a thickness of {self.full:g}; press Finish Painting to keep what you paint."


class EX4D_OT_finish_painting(OnFrames, EditOperator, bpy.types.Operator):
    """Keep the thickness that was painted"""

    bl_idname = "ex4d.finish_painting"
    bl_label = "Finish Painting"

    def run(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        span = self.span(context, body)
        with object_mode(context, body, stay=True):
            count = thickness_weights.finish(body, span)
        return f"The thickness of {count} vertices was painted.{_only_solid(context)}"


class EX4D_OT_discard_painting(EditOperator, bpy.types.Operator):
    """Forget the thickness that was painted since Paint Thickness was pressed"""

    bl_idname = "ex4d.discard_painting"
    bl_label = "Discard Painting"

    def run(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        if not thickness_weights.is_painting(body):
            raise AddonError("No thickness is being painted; press Paint Thickness first.")
        with object_mode(context, body, stay=True):
            thickness_weights.discard(body)
        return "The painting is discarded."


def shown_depth(context: bpy.types.Context, body: bpy.types.Object) -> edit_tools.Float64:  # [H, W]
    """Depth of the frame that is shown or being edited; Object Mode only. Raises AddonError."""
    target = shot.active_shot(context)
    if edit_state.is_editing(body):
        edit_state.require_topology(body)
        positions = edit_sampling.base_positions(body.data)
    else:
        with edit_sampling.Sampler(body, user_modifiers=False) as sampler:
            positions = sampler.positions(shown_frame(context, body))
    return edit_tools.depth_grid(positions, width=target.ex4d.width, height=target.ex4d.height)


def _only_solid(context: bpy.types.Context) -> str:
    if shot.active_shot(context).ex4d.occluders == "SOLID":
        return ""
    return " It counts once Occluders are Solid (Mesh panel)."


CLASSES = (
    EX4D_OT_set_thickness,
    EX4D_OT_clear_thickness,
    EX4D_OT_select_object,
    EX4D_OT_select_thickness,
    EX4D_OT_paint_thickness,
    EX4D_OT_finish_painting,
    EX4D_OT_discard_painting,
)
