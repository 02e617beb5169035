"""The Coverage panel: live mode, guides, the graph, and the frames that ask for too much."""

import hashlib

import bpy
import numpy as np

from ..panels import previews
from ..panels.base import Step, hint, split_column, why_not
from ..panels.messages import draw_button, draw_news
from ..work import session
from ..work.hooks import Hook
from . import coverage

MOST_PROBLEMS = 6

above_guides = Hook()
"""Called with layout and context for what is drawn first, once there is a camera."""


class EX4D_PT_coverage(Step, bpy.types.Panel):
    bl_label = "Coverage"

    def draw(self, context: bpy.types.Context) -> None:
        layout, props = self.layout, context.scene.ex4d
        target = props.shot
        if target is not None and target.ex4d.camera is not None:
            above_guides(layout, context)
        draw_rasterizer(layout, props)
        reason = why_not(context, shot=True, camera=True, idle=True)
        draw_button(layout, "ex4d.render_guides", reason=reason, icon="IMAGE_DATA")
        draw_news(layout, "Coverage")
        values = coverage.current(target) if target is not None else np.empty(0)
        if target is None or not np.isfinite(values).any():
            if not reason:
                hint(layout, "Shows which frames ask for more than the source can show, before GPU time is spent.")
            return
        layout.label(text=f"Source shows {np.nanmean(values):.0%} of it")
        key = hashlib.sha1(values.tobytes() + f"{props.min_coverage:.3f}".encode()).hexdigest()
        graph = previews.graph(key, lambda: coverage.graph(values, minimum=props.min_coverage))
        layout.template_icon(graph, scale=7)
        split_column(layout).prop(props, "min_coverage", slider=True)
        problems = coverage.problems(values, frame_start=target.ex4d.frame_start, minimum=props.min_coverage)
        _draw_problems(layout, context.scene, problems)
        layout.prop(props, "show_coverage_strip")


def draw_rasterizer(layout: bpy.types.UILayout, props: bpy.types.PropertyGroup) -> None:
    """The choice, where the backend leaves one, and what keeps the chosen one from drawing there."""
    offered = session.get().capabilities.rasterizers
    if sum(one.available for one in offered) < 2:
        return
    split_column(layout).prop(props, "rasterizer")
    chosen = next((one for one in offered if one.name == props.rasterizer.lower()), None)
    if chosen is not None and not chosen.available:
        hint(layout, f"It cannot draw there: {chosen.why}.")


def _draw_problems(layout: bpy.types.UILayout, scene: bpy.types.Scene, problems: list[coverage.Problem]) -> None:
    if not problems:
        layout.label(text="No problem frames", icon="CHECKMARK")
        return
    column = layout.column(align=True)
    for problem in problems[:MOST_PROBLEMS]:
        button = column.operator("ex4d.go_to_frame", text=problem.text, icon="CANCEL" if problem.is_empty else "ERROR")
        button.frame = problem.worst
    if len(problems) > MOST_PROBLEMS:
        column.label(text=f"and {len(problems) - MOST_PROBLEMS} more")
    row = layout.row(align=True)
    row.operator("ex4d.mark_problems", icon="MARKER_HLT")
    if any(marker.name.startswith(coverage.MARKER_PREFIX) for marker in scene.timeline_markers):
        row.operator("ex4d.mark_problems", text="", icon="X").remove = True
