"""What all panels share: where they are, how they wrap a sentence, and how they say why something is disabled."""

from collections.abc import Iterator
from functools import lru_cache

import blf  # pyright: ignore[reportMissingImports]
import bpy

from ..work.languages import say


class Step:
    """Mixin: one step of the artist's way, in the 3D viewport's sidebar. ``bl_order`` says which comes first."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "EX-4D"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.scene is not None


class Part(Step):
    """Mixin: what belongs to a step and few need; closed at first. ``bl_parent_id`` names the step."""

    bl_options = {"DEFAULT_CLOSED"}


class OfShot(Step):
    """Mixin: a panel that is there once the scene has a shot with a mesh."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        target = shown_shot(context)
        return target is not None and target.ex4d.mesh is not None


def shown_shot(context: bpy.types.Context) -> bpy.types.Object | None:
    """The shot that the panels work on; None if the scene has none, or not any more."""
    target = context.scene.ex4d.shot
    return target if target is not None and target.name in context.scene.objects else None


SIDEBAR_WIDTH = 280
"""Pixels that a sidebar nobody has drawn wider has, at scale 1."""
MARGINS, ICON, BOXED, BESIDE_BUTTON = 52, 20, 20, 24
"""Pixels of a line that the tabs and the panel's rim, an icon, a box, and a small button take away, at scale 1."""


def paragraph(
    layout: bpy.types.UILayout, text: str, *, icon: str = "NONE", alert: bool = False, narrower: int = 0
) -> None:
    """A sentence on as many lines as the sidebar's width asks for; Blender wraps none itself.

    ``narrower`` is what of the width is taken already, in pixels.
    """
    region, scale = bpy.context.region, bpy.context.preferences.system.ui_scale or 1.0
    width = region.width / scale if region is not None else SIDEBAR_WIDTH
    column = layout.column(align=True)
    column.alert = alert
    column.scale_y = 0.8
    for number, line in enumerate(lines(say(text), width - MARGINS - narrower - (ICON if icon != "NONE" else 0))):
        first = icon if number == 0 else ("BLANK1" if icon != "NONE" else "NONE")
        column.label(text=line, icon=first, translate=False)


def text_width(text: str) -> float:
    """Pixels that ``text`` takes in a panel, at scale 1."""
    return _width(text, bpy.context.preferences.ui_styles[0].widget.points)


@lru_cache(maxsize=4096)
def _width(text: str, points: float) -> float:
    blf.size(0, points)
    return blf.dimensions(0, text)[0]


def lines(text: str, width: float) -> Iterator[str]:
    """``text`` cut into lines of at most ``width`` pixels at scale 1, between words where that can be."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if text_width(longer) <= width:
            line = longer
            continue
        if line:
            yield line
        while text_width(word) > width and len(word) > 1:  # a path, say
            fits = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or text_width(word[:n]) <= width)
            yield word[:fits]
            word = word[fits:]
        line = word
    if line:
        yield line


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
    """What to do next, where it is not obvious."""
    paragraph(layout, text, icon="INFO")
