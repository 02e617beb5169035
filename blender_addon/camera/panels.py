"""The Camera panel."""

import bpy

from ..jobs import offers
from ..panels.base import Step, hint, split_column, why_not
from ..panels.messages import draw_button, draw_news
from ..work import session


class EX4D_PT_camera(Step, bpy.types.Panel):
    bl_label = "Camera"

    def draw(self, context: bpy.types.Context) -> None:
        layout, props = self.layout, context.scene.ex4d
        target = props.shot
        if target is None:
            hint(layout, "Import a clip first.")
            return
        split_column(layout).prop(target.ex4d, "camera", text="Camera")
        reason = why_not(context, shot=True, idle=True)
        preset = offers.preset(props.preset)
        row = layout.row()
        row.enabled = session.get().connected
        row.menu("EX4D_MT_moves", text=(preset.title if preset else "") or props.preset, icon="CAMERA_STEREO")
        column = split_column(layout)
        if preset is not None and preset.maximum > preset.minimum:
            column.prop(props, "amount", text=f"Amount ({preset.unit})" if len(preset.unit) < 12 else "Amount")
        column.prop(props, "easing")
        column.prop(props, "centre")
        button = draw_button(layout, "ex4d.add_camera_move", reason=reason, scale=1.3, icon="KEYFRAME_HLT")
        button.preset, button.amount, button.centre = props.preset, props.amount, props.centre
        button.easing = "" if props.easing == "AUTO" else props.easing
        if not reason:
            hint(layout, "Keys are ordinary ones: edit them, or animate any camera yourself.")
        row = layout.row(align=True)
        column = row.column(align=True)
        column.enabled = target.ex4d.camera is not None
        column.operator("ex4d.export_camera", icon="EXPORT", text="Export")
        column = row.column(align=True)
        column.enabled = context.mode == "OBJECT"
        column.operator("ex4d.import_camera", icon="IMPORT", text="Import")
        if target.ex4d.camera is None:
            hint(layout, "Export needs a shot camera: add a move, or choose one.")
        draw_news(layout, "Camera")
