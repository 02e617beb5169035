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


AMOUNTS = {
    "degrees": "move_angle",
    "share of target distance": "move_share",
    "share of published curve": "move_share",
    "focal factor": "move_factor",
}
"""The property that shows an amount, by the unit it is in."""


def amount_property(unit: str) -> str:
    """The scene's property that shows the chosen move's amount in its unit."""
    return AMOUNTS.get(unit, "amount")


def title(name: str) -> str:
    """What a menu calls the move: the backend's title, each word with a capital."""
    preset = offers.preset(name)
    words = (preset.title if preset is not None else "") or name.replace("_", " ")
    return " ".join(word[:1].upper() + word[1:] for word in words.split())


class EX4D_MT_moves(bpy.types.Menu):
    bl_label = "Camera Moves"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        for published, heading in ((False, "Moves"), (True, "As EX-4D Publishes Them")):
            layout.label(text=heading)
            for preset in session.get().capabilities.presets:
                if preset.published == published:
                    layout.operator("ex4d.choose_move", text=title(preset.name)).preset = preset.name
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
