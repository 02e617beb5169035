"""Messages in panels: one sentence, the button that mends it, and the details for those who want them."""

from __future__ import annotations

import time

import bpy

from . import cost_watch, fixes, session
from .panel_base import BESIDE_BUTTON, BOXED, paragraph
from .tasks import Progress, Task

PANELS = {
    "Import clip": "Clip",
    "Add camera move": "Camera",
    "Render guides": "Coverage",
    "Generate": "Generate",
}
"""Which step's panel shows what a task has to say; the Backend panel shows the rest."""


def panel_of(task: str) -> str:
    """The panel for a task of that title."""
    return next((panel for start, panel in PANELS.items() if task.startswith(start)), "Backend")


def draw_message(layout: bpy.types.UILayout, panel: str) -> None:
    """The last message, if it belongs here."""
    current = session.get()
    if not current.message or panel_of(current.message_task) != panel:
        return
    box = layout.box()
    row = box.row()
    is_error = current.message_is_error
    icon = "ERROR" if is_error else "INFO"
    paragraph(row.column(), current.message, icon=icon, alert=is_error, narrower=BOXED + BESIDE_BUTTON)
    row.operator("ex4d.dismiss", text="", icon="X", emboss=False)
    if is_error:
        draw_fix(box, current.message)
    if current.message_job:
        box.operator("ex4d.show_details", icon="TEXT")


def draw_tasks(layout: bpy.types.UILayout, panel: str) -> None:
    """What is running and belongs here, how far it is, and how to stop it."""
    mine = [task for task in session.get().tasks if panel_of(task.title) == panel]
    for task in mine:
        _draw_task(layout, task)
        column = layout.column(align=True)
        button = column.operator("ex4d.cancel", icon="CANCEL")
        button.title, button.keep = task.title, False
        arrived = task.arrival.count if task.arrival is not None else 0
        if arrived:
            button = column.operator("ex4d.cancel", text=f"Stop and Keep {arrived}", icon="FILE_TICK")
            button.title, button.keep = task.title, True


def _draw_task(layout: bpy.types.UILayout, task: Task) -> None:
    progress = task.progress
    box = layout.box()
    share = progress.whole or progress.share
    count = _count(progress)
    box.label(text=task.title, icon="TIME")
    if hasattr(box, "progress"):  # from 4.0
        box.progress(factor=share, text=f"{progress.stage}{count}")
    else:
        paragraph(box, f"{progress.stage}{count}", narrower=BOXED)
        filled = round(share * 8)
        box.label(text=f"{'■' * filled}{'□' * (8 - filled)}  {share:.0%}")
    if progress.message:
        paragraph(box, progress.message, narrower=BOXED)
    elif words := _time_left(task):
        paragraph(box, words, narrower=BOXED)


def _time_left(task: Task) -> str:
    """Of the whole job if the backend weighs its stages, else of the present stage; "" while nobody can say."""
    left, progress = task.seconds_left, task.progress
    if left is not None:
        return f"About {cost_watch.rough_time(max(left, 1))} left"
    elapsed = time.monotonic() - task.stage_at
    if progress.whole or not 0.02 < progress.share < 1 or elapsed <= 3:
        return ""
    return f"About {cost_watch.rough_time(max(elapsed / progress.share - elapsed, 1))} left in this stage"


def _count(progress: Progress) -> str:
    """How far a stage is; files count in megabytes."""
    if not progress.total:
        return ""
    if progress.stage in ("reading", "uploading"):
        return f" {progress.done / 1e6:.1f}/{progress.total / 1e6:.1f} MB"
    return f" {progress.done}/{progress.total}"


def draw_fix(layout: bpy.types.UILayout, sentence: str) -> None:
    """The button that mends what the sentence says, if there is one."""
    fix = fixes.fix_for(sentence)
    if fix is None:
        return
    row = layout.row()
    row.operator_context = "INVOKE_DEFAULT"
    button = row.operator(fix.operator, text=fix.text, icon=fix.icon)
    if fix.operator == "ex4d.import_clip":
        fill_import(button, bpy.context.scene.ex4d)
    for name, value in fix.arguments.items():
        setattr(button, name, value)


def fill_import(button: bpy.types.OperatorProperties, props: bpy.types.PropertyGroup) -> None:
    """Give an import button what the Clip panel has chosen."""
    button.fov_deg, button.num_frames = props.fov_deg, props.num_frames
    button.depth_scale, button.fill_invalid = props.depth_scale, props.fill_invalid


def draw_reason(layout: bpy.types.UILayout, reason: str) -> None:
    """Why the button above is disabled, and what mends it; Connect has a button of its own in the first panel."""
    paragraph(layout, reason, icon="INFO")
    if "Connect to a backend" not in reason:
        draw_fix(layout, reason)
