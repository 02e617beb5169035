"""Repair Depth: the frame being edited and the layers. Behind Objects: what blocks, how thick, what else takes part."""

from typing import Any

import bpy

from ..panels.base import OfShot, Part, hint, split_column
from ..panels.messages import draw_news
from ..scene import layer_nodes, layers, retime, roles
from ..work.languages import say
from . import brushes, occluders, state, thickness_overlay, thickness_weights


def shown_body(context: bpy.types.Context) -> bpy.types.Object:
    """The shot's mesh object, for panels that are there once there is one."""
    return context.scene.ex4d.shot.ex4d.mesh


class EX4D_UL_layers(bpy.types.UIList):
    """The layers among a mesh object's modifiers."""

    def draw_item(self, _context, layout, _data, item, _icon, _active, _property) -> None:
        row = layout.row(align=True)
        icon = "EMPTY_ARROWS" if layers.mode_of(item) == "OFFSET" else "LIGHT_AREA"
        row.prop(item, "name", text="", emboss=False, icon=icon)
        weight = row.row(align=True)
        weight.active = not layers.is_muted(item)
        weight.prop(*layers.shown_input(item, "Weight"), text="")
        shown = "HIDE_ON" if layers.is_muted(item) else "HIDE_OFF"
        row.operator("ex4d.mute_layer", text="", icon=shown, emboss=False).layer = item.name

    def filter_items(self, _context: bpy.types.Context, data: Any, name: str) -> tuple[list[int], list[int]]:
        flags = [self.bitflag_filter_item if layers.mode_of(item) else 0 for item in getattr(data, name)]
        return flags, []


class EX4D_PT_repair_depth(OfShot, bpy.types.Panel):
    bl_label = "Repair Depth"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 3

    def draw(self, context: bpy.types.Context) -> None:
        layout, body = self.layout, shown_body(context)
        if bpy.app.version < layer_nodes.NEEDED:
            hint(layout, f"Edits need Blender {layer_nodes.NEEDED[0]}.{layer_nodes.NEEDED[1]}.")
            return
        if state.is_editing(body):
            _draw_open_edit(layout, context, body)
        else:
            row = layout.row(align=True)
            row.scale_y = 1.3
            row.operator("ex4d.edit_frame", icon="SCULPTMODE_HLT").tools = "SCULPT"
            row.operator("ex4d.edit_frame", text="", icon="EDITMODE_HLT").tools = "EDIT"
            _draw_layers(layout, context.scene.ex4d.shot, body)
        draw_news(layout, context, "Repair Depth")


def _draw_open_edit(layout: bpy.types.UILayout, context: bpy.types.Context, body: bpy.types.Object) -> None:
    frame = body.ex4d_edit.frame
    layout.label(text=say(f"Editing Frame {frame}"), icon=MODE_ICONS.get(body.mode, "MESH_DATA"), translate=False)
    if context.scene.frame_current != frame:
        hint(layout, f"The timeline is at frame {context.scene.frame_current}.")
    row = layout.row(align=True)
    row.scale_y = 1.3
    row.operator("ex4d.finish_edit", text="Finish Edit...", icon="CHECKMARK")
    row.operator("ex4d.discard_edit", text="Discard", icon="X")
    if context.mode == "SCULPT":
        column = layout.column(align=True)
        column.label(text="Brushes That Change Depth Alone")
        for kind, label, *_ in brushes.BRUSHES:
            column.operator("ex4d.depth_brush", text=label, icon="BRUSH_DATA").kind = kind
        return
    column = layout.column(align=True)
    column.label(text="Selected Vertices")
    column.operator("ex4d.smooth_depth", icon="MOD_SMOOTH")
    column.operator("ex4d.flatten_depth", icon="MESH_PLANE")
    column.operator("ex4d.add_plane", icon="ADD")
    row = column.row(align=True)
    row.operator("ex4d.push_edge", text="Push Edge").pixels = 1
    row.operator("ex4d.push_edge", text="Pull Edge").pixels = -1


MODE_ICONS = {"EDIT": "EDITMODE_HLT", "SCULPT": "SCULPTMODE_HLT", "OBJECT": "OBJECT_DATAMODE"}


def _draw_layers(layout: bpy.types.UILayout, shot: bpy.types.Object, body: bpy.types.Object) -> None:
    if not layers.stack(body):
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
    column.use_property_decorate = True
    for name in ("Weight", "All Frames"):
        column.prop(*layers.shown_input(chosen, name), text=name)
    limited = column.column(align=True)
    limited.active = not layers.frames_of(chosen).every_frame
    for name in ("First", "Last", "Falloff"):
        limited.prop(*layers.shown_input(chosen, name), text=name)
    if layers.mode_of(chosen) == "OFFSET" and shot.ex4d.rig is not None:
        hint(layout, "This offset is in the filming camera's axes: it goes where that camera goes.")


class EX4D_PT_behind_objects(OfShot, bpy.types.Panel):
    bl_label = "Behind Objects"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 4

    def draw(self, context: bpy.types.Context) -> None:
        occluders.draw(split_column(self.layout), context.scene.ex4d.shot)
        draw_news(self.layout, context, "Behind Objects")


class EX4D_PT_thickness(Part, OfShot, bpy.types.Panel):
    bl_label = "Painted Thickness"
    bl_parent_id = "EX4D_PT_behind_objects"
    bl_order = 0

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return super().poll(context) and (
            context.scene.ex4d.shot.ex4d.occluders == "SOLID" or _paints_thickness(shown_body(context))
        )

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        shot = context.scene.ex4d.shot.ex4d
        icon = "HIDE_OFF" if shot.show_thickness else "HIDE_ON"
        self.layout.prop(shot, "show_thickness", text="", icon=icon, emboss=False)

    def draw(self, context: bpy.types.Context) -> None:
        layout, body = self.layout, shown_body(context)
        if _paints_thickness(body):
            _draw_painting(layout, body)
        else:
            _draw_thickness(layout, context, context.scene.ex4d.shot, body)


def _paints_thickness(body: bpy.types.Object) -> bool:
    return thickness_weights.is_painting(body) and not thickness_weights.is_painting_moving(body)


def _draw_thickness(
    layout: bpy.types.UILayout, context: bpy.types.Context, target: bpy.types.Object, body: bpy.types.Object
) -> None:
    shot = target.ex4d
    row = layout.row(align=True)
    row.prop(shot, "paint_by", text="")
    row.prop(shot, "paint_length" if shot.paint_by == "LENGTH" else "paint_share", text="")
    layout.operator("ex4d.paint_thickness", text="Paint with Brushes", icon="BRUSH_DATA").full = shot.paint_length
    if context.mode == "EDIT_MESH":
        column = layout.column(align=True)
        column.label(text="Selected Vertices")
        column.operator("ex4d.select_object", icon="SELECT_EXTEND")
        row = column.row(align=True)
        setting = row.operator("ex4d.set_thickness", text="Set")
        setting.by, setting.length, setting.share = shot.paint_by, shot.paint_length, shot.paint_share
        row.operator("ex4d.clear_thickness", text="Clear")
        column.operator("ex4d.select_thickness", text="Select Painted", icon="RESTRICT_SELECT_OFF")
    else:
        hint(layout, "Or select vertices in Edit Mode and set theirs.")
    frame = retime.shown_frame(context, target) - shot.frame_start
    count, least, greatest = thickness_overlay.lengths_of(body.data, frame)
    if count:
        lengths = f"{least:.3g}" if greatest - least < 1e-3 * greatest else f"{least:.3g} to {greatest:.3g}"
        layout.label(text=say(f"{count} vertices here: {lengths}"), translate=False)


def _draw_painting(layout: bpy.types.UILayout, body: bpy.types.Object) -> None:
    layout.label(text=say(f"Weight 1 is {body.ex4d_edit.paint_full:.3g}"), icon="BRUSH_DATA", translate=False)
    row = layout.row(align=True)
    row.scale_y = 1.3
    row.operator("ex4d.finish_painting", text="Finish", icon="CHECKMARK")
    row.operator("ex4d.discard_painting", text="Discard", icon="X")


class EX4D_PT_occlusion(Part, OfShot, bpy.types.Panel):
    bl_label = "Occlusion"
    bl_parent_id = "EX4D_PT_behind_objects"
    bl_order = 1

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        if context.mode != "EDIT_MESH":
            hint(layout, "Select faces in Edit Mode to say whether the source shows them.")
        column = layout.column(align=True)
        column.label(text="Selected Faces, Whole Shot")
        row = column.row(align=True)
        for flag, text in (("VISIBLE", "Visible"), ("OCCLUDED", "Occluded"), ("AUTO", "Auto")):
            row.operator("ex4d.paint_occlusion", text=text).flag = flag
        row = column.row(align=True)
        row.operator("ex4d.select_painted", text="Painted", icon="RESTRICT_SELECT_OFF")
        row.operator("ex4d.update_visible", text="Update", icon="FILE_REFRESH")


class EX4D_PT_guide_objects(Part, OfShot, bpy.types.Panel):
    bl_label = "Guide Objects"
    bl_parent_id = "EX4D_PT_behind_objects"
    bl_order = 2

    def draw(self, context: bpy.types.Context) -> None:
        """The role of the active object, unless it belongs to the shot; and how many objects have one."""
        layout, target = self.layout, context.scene.ex4d.shot
        obj, props = context.active_object, target.ex4d
        own = (target, props.mesh, props.camera, props.source_camera)
        count = len(roles.marked(context.scene))
        if obj is not None and obj not in own and obj.type in roles.TYPES:
            layout.label(text=obj.name, icon="OBJECT_DATA", translate=False)
            layout.row().prop(obj.ex4d, "role", expand=True)
        elif not count:
            hint(layout, "Select an object to add it to the guides.")
        if count:
            layout.label(text=say(f"{count} in the guides"), icon="CHECKMARK", translate=False)
