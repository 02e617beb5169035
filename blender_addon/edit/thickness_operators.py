"""Operators for painted thickness: on the selection, and with Blender's brushes."""

import bpy
import numpy as np

from ex4d_ground.arrays import Float64

from ..scene import mesh, shot
from ..work.errors import AddonError
from ..work.properties import Choice, Flag, Share
from . import depth_tools, paint, sampling, state, thickness, thickness_weights, view
from .operators import EditOperator, object_mode
from .paint_operators import OnFrames, shown_frame
from .properties import PAINTED_AS, EdgeRatio, Painted


class EX4D_OT_set_thickness(OnFrames, EditOperator, bpy.types.Operator):
    """Say how far what is selected reaches back behind its outline"""

    bl_label = "Set Thickness"

    by: Choice("As", "What the number means", *PAINTED_AS)
    length: Painted("Length", "In the unit of the clip's depth")
    share: Share("Share", "Of each point's distance", default=0.1, min=1e-4)

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        thickness_weights.require_finished(body)
        span = self.span(context, body)
        with object_mode(context, body):
            chosen = paint.selected(body.data.vertices)
            lengths = np.full(int(chosen.sum()), self.length, np.float32)
            if self.by == "SHARE":
                depth = shown_depth(context, body).ravel()[chosen]
                lengths = np.maximum(self.share * depth, thickness.THINNEST).astype(np.float32)
            count = thickness.paint(body.data, chosen, lengths, span)
        return f"{count} vertices have a painted thickness.{_only_solid(context)}"


class EX4D_OT_clear_thickness(OnFrames, EditOperator, bpy.types.Operator):
    """Let the occluders' settings decide how thick what is selected is"""

    bl_label = "Clear Thickness"

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        thickness_weights.require_finished(body)
        span = self.span(context, body)
        with object_mode(context, body):
            count = thickness.paint(body.data, paint.selected(body.data.vertices), 0, span)
        return f"The painted thickness of {count} vertices is cleared."


class EX4D_OT_select_object(EditOperator, bpy.types.Operator):
    """Select the whole of what the selected vertices belong to, up to the depth edges around it"""

    bl_label = "Select Whole Object"
    remembers = ("edge_ratio",)
    panel = "Behind Objects"

    edge_ratio: EdgeRatio(
        "Neighbours whose depths differ by more than this factor are of different objects", default=1.05
    )

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        # Faces alone would leave out what is a single pixel wide.
        context.scene.tool_settings.mesh_select_mode = (True, False, False)
        with object_mode(context, body):
            depth = shown_depth(context, body)
            seeds = paint.selected(body.data.vertices).reshape(depth.shape)
            connected = depth_tools.connected(depth, seeds, edge_ratio=self.edge_ratio)
            paint.select_vertices(body.data, connected.ravel())
        return f"{int(connected.sum())} vertices are selected."


class EX4D_OT_select_thickness(EditOperator, bpy.types.Operator):
    """Select what has a painted thickness on the current frame"""

    bl_label = "Select Painted Thickness"
    panel = "Behind Objects"

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        frame = shown_frame(context, body) - shot.active_shot(context).ex4d.frame_start
        context.scene.tool_settings.mesh_select_mode = (True, False, False)
        with object_mode(context, body):
            lengths = thickness.LENGTHS.painted_at(body.data, frame)
            chosen = np.zeros(len(body.data.vertices), np.bool_) if lengths is None else lengths > 0
            paint.select_vertices(body.data, chosen)
        return f"{int(chosen.sum())} vertices have a painted thickness here."


class EX4D_OT_paint_thickness(EditOperator, bpy.types.Operator):
    """Paint thickness with Blender's weight brushes; a weight of 1 is the length given"""

    bl_label = "Paint Thickness"
    panel = "Behind Objects"

    full: Painted("Full Weight", "Length that a weight of 1 stands for, in the unit of the clip's depth")
    enter_weight_paint: Flag("Enter Weight Paint", "Select the mesh and switch to Weight Paint mode", default=True)

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        state.require_finished(body)
        frame = shown_frame(context, body) - shot.active_shot(context).ex4d.frame_start
        with object_mode(context, body, stay=True):
            thickness_weights.begin(body, frame, self.full)
            if self.enter_weight_paint and body.visible_get():
                context.view_layer.objects.active = body
                body.select_set(True)
                bpy.ops.object.mode_set(mode="WEIGHT_PAINT")
                view.begin(context, body, "WEIGHT_PAINT")
        return f"A weight of 1 is a thickness of {self.full:g}; press Finish to keep what you paint."


class EX4D_OT_finish_painting(OnFrames, EditOperator, bpy.types.Operator):
    """Keep what was painted"""

    bl_label = "Finish Painting"

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        span, moves = self.span(context, body), thickness_weights.is_painting_moving(body)
        with object_mode(context, body, stay=True):
            count = thickness_weights.finish(body, span)
        view.end(context, body)
        if moves:
            return f"What moves is painted; {count} vertices changed."
        return f"The thickness of {count} vertices was painted.{_only_solid(context)}"


class EX4D_OT_discard_painting(EditOperator, bpy.types.Operator):
    """Forget what was painted since the painting was begun"""

    bl_label = "Discard Painting"
    panel = "Behind Objects"

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        if not thickness_weights.is_painting(body):
            raise AddonError("No thickness is being painted; press Paint with Brushes first.")
        with object_mode(context, body, stay=True):
            thickness_weights.discard(body)
        view.end(context, body)
        return "The painting is discarded."


def shown_depth(context: bpy.types.Context, body: bpy.types.Object) -> Float64:  # [H, W]
    """Depth of the frame that is shown or being edited; Object Mode only. Raises AddonError."""
    grid = shot.grid_of(shot.active_shot(context))
    if state.is_editing(body):
        state.require_topology(body)
        positions = mesh.positions(body.data)
    else:
        with sampling.sampling(body, user_modifiers=False) as sampler:
            positions = sampler.positions(shown_frame(context, body))
    return depth_tools.depth_grid(positions, width=grid.width, height=grid.height)


def _only_solid(context: bpy.types.Context) -> str:
    if shot.active_shot(context).ex4d.occluders == "SOLID":
        return ""
    return " It counts once Occluders are Solid (Behind Objects)."
