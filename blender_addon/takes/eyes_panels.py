"""The Stereo panel, among the settings of the next take."""

import bpy

from ..panels.base import Part, paragraph, shown_shot, split_column
from ..work.errors import AddonError
from . import eyes


class EX4D_PT_stereo(Part, bpy.types.Panel):
    bl_label = "Stereo"
    bl_parent_id = "EX4D_PT_settings"
    bl_order = 2

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        target = shown_shot(context)
        return target is not None and target.ex4d.camera is not None and target.ex4d.mesh is not None

    def draw_header(self, context: bpy.types.Context) -> None:
        self.layout.prop(context.scene.ex4d, "stereo", text="")

    def draw(self, context: bpy.types.Context) -> None:
        layout, props = self.layout, context.scene.ex4d
        target = props.shot
        cam = target.ex4d.camera
        layout.active = props.stereo
        layout.operator("ex4d.fit_eyes", icon="SHADERFX")
        column = split_column(layout)
        column.prop(cam.data.stereo, "interocular_distance", text="Eyes Apart")
        if cam.data.stereo.convergence_mode != "PARALLEL":
            column.prop(cam.data.stereo, "convergence_distance", text="Converge At")
        row = layout.row(align=True)
        row.operator("ex4d.converge_eyes", text="3D Cursor", icon="PIVOT_CURSOR").on = "CURSOR"
        row.operator("ex4d.converge_eyes", text="Active Object", icon="OBJECT_DATA").on = "OBJECT"
        layout.prop(props, "show_eyes")
        try:
            seen = eyes.comfort(context, target, cam)
        except AddonError as error:
            paragraph(layout, error.text("panel"), icon="ERROR", alert=props.stereo)
            return
        paragraph(layout, f"{seen.text}.", icon="MOD_LENGTH")
        for line in seen.warnings:
            paragraph(layout, line, icon="ERROR", alert=props.stereo)
        if props.stereo:
            paragraph(layout, "The shot camera is the left eye; two eyes take twice the time.", icon="INFO")
