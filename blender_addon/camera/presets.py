"""Choosing one of the moves that the backend offers."""

import bpy

from ..jobs import offers
from ..work import session
from ..work.hooks import Listeners
from ..work.properties import Text


class EX4D_OT_choose_move(offers.Choose, bpy.types.Operator):
    """Choose this move"""

    bl_label = "Choose Move"
    find = staticmethod(offers.preset)
    preset: Text("Move", "Name of the backend's move")

    def run(self, context: bpy.types.Context) -> str:
        preset = offers.preset(self.preset)
        context.scene.ex4d.amount = preset.amount if preset is not None else 0.0
        return super().run(context)


class EX4D_MT_moves(bpy.types.Menu):
    bl_label = "Camera Moves"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        for published, heading in ((False, "Moves"), (True, "As EX-4D Publishes Them")):
            layout.label(text=heading)
            for preset in session.get().capabilities.presets:
                if preset.published == published:
                    layout.operator("ex4d.choose_move", text=preset.title or preset.name).preset = preset.name
            if not published:
                layout.separator()


def complete_choice(context: bpy.types.Context) -> None:
    """After connecting: an amount nobody has chosen becomes the move's own, and a move that is not there, the first."""
    props, presets = context.scene.ex4d, session.get().capabilities.presets
    if presets and offers.preset(props.preset) is None:
        props.preset, props.amount = presets[0].name, 0.0
    preset = offers.preset(props.preset)
    if preset is not None and props.amount == 0.0:
        props.amount = preset.amount


listeners = Listeners((session.connected, complete_choice))
