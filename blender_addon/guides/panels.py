"""What the camera sees of the source: in one row of the Camera panel, and closer in the Coverage panel below it."""

import hashlib

import bpy
import numpy as np

from ex4d_ground.arrays import Float64

from ..camera.panels import below_move
from ..panels import previews
from ..panels.base import Part, hint, shown_shot, split_column
from ..work import session
from ..work.hooks import Hook, Listeners
from ..work.languages import say
from . import coverage

MOST_PROBLEMS = 6
GRAPH_UNITS = 5
"""Side of the graph, in a button's height; Blender draws pictures in panels as squares."""

above_seen, above_guides = Hook(), Hook()
"""Called with layout and context: what comes before the share that is seen, and first in the Coverage panel."""


def draw_seen(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """How much of the move the source shows, and the worst frame: a click goes there."""
    above_seen(layout, context)
    props = context.scene.ex4d
    values = coverage.current(props.shot)
    split = layout.split(factor=0.4)
    name = split.row()
    name.alignment = "RIGHT"
    name.label(text="Seen")
    row = split.row(align=True)
    if not np.isfinite(values).any():
        row.operator("ex4d.render_guides", text="Render Guides")
        return
    mean, worst = float(np.nanmean(values)), int(np.nanargmin(values))
    row.progress(factor=mean, text=f"{mean:.0%}")
    least = float(values[worst])
    icon = "CANCEL" if least == 0 else "ERROR" if least < props.min_coverage else "CHECKMARK"
    row.operator("ex4d.go_to_frame", text=f"{least:.0%}", icon=icon).frame = props.shot.ex4d.frame_start + worst


class EX4D_PT_coverage(Part, bpy.types.Panel):
    bl_label = "Coverage"
    bl_parent_id = "EX4D_PT_camera"
    bl_order = 1

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        target = shown_shot(context)
        return target is not None and target.ex4d.camera is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout, props = self.layout, context.scene.ex4d
        above_guides(layout, context)
        draw_rasterizer(layout, props)
        layout.operator("ex4d.render_guides", icon="IMAGE_DATA")
        values = coverage.current(props.shot)
        if not np.isfinite(values).any():
            hint(layout, "Shows which frames ask for more than the source can show, before GPU time is spent.")
            return
        on_plane = coverage.current_on_plane(props.shot)
        _draw_graph(layout, props, values, on_plane)
        if on_plane.size:
            goes_on, invented = float(on_plane.mean()), max(float(1 - (values + on_plane).mean()), 0.0)
            hint(layout, f"Blue: a floor or a wall goes on ({goes_on:.0%}). Dark: has to be invented ({invented:.0%}).")
        split_column(layout).prop(props, "min_coverage", slider=True)
        problems = coverage.problems(values, frame_start=props.shot.ex4d.frame_start, minimum=props.min_coverage)
        _draw_problems(layout, context.scene, problems)
        layout.prop(props, "show_coverage_strip")


def _draw_graph(layout: bpy.types.UILayout, props: bpy.types.PropertyGroup, values: Float64, on_plane: Float64) -> None:
    """A bar per frame between its axes: share of the frame upwards, scene frames to the right."""
    key = hashlib.sha1(values.tobytes() + on_plane.tobytes() + f"{props.min_coverage:.3f}".encode()).hexdigest()
    graph = previews.graph(key, lambda: coverage.graph(values, minimum=props.min_coverage, on_plane=on_plane))
    row = layout.row()
    row.alignment = "LEFT"
    shares = row.column()
    shares.ui_units_x = 2
    for text in ("100%", "", "50%", "", "0%"):
        shares.label(text=text, translate=False)
    column = row.column(align=True)
    column.ui_units_x = GRAPH_UNITS
    column.template_icon(graph, scale=GRAPH_UNITS)
    first = props.shot.ex4d.frame_start
    frames = column.split(factor=0.5)
    frames.label(text=f"{first}", translate=False)
    last = frames.row()
    last.alignment = "RIGHT"
    last.label(text=f"{first + len(values) - 1}", translate=False)


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
        column.label(text=say(f"and {len(problems) - MOST_PROBLEMS} more"), translate=False)
    row = layout.row(align=True)
    row.operator("ex4d.mark_problems", icon="MARKER_HLT")
    if any(marker.name.startswith(coverage.MARKER_PREFIX) for marker in scene.timeline_markers):
        row.operator("ex4d.mark_problems", text="", icon="X").remove = True


listeners = Listeners((below_move, draw_seen))
