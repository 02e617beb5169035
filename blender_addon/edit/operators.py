"""Operators for edits of the geometry: one frame as a layer, and the list of layers."""

import contextlib
from collections.abc import Iterator

import bpy
import numpy as np

from ex4d_ground import remedies

from ..scene import layers, retime, shot
from ..work import session
from ..work.errors import AddonError
from ..work.operators import LongOperator, QuickOperator
from ..work.properties import Choice, Flag, Text, Whole
from ..work.tasks import Task
from . import paint, state, view, visible


@contextlib.contextmanager
def object_mode(context: bpy.types.Context, body: bpy.types.Object, *, stay: bool = False) -> Iterator[None]:
    """Leave Edit Mode (or another) for what only Object Mode can do, and go back; after an error always."""
    mode = body.mode
    if context.mode == "OBJECT":
        yield
        return
    if context.view_layer.objects.active != body or mode == "OBJECT":
        raise AddonError(
            f"Blender is in {context.mode.replace('_', ' ').title()} Mode with another object.",
            remedy=remedies.object_mode(),
        )
    bpy.ops.object.mode_set(mode="OBJECT")
    try:
        yield
    except BaseException:
        bpy.ops.object.mode_set(mode=mode)
        raise
    if not stay:
        bpy.ops.object.mode_set(mode=mode)


class EditOperator(QuickOperator):
    """Mixin for operators that change a shot's geometry at once."""

    bl_options = {"REGISTER", "UNDO"}
    panel = "Repair Depth"
    requires = (shot.active_shot,)

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        """Change ``body``, and say in a sentence what was done. May raise AddonError."""
        raise NotImplementedError

    def run(self, context: bpy.types.Context) -> str:
        message = self.edit(context, state.body_of(shot.active_shot(context)))
        visible.edited()
        return message


class EX4D_OT_edit_frame(EditOperator, bpy.types.Operator):
    """Make this frame's geometry editable; other frames stay as they are until the edit is finished"""

    bl_label = "Edit This Frame"
    requires = (shot.active_shot, shot.require_object_mode)

    enter_edit_mode: Flag("Enter a Mode", "Select the mesh and switch to the mode of the tools", default=True)
    tools: Choice(
        "Tools",
        "What the frame is edited with",
        ("SCULPT", "Sculpt Mode", "Brushes, which change depth alone while the frame is edited"),
        ("EDIT", "Edit Mode", "A selection of vertices, and the depth tools on it"),
    )

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        shot.require_object_mode(context)
        frame = retime.shown_frame(context, shot.active_shot(context))
        state.begin(shot.active_shot(context), frame)
        if not (self.enter_edit_mode and body.visible_get()):
            return f"Editing frame {frame}; press Finish Edit to keep what you change."
        paint.select(body.data, np.zeros(len(body.data.polygons), np.bool_))
        for other in context.selected_objects:
            other.select_set(False)
        body.select_set(True)
        context.view_layer.objects.active = body
        if self.tools == "SCULPT":
            view.lock(context.scene, body)
        view.begun(context.scene, shot.active_shot(context))  # before the undo step, which is of all but the view
        if not bpy.app.background:  # these modes' undo steps hold the mesh alone; without a window there are none
            bpy.ops.ed.undo_push(message="Edit This Frame")
        bpy.ops.object.mode_set(mode=self.tools)
        shown = view.begin(context, body, self.tools)
        how = "; brushes change depth alone (X and Y are locked)" if self.tools == "SCULPT" else ""
        return f"Editing frame {frame}{how}; press Finish Edit to keep what you change.{shown}"


class EX4D_OT_finish_edit(EditOperator, bpy.types.Operator):
    """Keep what was changed in this frame as a new edit layer"""

    bl_label = "Finish Edit"
    remembers = ("mode", "before", "after", "falloff", "every_frame")

    name: Text("Name", "Of the new layer; empty names it after its frame")
    mode: Choice(
        "Mode",
        "How the fix moves to other frames",
        (
            "OFFSET",
            "Offset",
            "The fix moves every vertex by the same way on each frame, in the axes of the camera that filmed it",
        ),
        ("RAY", "Along Ray", "The fix slides along the viewing rays by a share of the depth: for wrong depth"),
    )
    before: Whole("Frames Before", "So many frames before the edited one get the whole fix", min=0)
    after: Whole("Frames After", "So many frames after the edited one get the whole fix", min=0)
    falloff: Whole("Falloff", "So many more frames on either side get a share of the fix", min=0)
    every_frame: Flag("Every Frame", "The whole fix on all frames of the shot")

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        state.require_editing(body)
        frame = body.ex4d_edit.frame
        frames = layers.FrameRange(frame - self.before, frame + self.after, self.falloff, self.every_frame)
        with object_mode(context, body, stay=True):
            made = state.finish(body, name=self.name or f"Frame {frame}", mode=self.mode, frames=frames)
        view.unlock(context.scene, body)
        view.end(context, body)
        retime.follow(shot.active_shot(context))
        if made is None:
            return f"Nothing was moved in frame {frame}; no layer was made."
        body.ex4d_edit.active_layer = body.modifiers.find(made.name)
        reach = (
            "every frame"
            if self.every_frame
            else f"frames {frames.first - self.falloff} to {frames.last + self.falloff}"
        )
        return f"Layer '{made.name}' changes {reach}."


class EX4D_OT_discard_edit(EditOperator, bpy.types.Operator):
    """Forget what was changed in this frame"""

    bl_label = "Discard Edit"

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        state.require_editing(body)
        frame = body.ex4d_edit.frame
        with object_mode(context, body, stay=True):
            state.discard(body)
        view.unlock(context.scene, body)
        view.end(context, body)
        return f"The edit of frame {frame} is discarded."


class _LayerOperator(EditOperator):
    layer: Text("Layer", "Empty means the one chosen in the list")

    def chosen(self, body: bpy.types.Object) -> bpy.types.Modifier:
        """The layer by name or the active one. Raises AddonError, also while a frame is being edited."""
        state.require_finished(body)
        if self.layer:
            return layers.find(body, self.layer)
        index = body.ex4d_edit.active_layer
        if not 0 <= index < len(body.modifiers) or layers.mode_of(body.modifiers[index]) is None:
            raise AddonError("No edit layer is chosen; click one in the list.")
        return body.modifiers[index]


class EX4D_OT_remove_layer(_LayerOperator, bpy.types.Operator):
    """Delete this edit layer with its keyframes"""

    bl_label = "Remove Layer"

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        layer = self.chosen(body)
        name = layer.name
        with object_mode(context, body):
            layers.remove(body, layer)
        left = layers.stack(body)
        body.ex4d_edit.active_layer = body.modifiers.find(left[-1].name) if left else -1
        return f"Layer '{name}' removed."


class EX4D_OT_move_layer(_LayerOperator, bpy.types.Operator):
    """Apply this edit layer earlier or later"""

    bl_label = "Move Layer"

    direction: Choice(
        "Direction", "Where in the stack it goes", ("UP", "Up", "Apply it earlier"), ("DOWN", "Down", "Apply it later")
    )

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        del context
        layer = self.chosen(body)
        name = layer.name
        moved = layers.move(body, layer, -1 if self.direction == "UP" else 1)
        body.ex4d_edit.active_layer = body.modifiers.find(name)
        return f"Layer '{name}' moved." if moved else f"Layer '{name}' is already at that end of the list."


class EX4D_OT_mute_layer(_LayerOperator, bpy.types.Operator):
    """Leave this edit layer out, or put it back"""

    bl_label = "Mute Layer"

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        del context
        layer = self.chosen(body)
        muted = not layers.is_muted(layer)
        layer.show_viewport = layer.show_render = not muted
        return f"Layer '{layer.name}' is {'muted' if muted else 'on'}."


class EX4D_OT_update_visible(LongOperator, bpy.types.Operator):
    """Show in the viewport which faces the source sees after the edits; in a window this happens by itself"""

    bl_label = "Update Visible Faces"
    panel = "Behind Objects"
    requires = (shot.active_shot,)
    needs_backend = True

    def begin(self, context: bpy.types.Context) -> Task:
        target = shot.active_shot(context)
        return visible.start(target, session.get().require_link(), shot.stored_clip(target))
