"""Brushes that change depth alone, as brush assets of the file, for the frame that is being sculpted."""

from typing import Any

import bpy

from ..work import compat
from ..work.errors import AddonError
from ..work.properties import Choice
from . import state
from .operators import EditOperator

BRUSHES = (
    ("PULL", "Pull Depth", "Brings what it passes nearer to the source camera; with Ctrl, farther away", "DRAW"),
    ("SMOOTH", "Smooth Depth", "Evens out the depth of what it passes", "SMOOTH"),
    ("FLATTEN", "Flatten Depth", "Brings what it passes to one plane", "PLANE"),
)
PREFIX = "EX-4D "


def brush(kind: str) -> bpy.types.Brush:
    """The depth brush of this file, made as a brush asset on first use."""
    label, tool = next((each[1], each[3]) for each in BRUSHES if each[0] == kind)
    found = bpy.data.brushes.get(PREFIX + label)
    if found is not None:
        return found
    made: Any = bpy.data.brushes.new(PREFIX + label, mode="SCULPT")
    tools = made.bl_rna.properties[compat.BRUSH_TOOL].enum_items.keys()
    setattr(made, compat.BRUSH_TOOL, tool if tool in tools else "FLATTEN")  # Plane is called Flatten up to 4.4
    made.use_frontface = True
    made.strength = 0.3
    if kind == "PULL":
        made.sculpt_plane = "VIEW"
    made.asset_mark()
    made.asset_data.description = next(each[2] for each in BRUSHES if each[0] == kind)
    return made


def activate(context: bpy.types.Context, chosen: bpy.types.Brush) -> None:
    """Take up the brush; where brushes are assets, Blender's own operator does."""
    if compat.BRUSHES_ARE_ASSETS:
        place = f"Brush/{chosen.name}"
        bpy.ops.brush.asset_activate(asset_library_type="LOCAL", relative_asset_identifier=place)
        return
    sculpt: Any = context.tool_settings.sculpt
    sculpt.brush = chosen


def _require_sculpting(context: bpy.types.Context) -> None:
    if context.mode != "SCULPT":
        raise AddonError("Depth brushes work in Sculpt Mode; press Edit This Frame first.")


class EX4D_OT_depth_brush(EditOperator, bpy.types.Operator):
    """Take up a brush that changes depth alone; it is made in this file as a brush asset"""

    bl_label = "Depth Brush"
    requires = (*EditOperator.requires, _require_sculpting)

    kind: Choice("Brush", "Which brush is taken up", *(each[:3] for each in BRUSHES))

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        return next(each[2] for each in BRUSHES if each[0] == properties.kind)

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        state.require_editing(body)
        activate(context, brush(self.kind))
        return ""
