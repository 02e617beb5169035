"""The planes of the place in the Camera panel: a list with ticks, and where each one's colours come from."""

import bpy

from ..panels.base import Part, hint, shown_shot
from . import planes


class EX4D_UL_planes(bpy.types.UIList):
    """The planes of a shot's place."""

    def draw_item(self, _context, layout, _data, item, _icon, _active, _property) -> None:
        row = layout.row(align=True)
        row.prop(item, "use", text="")
        name = row.row(align=True)
        name.active = item.use
        name.label(text=item.name, translate=False, icon="ADD" if item.added else "MESH_PLANE")
        share = name.row()
        share.alignment = "RIGHT"
        share.label(text=f"{item.share:.0%}" if item.share else "", translate=False)


class EX4D_PT_planes(Part, bpy.types.Panel):
    bl_label = "Planes"
    bl_parent_id = "EX4D_PT_coverage"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        target = shown_shot(context)
        if target is not None:
            icon = "HIDE_OFF" if target.ex4d.show_planes else "HIDE_ON"
            self.layout.prop(target.ex4d, "show_planes", text="", icon=icon, emboss=False)

    def draw(self, context: bpy.types.Context) -> None:
        layout, props = self.layout, context.scene.ex4d.shot.ex4d
        if not props.planes:
            hint(layout, "Render Guides finds the floor and the walls that previews show.")
        row = layout.row()
        row.template_list("EX4D_UL_planes", "", props, "planes", props, "active_plane", rows=3)
        side = row.column(align=True)
        side.operator("ex4d.add_plane", text="", icon="ADD")
        side.operator("ex4d.remove_plane", text="", icon="REMOVE")
        if 0 <= props.active_plane < len(props.planes):
            item = props.planes[props.active_plane]
            layout.row().prop(item, "texture", expand=True)
            words = layout.row()
            words.active = False
            words.label(text=planes.told(item), translate=False)
        if context.mode != "EDIT_MESH":
            hint(layout, "To add one, select its vertices in Edit Mode.")
