"""What all panels share: where they are, how they wrap a sentence, and how they say why something is disabled."""

import textwrap
from typing import NamedTuple

import bpy

from ex4d_ground.remedies import Remedy, connect, object_mode

from ..work import session


class Step:
    """Mixin: one step of the artist's way, in the 3D viewport's sidebar."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "EX-4D"


BOXED, BESIDE_BUTTON = 20, 22
"""How many pixels of a line a box, and a small button beside it, take away."""


def paragraph(
    layout: bpy.types.UILayout, text: str, *, icon: str = "NONE", alert: bool = False, narrower: int = 0
) -> None:
    """A sentence on as many lines as the sidebar's width asks for; Blender wraps none itself.

    ``narrower`` is what of the width is taken already, in pixels.
    """
    region, scale = bpy.context.region, bpy.context.preferences.system.ui_scale or 1.0
    width = region.width if region is not None else 280
    column = layout.column(align=True)
    column.alert = alert
    column.scale_y = 0.8
    characters = max(int((width / scale - 60 - narrower) / 6.2), 16)
    for number, line in enumerate(textwrap.wrap(text, characters, break_long_words=True)):
        first = icon if number == 0 else ("BLANK1" if icon != "NONE" else "NONE")
        column.label(text=line, icon=first)


def split_column(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    """A column whose properties have their names to the left and no buttons for keyframes."""
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column


def short_title(title: str) -> str:
    """A title without what stands in brackets: buttons are narrow, and the tooltip has it all."""
    return title.split(" (")[0]


def hint(layout: bpy.types.UILayout, text: str) -> None:
    """What to do next, or why something is disabled."""
    paragraph(layout, text, icon="INFO")


class Reason(NamedTuple):
    """Why a button cannot be pressed now, and what mends it; false if it can be."""

    text: str = ""
    remedy: Remedy | None = None

    def __bool__(self) -> bool:
        return bool(self.text)


def why_not(context: bpy.types.Context, *, shot: bool = False, camera: bool = False, idle: bool = False) -> Reason:
    """Why an operator that needs a connection (and what is named) cannot run now."""
    current = session.get()
    target = context.scene.ex4d.shot
    if not current.connected:
        return Reason("Connect to a backend first.", connect())
    if shot and target is None:
        return Reason("Import a clip first.")
    if camera and (target is None or target.ex4d.camera is None):
        return Reason("Add a camera move, or choose a shot camera.")
    if context.mode != "OBJECT":
        return Reason("Switch to Object Mode (Tab).", object_mode())
    if idle and current.tasks:
        return Reason(f"Wait for '{current.tasks[0].title}', or cancel it.")
    return Reason()
