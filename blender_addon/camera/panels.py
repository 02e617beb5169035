"""The Camera panel: a move by its name and how far it goes, what it sees, and its finer points."""

import bpy

from ..jobs import offers
from ..panels import progress
from ..panels.base import OfShot, Part, split_column
from ..panels.messages import draw_button, draw_news
from ..work.hooks import Hook
from . import presets
from .filming_panels import draw_steady

below_move = Hook()
"""Called with layout and context once there is a camera: for what it sees."""


class EX4D_PT_camera(OfShot, bpy.types.Panel):
    bl_label = "Camera"
    bl_order = 1

    def draw(self, context: bpy.types.Context) -> None:
        layout, props = self.layout, context.scene.ex4d
        camera = props.shot.ex4d.camera
        _draw_move(layout, props)
        progress.draw_or(layout, context, "Camera", lambda: _draw_add(layout, context))
        draw_steady(layout, props)
        if camera is not None:
            below_move(layout, context)
        draw_news(layout, context, "Camera")


def _draw_move(layout: bpy.types.UILayout, props: bpy.types.PropertyGroup) -> None:
    """The move and its amount in the move's own unit."""
    preset = offers.preset(props.preset)
    column = split_column(layout)
    split = column.split(factor=0.4)
    name = split.row()
    name.alignment = "RIGHT"
    name.label(text="Move")
    split.menu("EX4D_MT_moves", text=presets.title(props.preset))
    if preset is not None and preset.maximum > preset.minimum:
        column.prop(props, presets.amount_property(preset.unit))


def _draw_add(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The first move adds a camera; then it is replaced, and the small button adds another camera."""
    props = context.scene.ex4d
    if props.shot.ex4d.camera is None:
        buttons = [draw_button(layout, context, "ex4d.add_camera_move", icon="KEYFRAME_HLT")]
    else:
        row = layout.row(align=True)
        buttons = [draw_button(row, context, "ex4d.replace_camera_move", below=layout, icon="KEYFRAME_HLT")]
        small = row.column()
        small.scale_y = 1.3
        buttons.append(small.operator("ex4d.add_camera_move", text="", icon="ADD"))
    for button in buttons:
        button.preset, button.amount, button.centre = props.preset, props.amount, props.centre
        button.easing = "" if props.easing == "AUTO" else props.easing


class EX4D_PT_easing(Part, OfShot, bpy.types.Panel):
    bl_label = "Easing and Centre"
    bl_parent_id = "EX4D_PT_camera"
    bl_order = 0

    def draw(self, context: bpy.types.Context) -> None:
        layout, props = self.layout, context.scene.ex4d
        column = split_column(layout)
        column.prop(props, "easing")
        column.prop(props, "centre")
        if props.centre == "OWN":
            column.prop(props, "own_depth")
        column.prop(props.shot.ex4d, "camera", text="Camera")
        row = layout.row(align=True)
        row.operator("ex4d.export_camera", icon="EXPORT", text="Export...")
        row.operator("ex4d.import_camera", icon="IMPORT", text="Import...")
