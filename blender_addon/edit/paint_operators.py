"""Operators for occlusion paint on the selection, and what every paint on frames has in common."""

import bpy
import numpy as np

from ..scene import retime, shot
from ..work.errors import AddonError
from ..work.properties import Choice, Whole
from . import paint, state
from .operators import EditOperator, object_mode
from .painted import Span

FRAMES = (
    ("SHOT", "Whole Shot", "All frames"),
    ("FRAME", "This Frame", "The current frame, or the one being edited"),
    ("RANGE", "Frames", "The frames given below"),
)


AUTOMATIC = ("AUTO", "Automatic", "The face's shape decides", paint.AUTO)
PAINTED = (
    ("VISIBLE", "Visible", "The source shows these faces", paint.VISIBLE),
    ("OCCLUDED", "Occluded", "The source does not show these faces: they block, and are filled in", paint.OCCLUDED),
)


class OnFrames:
    """Mixin for operators whose paint holds for the whole shot or for some frames."""

    panel = "Behind Objects"

    frames: Choice("On", "On which frames it holds", *FRAMES)
    first: Whole("First", "Scene frame", default=1)
    last: Whole("Last", "Scene frame", default=1)

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
    if state.is_editing(body):
        return body.ex4d_edit.frame
    return retime.shown_frame(context, shot.active_shot(context))


class EX4D_OT_paint_occlusion(OnFrames, EditOperator, bpy.types.Operator):
    """Say whether the selected faces count as seen by the source, or let their shape decide"""

    bl_label = "Paint Occlusion"

    flag: Choice("As", "What the selected faces become", AUTOMATIC, *PAINTED, default="OCCLUDED")

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        span = self.span(context, body)
        with object_mode(context, body):
            count = paint.paint(body.data, paint.selected(body.data.polygons), getattr(paint, self.flag), span)
        return f"{count} faces painted {self.flag.lower()}."


class EX4D_OT_select_painted(EditOperator, bpy.types.Operator):
    """Select the faces that were painted so on the current frame"""

    bl_label = "Select Painted"
    panel = "Behind Objects"

    flag: Choice("As", "Which faces are selected", *PAINTED, default="OCCLUDED")

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        target = shot.active_shot(context)
        frame = retime.shown_frame(context, target) - target.ex4d.frame_start
        # Selecting by vertices would take in every face between two painted ones.
        context.scene.tool_settings.mesh_select_mode = (False, False, True)
        with object_mode(context, body):
            flags = paint.FLAGS.painted_at(body.data, frame)
            empty = np.zeros(len(body.data.polygons), np.bool_)
            chosen = empty if flags is None else flags == getattr(paint, self.flag)
            paint.select(body.data, chosen)
        return f"{int(chosen.sum())} faces are painted {self.flag.lower()} here."
