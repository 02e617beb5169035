"""The panel of paint: which faces count as seen, and how thick things are."""

import bpy

from . import retime, thickness_overlay, thickness_weights


class EX4D_PT_paint(bpy.types.Panel):
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "EX-4D"
    bl_label = "Paint"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        target = context.scene.ex4d.shot
        body = target.ex4d.mesh if target is not None else None
        if body is None:
            layout.label(text="Import a clip first", icon="INFO")
            return
        if thickness_weights.is_painting(body):
            _draw_painting(layout, body)
            return
        if context.mode != "EDIT_MESH":
            layout.label(text="Select in Edit Mode", icon="INFO")
        _draw_occlusion(layout)
        _draw_thickness(layout, context, target, body)


def _draw_occlusion(layout: bpy.types.UILayout) -> None:
    column = layout.column(align=True)
    column.label(text="Selected faces, whole shot")
    row = column.row(align=True)
    for flag, text in (("VISIBLE", "Visible"), ("OCCLUDED", "Occluded"), ("AUTO", "Auto")):
        row.operator("ex4d.paint_occlusion", text=text).flag = flag
    row = column.row(align=True)
    row.operator("ex4d.select_painted", text="Painted", icon="RESTRICT_SELECT_OFF")
    row.operator("ex4d.update_visible", text="Update", icon="FILE_REFRESH")


def _draw_thickness(
    layout: bpy.types.UILayout, context: bpy.types.Context, target: bpy.types.Object, body: bpy.types.Object
) -> None:
    shot = target.ex4d
    column = layout.column(align=True)
    row = column.row(align=True)
    row.label(text="Thickness, whole shot")
    row.prop(shot, "show_thickness", text="", icon="HIDE_OFF" if shot.show_thickness else "HIDE_ON")
    row = column.row(align=True)
    row.prop(shot, "paint_by", text="")
    row.prop(shot, "paint_length" if shot.paint_by == "LENGTH" else "paint_share", text="")
    column.operator("ex4d.select_object", icon="SELECT_EXTEND")
    row = column.row(align=True)
    setting = row.operator("ex4d.set_thickness", text="Set")
    setting.by, setting.length, setting.share = shot.paint_by, shot.paint_length, shot.paint_share
    row.operator("ex4d.clear_thickness", text="Clear")
    row = column.row(align=True)
    row.operator("ex4d.select_thickness", text="Painted", icon="RESTRICT_SELECT_OFF")
    row.operator("ex4d.paint_thickness", text="Brushes", icon="BRUSH_DATA").full = shot.paint_length
    frame = retime.shown_frame(context, target) - shot.frame_start
    count, least, greatest = thickness_overlay.lengths_of(body.data, frame)
    if count:
        lengths = f"{least:.3g}" if greatest - least < 1e-3 * greatest else f"{least:.3g} to {greatest:.3g}"
        column.label(text=f"{count} vertices here: {lengths}")
        if shot.occluders != "SOLID":
            column.label(text="Needs solid occluders", icon="INFO")


def _draw_painting(layout: bpy.types.UILayout, body: bpy.types.Object) -> None:
    layout.label(text=f"Weight 1 is {body.ex4d_edit.paint_full:.3g}", icon="BRUSH_DATA")
    row = layout.row(align=True)
    row.operator("ex4d.finish_painting", text="Finish", icon="CHECKMARK")
    row.operator("ex4d.discard_painting", text="Discard", icon="X")


CLASSES = (EX4D_PT_paint,)
