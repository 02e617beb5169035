"""Blender's properties in short: a name, what the tooltip says, and what differs from the usual."""

from collections.abc import Callable
from typing import Any

import bpy

from . import compat

PATH_OPTIONS = compat.relative_path_options()

OWN = {"LIBRARY_OVERRIDABLE"}
"""What a library override of a shot may have differently."""


def _short(kind: Callable[..., Any], **usual: Any) -> Callable[..., Any]:
    def make(name: str, description: str, **options: Any) -> Any:
        return kind(name=name, description=description, **{**usual, **options})

    return make


Flag = _short(bpy.props.BoolProperty)
Whole = _short(bpy.props.IntProperty)
Number = _short(bpy.props.FloatProperty)
Share = _short(bpy.props.FloatProperty, subtype="FACTOR", min=0.0, max=1.0)
Text = _short(bpy.props.StringProperty)
File = _short(bpy.props.StringProperty, subtype="FILE_PATH", options=PATH_OPTIONS)
Folder = _short(bpy.props.StringProperty, subtype="DIR_PATH", options=PATH_OPTIONS)
Pointer = _short(bpy.props.PointerProperty)
Collection = _short(bpy.props.CollectionProperty)


def Choice(name: str, description: str, *items: tuple, **options: Any) -> Any:
    """One of ``items``: identifier, name and tooltip, perhaps a number."""
    return bpy.props.EnumProperty(name=name, description=description, items=items, **options)
