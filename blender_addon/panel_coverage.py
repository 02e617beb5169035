"""The Coverage panel: live mode, guides, the graph, and the frames that ask for too much."""

from __future__ import annotations

import hashlib

import bpy
import numpy as np

from . import coverage, guide_objects, live, previews
from .panel_base import Step, hint, paragraph, why_not
from .panel_messages import draw_message, draw_reason, draw_tasks

MOST_PROBLEMS = 6


class EX4D_PT_coverage(Step, bpy.types.Panel):
    bl_label = "Coverage"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        props = context.scene.ex4d
        target = props.shot
        if target is not None and target.ex4d.camera is not None:
            _draw_live(layout, context)
        reason = why_not(context, shot=True, camera=True, idle=True)
        column = layout.column()
        column.enabled = not reason
        column.operator("ex4d.render_guides", icon="IMAGE_DATA")
        if reason:
            draw_reason(layout, reason)
        draw_tasks(layout, "Coverage")
        draw_message(layout, "Coverage")
        values = coverage.current(target) if target is not None else np.empty(0)
        if target is None or not np.isfinite(values).any():
            if not reason:
                hint(layout, "Shows which frames ask for more than the source can show, before GPU time is spent.")
            return
        layout.label(text=f"Source shows {np.nanmean(values):.0%} of it")
        key = hashlib.sha1(values.tobytes() + f"{props.min_coverage:.3f}".encode()).hexdigest()
        graph = previews.graph(key, lambda: coverage.graph(values, minimum=props.min_coverage))
        layout.template_icon(graph, scale=7)
        row = layout.row()
        row.use_property_split = True
        row.use_property_decorate = False
        row.prop(props, "min_coverage", slider=True)
        found = coverage.problems(values, frame_start=target.ex4d.frame_start, minimum=props.min_coverage)
        _draw_problems(layout, context.scene, found)
        layout.prop(props, "show_coverage_strip")


def _draw_live(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    switches, state = context.window_manager.ex4d_live, live.current
    row = layout.row(align=True)
    row.prop(switches, "enabled", toggle=True, icon="VIEW_CAMERA")
    row.prop(switches, "auto_coverage", text="Auto", toggle=True, icon="FILE_REFRESH")
    if not (switches.enabled or switches.auto_coverage):
        return
    if state.paused:
        paragraph(layout, state.paused, icon="PAUSE", alert=True)
        layout.operator("ex4d.live_resume", icon="PLAY")
        return
    if switches.enabled:
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(switches, "opacity", slider=True)
        column.prop(switches, "moving_size", text="Moving", slider=True)
    if guide_objects.marked(context.scene):
        hint(layout, "Live leaves out the objects that take part in the guides; Render Guides has them.")
    if state.note:
        paragraph(layout, state.note, icon="ERROR" if state.note_is_error else "INFO", alert=state.note_is_error)
    elif switches.enabled and state.meter.last_ms is not None:
        layout.label(text=f"Picture in {state.meter.last_ms:.0f} ms", icon="CHECKMARK")


def _draw_problems(layout: bpy.types.UILayout, scene: bpy.types.Scene, found: list[coverage.Problem]) -> None:
    if not found:
        layout.label(text="No problem frames", icon="CHECKMARK")
        return
    column = layout.column(align=True)
    for problem in found[:MOST_PROBLEMS]:
        button = column.operator("ex4d.go_to_frame", text=problem.text, icon="CANCEL" if problem.is_empty else "ERROR")
        button.frame = problem.worst
    if len(found) > MOST_PROBLEMS:
        column.label(text=f"and {len(found) - MOST_PROBLEMS} more")
    row = layout.row(align=True)
    row.operator("ex4d.mark_problems", icon="MARKER_HLT")
    if any(marker.name.startswith(coverage.MARKER_PREFIX) for marker in scene.timeline_markers):
        row.operator("ex4d.mark_problems", text="", icon="X").remove = True


CLASSES = (EX4D_PT_coverage,)
