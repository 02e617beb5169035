"""The panel of edits: the frame being edited, the layers, the helpers, other objects."""

from typing import Any

import bpy

from . import edit_state, guide_objects, layers, layers_nodes


class EX4D_UL_layers(bpy.types.UIList):
    """The layers among a mesh object's modifiers."""

    def draw_item(
        self,
        _context: bpy.types.Context,
        layout: bpy.types.UILayout,
        _data: Any,
        item: Any,
        _icon: int | None,
        _active_data: Any,
        _active_property: str | None,
        _index: int | None = 0,
        _filter_flag: int | None = 0,
    ) -> None:
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


class EX4D_PT_edits(bpy.types.Panel):
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "EX-4D"
    bl_label = "Edits"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        target = context.scene.ex4d.shot
        body = target.ex4d.mesh if target is not None else None
        if body is None:
            layout.label(text="Import a clip first", icon="INFO")
            return
        if bpy.app.version < layers_nodes.NEEDED:
            layout.label(text=f"Edits need Blender {layers_nodes.NEEDED[0]}.{layers_nodes.NEEDED[1]}", icon="INFO")
            return
        if edit_state.is_editing(body):
            _draw_open_edit(layout, context, body)
        else:
            layout.operator("ex4d.edit_frame", icon="EDITMODE_HLT")
            _draw_layers(layout, body)
        _draw_objects(layout, context, target)


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
    count = len(guide_objects.marked(context.scene))
    if obj is not None and obj not in own and obj.type in guide_objects.TYPES:
        column.prop(obj.ex4d, "role", text=obj.name)
    elif not count:
        column.label(text="Select an object to add it", icon="INFO")
    if count:
        column.label(text=f"{count} in the guides", icon="OBJECT_DATA")


CLASSES = (EX4D_UL_layers, EX4D_PT_edits)
