"""The part of the Clip panel that hands the shot's geometry to other programs."""

import bpy

from ..panels import progress
from ..panels.base import OfShot, Part, hint
from ..panels.messages import draw_news
from .plan import PANEL


class EX4D_PT_other_programs(Part, OfShot, bpy.types.Panel):
    bl_label = "Other Programs"
    bl_parent_id = "EX4D_PT_clip"

    def draw(self, context: bpy.types.Context) -> None:
        progress.draw_or(self.layout, context, PANEL, lambda: _draw_export(self.layout))
        draw_news(self.layout, context, PANEL)


def _draw_export(layout: bpy.types.UILayout) -> None:
    layout.operator("ex4d.export_geometry", icon="EXPORT", text="Export Geometry...")
    hint(layout, "Mesh, cameras and pictures as Alembic or USD.")
