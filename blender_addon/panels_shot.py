"""The panels from the camera on: coverage, generate, takes. They show; operators do."""

from __future__ import annotations

import hashlib
import time

import bpy

from . import coverage, engine_settings, files, previews, session, takes
from .operators_panel import engine_spec
from .panel_base import Step, hint, paragraph, why_not
from .tasks import Task

MOST_PROBLEMS = 6


class EX4D_PT_coverage(Step, bpy.types.Panel):
    bl_label = "Coverage"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        props = context.scene.ex4d
        reason = why_not(context, shot=True, camera=True, idle=True)
        column = layout.column()
        column.enabled = not reason
        column.operator("ex4d.render_guides", icon="IMAGE_DATA")
        if reason:
            hint(layout, reason)
        target = props.shot
        if target is None or not (values := coverage.of(target)).size:
            if not reason:
                hint(layout, "Shows which frames ask for more than the source can show, before GPU time is spent.")
            return
        layout.label(text=f"Source shows {values.mean():.0%} of it")
        key = hashlib.sha1(f"{target.ex4d.coverage_json}{props.min_coverage:.3f}".encode()).hexdigest()
        layout.template_icon(previews.graph(key, coverage.graph(values, minimum=props.min_coverage)), scale=7)
        row = layout.row()
        row.use_property_split = True
        row.use_property_decorate = False
        row.prop(props, "min_coverage", slider=True)
        found = coverage.problems(values, frame_start=target.ex4d.frame_start, minimum=props.min_coverage)
        _draw_problems(layout, context.scene, found)
        layout.prop(props, "show_coverage_strip")


def _draw_problems(layout: bpy.types.UILayout, scene: bpy.types.Scene, found: list[coverage.Problem]) -> None:
    if not found:
        layout.label(text="No problem frames", icon="CHECKMARK")
        return
    column = layout.column(align=True)
    for problem in found[:MOST_PROBLEMS]:
        span = f"{problem.first}" if problem.first == problem.last else f"{problem.first}-{problem.last}"
        button = column.operator("ex4d.go_to_frame", text=f"{span}: {problem.coverage:.0%}", icon="ERROR")
        button.frame = problem.worst
    if len(found) > MOST_PROBLEMS:
        column.label(text=f"and {len(found) - MOST_PROBLEMS} more")
    row = layout.row(align=True)
    row.operator("ex4d.mark_problems", icon="MARKER_HLT")
    if any(marker.name.startswith(coverage.MARKER_PREFIX) for marker in scene.timeline_markers):
        row.operator("ex4d.mark_problems", text="", icon="X").remove = True


class EX4D_PT_generate(Step, bpy.types.Panel):
    bl_label = "Generate"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        current = session.get()
        props = context.scene.ex4d
        for task in current.tasks:
            _draw_task(layout, task)
        if current.tasks:
            layout.operator("ex4d.cancel", icon="CANCEL")
        for engine in current.capabilities.engines:
            row = layout.row()
            row.active = engine.available
            chosen = engine.name == props.engine
            icon = "RADIOBUT_ON" if chosen else "RADIOBUT_OFF"
            row.operator(
                "ex4d.choose_engine", text=_short(engine.title), depress=chosen, icon=icon
            ).engine = engine.name
        spec = engine_spec(props.engine)
        if spec is not None:
            if spec.is_preview:
                hint(layout, "No model: holes are filled from their surroundings. For looking at the move.")
            engine_settings.draw(layout.box(), context.scene, spec)
        layout.prop(props, "seed")
        reason = why_not(context, shot=True, camera=True, idle=True)
        if not reason and spec is not None and not spec.available:
            reason = spec.missing
        if not reason and props.shot is not None:
            layout.label(text=_cost(context, props.shot), icon="TIME")
        column = layout.column()
        column.enabled = not reason
        column.scale_y = 1.5
        text = "Generate Preview" if spec is not None and spec.is_preview else "Generate"
        column.operator("ex4d.generate", text=text, icon="RENDER_ANIMATION")
        if reason:
            hint(layout, reason)


def _short(title: str) -> str:
    """A title without what stands in brackets: buttons are narrow, and the tooltip has it all."""
    return title.split(" (")[0]


def _draw_task(layout: bpy.types.UILayout, task: Task) -> None:
    progress = task.progress
    box = layout.box()
    left = ""
    elapsed = time.monotonic() - task.stage_at
    if 0.02 < progress.share < 1 and elapsed > 3:
        left = f", about {max(elapsed / progress.share - elapsed, 1):.0f} s left in this stage"
    count = f" {progress.done}/{progress.total}" if progress.total else ""
    box.label(text=task.title, icon="TIME")
    if hasattr(box, "progress"):  # from 4.0
        box.progress(factor=progress.share, text=f"{progress.stage}{count}")
    else:
        paragraph(box, f"{progress.stage}{count}")
        filled = round(progress.share * 8)
        box.label(text=f"{'■' * filled}{'□' * (8 - filled)}  {progress.share:.0%}")
    if left or progress.message:
        paragraph(box, (progress.message or left.removeprefix(", ")).strip())


def _cost(context: bpy.types.Context, target: bpy.types.Object) -> str:
    found = engine_settings.values(context.scene, context.scene.ex4d.engine)
    frames = target.ex4d.num_frames
    window, overlap = found.get("window"), found.get("overlap")
    if isinstance(window, int) and isinstance(overlap, int) and window > overlap:
        windows = 1 + max(0, -(-(frames - window) // (window - overlap)))
        return f"{frames} frames in {windows} window{'' if windows == 1 else 's'}"
    return f"{frames} frames"


class EX4D_UL_takes(bpy.types.UIList):
    def draw_item(self, _context, layout, _data, item, _icon, _active, _property, index) -> None:
        folder = takes.folder_of(item)
        icon = previews.thumbnail(folder / files.frame_name(item.num_frames // 2))
        row = layout.row(align=True)
        if icon:
            row.label(text=item.name, icon_value=icon)
        else:
            row.label(text=item.name, icon="ERROR")
        row.label(text=f"seed {item.seed}")
        shown = item.plane is not None and not item.plane.hide_render
        row.operator("ex4d.show_take", text="", icon="HIDE_OFF" if shown else "HIDE_ON", emboss=False).index = index


class EX4D_PT_takes(Step, bpy.types.Panel):
    bl_label = "Takes"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        props = context.scene.ex4d
        if not props.takes:
            hint(layout, "Takes appear here once they are generated.")
            if props.shot is not None:
                layout.operator("ex4d.find_takes", icon="FILE_REFRESH")
            return
        layout.template_list("EX4D_UL_takes", "", props, "takes", props, "active_take", rows=3)
        if not 0 <= props.active_take < len(props.takes):
            hint(layout, "Click a take to see what can be done with it.")
            return
        _draw_take(layout, props.takes[props.active_take])
        layout.operator("ex4d.find_takes", icon="FILE_REFRESH")


def _draw_take(layout: bpy.types.UILayout, take: bpy.types.PropertyGroup) -> None:
    icon = previews.thumbnail(takes.folder_of(take) / files.frame_name(take.num_frames // 2))
    if icon:
        layout.template_icon(icon, scale=6)
    else:
        paragraph(layout, f"The frames are not in {take.folder} any more.", icon="ERROR", alert=True)
    label = ", no model" if take.engine == "preview" else ""
    paragraph(layout, f"{take.num_frames} frames by {take.engine}{label}; source shows {take.coverage:.0%}")
    column = layout.column(align=True)
    column.operator("ex4d.show_take", icon="MESH_PLANE")
    row = column.row(align=True)
    row.operator("ex4d.take_to_background", icon="CAMERA_DATA", text="Behind")
    row.operator("ex4d.take_to_sequencer", icon="SEQUENCE", text="Strip")
    column.operator("ex4d.hide_takes", icon="HIDE_ON")
    column = layout.column(align=True)
    row = column.row(align=True)
    row.operator("ex4d.restore_take", icon="RECOVER_LAST", text="Restore")
    row.operator("ex4d.another_seed", icon="FILE_REFRESH")
    row = column.row(align=True)
    row.operator("ex4d.export_take", icon="EXPORT", text="Export")
    row.operator("ex4d.remove_take", icon="X", text="Remove")


CLASSES = (EX4D_PT_coverage, EX4D_PT_generate, EX4D_UL_takes, EX4D_PT_takes)
