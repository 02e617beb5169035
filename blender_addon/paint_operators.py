"""Operators for occlusion paint on the selection, and what every paint on frames has in common."""

# pyright: reportInvalidTypeForm=false

import bpy

from . import edit_state, paint, retime, shot
from .edit_operators import EditOperator, object_mode
from .errors import AddonError
from .painted import Span


class OnFrames:
    """Mixin for operators whose paint holds for the whole shot or for some frames."""

    frames: bpy.props.EnumProperty(
        name="On",
        description="On which frames it holds",
        items=(
            ("SHOT", "Whole Shot", "All frames"),
            ("FRAME", "This Frame", "The current frame, or the one being edited"),
            ("RANGE", "Frames", "The frames given below"),
        ),
    )
    first: bpy.props.IntProperty(name="First", description="Scene frame", default=1)
    last: bpy.props.IntProperty(name="Last", description="Scene frame", default=1)

    def span(self, context: bpy.types.Context, body: bpy.types.Object) -> Span | None:
        """The chosen source frames; None is the whole shot. Raises AddonError for frames outside it."""
        if self.frames == "SHOT":
            return None
        props = shot.active_shot(context).ex4d
        here = shown_frame(context, body)
        first, last = (here, here) if self.frames == "FRAME" else (self.first, self.last)
        start, end = props.frame_start, props.frame_start + props.num_frames - 1
        if not start <= first <= last <= end:
            raise AddonError(f"Frames {first} to {last} are not within the shot's ({start} to {end}); choose others.")
        return Span(first - start, last - start)


def shown_frame(context: bpy.types.Context, body: bpy.types.Object) -> int:
    """The scene frame that is being edited, or that is shown."""
    if edit_state.is_editing(body):
        return body.ex4d_edit.frame
    return retime.shown_frame(context, shot.active_shot(context))


class EX4D_OT_paint_occlusion(OnFrames, EditOperator, bpy.types.Operator):
    """Say whether the selected faces count as seen by the source, or let their shape decide"""

    bl_idname = "ex4d.paint_occlusion"
    bl_label = "Paint Occlusion"

    flag: bpy.props.EnumProperty(
        name="As",
        description="What the selected faces become",
        items=(
            ("AUTO", "Automatic", "The face's shape decides", paint.AUTO),
            ("VISIBLE", "Visible", "The source shows these faces", paint.VISIBLE),
            (
                "OCCLUDED",
                "Occluded",
                "The source does not show these faces: they block, and are filled in",
                paint.OCCLUDED,
            ),
        ),
        default="OCCLUDED",
    )

    def run(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        span = self.span(context, body)
        flag = {"AUTO": paint.AUTO, "VISIBLE": paint.VISIBLE, "OCCLUDED": paint.OCCLUDED}[self.flag]
        with object_mode(context, body):
            count = paint.paint(body.data, paint.selected_faces(body.data), flag, span)
        return f"{count} faces painted {self.flag.lower()}."


class EX4D_OT_select_painted(EditOperator, bpy.types.Operator):
    """Select the faces that were painted so on the current frame"""

    bl_idname = "ex4d.select_painted"
    bl_label = "Select Painted"

    flag: bpy.props.EnumProperty(
        name="As",
        description="Which faces are selected",
        items=(
            ("VISIBLE", "Visible", "Faces painted as visible", paint.VISIBLE),
            ("OCCLUDED", "Occluded", "Faces painted as occluded", paint.OCCLUDED),
        ),
        default="OCCLUDED",
    )

    def run(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        target = shot.active_shot(context)
        frame = retime.shown_frame(context, target) - target.ex4d.frame_start
        flag = paint.VISIBLE if self.flag == "VISIBLE" else paint.OCCLUDED
        # Selecting by vertices would take in every face between two painted ones.
        context.scene.tool_settings.mesh_select_mode = (False, False, True)
        with object_mode(context, body):
            count = paint.select_painted(body.data, frame, flag)
        return f"{count} faces are painted {self.flag.lower()} here."


CLASSES = (EX4D_OT_paint_occlusion, EX4D_OT_select_painted)
