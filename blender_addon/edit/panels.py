"""The Mesh, Edits and Paint panels: the frame being edited, layers, other objects; what counts as seen, how thick."""

import os
from typing import Any

import bpy

from ..panels.base import Step, hint, paragraph
from ..scene import layer_nodes, layers, retime, roles, shot
from ..work import files
from . import occluders, state, thickness_overlay, thickness_weights


def shown_mesh(layout: bpy.types.UILayout, context: bpy.types.Context) -> bpy.types.Object | None:
    """The shot's mesh object; without one, says what to do first."""
    target = context.scene.ex4d.shot
    body = target.ex4d.mesh if target is not None else None
    if body is None:
        layout.label(text="Import a clip first", icon="INFO")
    return body


class EX4D_PT_mesh(Step, bpy.types.Panel):
    bl_label = "Mesh"

    def draw(self, context: bpy.types.Context) -> None:
        layout, target = self.layout, context.scene.ex4d.shot
        body = target.ex4d.mesh if target is not None else None
        if target is None or body is None:
            hint(layout, "Import a clip first." if target is None else "The shot's mesh was deleted; import it again.")
            return
        row = layout.row(align=True)
        row.prop(body, "hide_viewport", text="", icon="RESTRICT_VIEW_OFF", invert_checkbox=True)
        row.prop(body, "hide_render", text="", icon="RESTRICT_RENDER_OFF", invert_checkbox=True)
        row.label(text=f"{len(body.data.vertices):,} vertices")
        cache = shot.folder_of(target) / files.CACHE_FILE
        if not os.path.exists(cache):  # noqa: PTH110 - called on every redraw; no Path needs making
            paragraph(layout, f"The mesh cache {cache} is missing; import the clip again.", icon="ERROR", alert=True)
        column = layout.column()
        column.use_property_split = True
        column.prop(target.ex4d, "scene_scale", text="Scale")
        occluders.draw(column, target)
        column.prop(target.ex4d, "use_source_time")
        if target.ex4d.use_source_time:
            column.prop(target.ex4d, "source_time")
            hint(layout, "Keyframe the Source Frame to freeze, slow down or reverse.")


class EX4D_UL_layers(bpy.types.UIList):
    """The layers among a mesh object's modifiers."""

    def draw_item(self, _context, layout, _data, item, _icon, _active, _property) -> None:
        row = layout.row(align=True)
        icon = "EMPTY_ARROWS" if layers.mode_of(item) == "OFFSET" else "LIGHT_AREA"
        row.prop(item, "name", text="", emboss=False, icon=icon)
        weight = row.row(align=True)
        weight.active = not layers.is_muted(item)
        weight.prop(item, layers.input_path(item, "Weight"), text="")
        shown = "HIDE_ON" if layers.is_muted(item) else "HIDE_OFF"
        row.operator("ex4d.mute_layer", text="", icon=shown, emboss=False).layer = item.name

    def filter_items(self, _context: bpy.types.Context, data: Any, name: str) -> tuple[list[int], list[int]]:
        flags = [self.bitflag_filter_item if layers.mode_of(item) else 0 for item in getattr(data, name)]
        return flags, []


class EX4D_PT_edits(Step, bpy.types.Panel):
    bl_label = "Edits"

    def draw(self, context: bpy.types.Context) -> None:
        layout, body = self.layout, shown_mesh(self.layout, context)
        if body is None:
            return
        if bpy.app.version < layer_nodes.NEEDED:
            layout.label(text=f"Edits need Blender {layer_nodes.NEEDED[0]}.{layer_nodes.NEEDED[1]}", icon="INFO")
            return
        if state.is_editing(body):
            _draw_open_edit(layout, context, body)
        else:
            layout.operator("ex4d.edit_frame", icon="EDITMODE_HLT")
            _draw_layers(layout, body)
        _draw_objects(layout, context, context.scene.ex4d.shot)


def _draw_open_edit(layout: bpy.types.UILayout, context: bpy.types.Context, body: bpy.types.Object) -> None:
    frame = body.ex4d_edit.frame
    layout.label(text=f"Editing frame {frame}", icon="EDITMODE_HLT")
    if context.scene.frame_current != frame:
        layout.label(text=f"The timeline is at frame {context.scene.frame_current}", icon="INFO")
    row = layout.row(align=True)
    row.operator("ex4d.finish_edit", icon="CHECKMARK")
    row.operator("ex4d.discard_edit", text="Discard", icon="X")
    column = layout.column(align=True)
    column.label(text="On the selected vertices")
    column.operator("ex4d.smooth_depth", icon="MOD_SMOOTH")
    column.operator("ex4d.flatten_depth", icon="MESH_PLANE")
    row = column.row(align=True)
    row.operator("ex4d.push_edge", text="Push Edge").pixels = 1
    row.operator("ex4d.push_edge", text="Pull Edge").pixels = -1


def _draw_layers(layout: bpy.types.UILayout, body: bpy.types.Object) -> None:
    if not layers.stack(body):
        layout.label(text="Finished edits are listed here", icon="INFO")
        return
    row = layout.row()
    row.template_list("EX4D_UL_layers", "", body, "modifiers", body.ex4d_edit, "active_layer", rows=3)
    buttons = row.column(align=True)
    buttons.operator("ex4d.move_layer", text="", icon="TRIA_UP").direction = "UP"
    buttons.operator("ex4d.move_layer", text="", icon="TRIA_DOWN").direction = "DOWN"
    buttons.operator("ex4d.remove_layer", text="", icon="REMOVE")
    index = body.ex4d_edit.active_layer
    chosen = body.modifiers[index] if 0 <= index < len(body.modifiers) else None
    if chosen is None or layers.mode_of(chosen) is None:
        return
    column = layout.column(align=True)
    column.use_property_split = True
    for name in ("Weight", "All Frames"):
        column.prop(chosen, layers.input_path(chosen, name), text=name)
    limited = column.column(align=True)
    limited.active = not layers.frames_of(chosen).every_frame
    for name in ("First", "Last", "Falloff"):
        limited.prop(chosen, layers.input_path(chosen, name), text=name)


def _draw_objects(layout: bpy.types.UILayout, context: bpy.types.Context, target: bpy.types.Object) -> None:
    """The role of the active object, unless it belongs to the shot; and how many objects have one."""
    column = layout.column(align=True)
    column.label(text="Other objects in the guides")
    obj, props = context.active_object, target.ex4d
    own = (target, props.mesh, props.camera, props.source_camera)
    count = len(roles.marked(context.scene))
    if obj is not None and obj not in own and obj.type in roles.TYPES:
        column.prop(obj.ex4d, "role", text=obj.name)
    elif not count:
        column.label(text="Select an object to add it", icon="INFO")
    if count:
        column.label(text=f"{count} in the guides", icon="OBJECT_DATA")


class EX4D_PT_paint(Step, bpy.types.Panel):
    bl_label = "Paint"

    def draw(self, context: bpy.types.Context) -> None:
        layout, body = self.layout, shown_mesh(self.layout, context)
        if body is None:
            return
        if thickness_weights.is_painting(body):
            _draw_painting(layout, body)
            return
        if context.mode != "EDIT_MESH":
            layout.label(text="Select in Edit Mode", icon="INFO")
        _draw_occlusion(layout)
        _draw_thickness(layout, context, context.scene.ex4d.shot, body)


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
