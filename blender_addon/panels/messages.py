"""Messages in panels: one sentence, the button that mends it, and the details for those who want them."""

import time
from typing import Any

import bpy

from ex4d_ground import stages
from ex4d_ground.costs import rough_time
from ex4d_ground.errors import in_words
from ex4d_ground.remedies import Remedy
from ex4d_protocol.messages import GetJobLog, JobLog

from ..work import session
from ..work.errors import AddonError
from ..work.operators import LongOperator, QuickOperator
from ..work.properties import Text
from ..work.tasks import Delivery, Task, TaskProgress
from . import fixes
from .base import BESIDE_BUTTON, BOXED, Reason, hint, paragraph


def draw_news(layout: bpy.types.UILayout, panel: str) -> None:
    """What is running and belongs here, and the last message if it does."""
    _draw_tasks(layout, panel)
    current = session.get()
    if not current.message or current.message_panel != panel:
        return
    box = layout.box()
    row = box.row()
    is_error = current.message_is_error
    icon = "ERROR" if is_error else "INFO"
    paragraph(row.column(), current.message, icon=icon, alert=is_error, narrower=BOXED + BESIDE_BUTTON)
    row.operator("ex4d.dismiss", text="", icon="X", emboss=False)
    if is_error:
        draw_fix(box, current.message_remedy)
    if current.message_job:
        box.operator("ex4d.show_details", icon="TEXT")


def _draw_tasks(layout: bpy.types.UILayout, panel: str) -> None:
    """What is running and belongs here, how far it is, and how to stop it."""
    mine = [task for task in session.get().tasks if task.panel == panel]
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
        return f"About {rough_time(max(left, 1))} left"
    elapsed = time.monotonic() - task.stage_at
    if progress.whole or not 0.02 < progress.share < 1 or elapsed <= 3:
        return ""
    return f"About {rough_time(max(elapsed / progress.share - elapsed, 1))} left in this stage"


def _count(progress: TaskProgress) -> str:
    """How far a stage is; files count in megabytes."""
    if not progress.total:
        return ""
    if progress.stage in (stages.HASHING, stages.UPLOADING):
        return f" {progress.done / 1e6:.1f}/{progress.total / 1e6:.1f} MB"
    return f" {progress.done}/{progress.total}"


def draw_problem(layout: bpy.types.UILayout, sentence: str, remedy: Remedy | None, **look: Any) -> None:
    """What is wrong, with the button that mends it."""
    paragraph(layout.column(), in_words(sentence, remedy, "panel"), **look)
    draw_fix(layout, remedy)


def draw_fix(layout: bpy.types.UILayout, remedy: Remedy | None) -> None:
    """The button that does what the remedy says, if there is one."""
    fix = fixes.fix_for(remedy)
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


def draw_button(
    layout: bpy.types.UILayout, operator: str, *, reason: Reason, scale: float = 1.0, **look: Any
) -> bpy.types.OperatorProperties:
    """A step's main button; a ``reason`` disables it and is drawn below, with what mends it.

    Connect has a button of its own in the first panel.
    """
    column = layout.column()
    column.enabled, column.scale_y = not reason, scale
    button = column.operator(operator, **look)
    if reason:
        hint(layout, reason.text)
        if reason.remedy is None or reason.remedy.action != "connect":
            draw_fix(layout, reason.remedy)
    return button


class EX4D_OT_show_log(QuickOperator, bpy.types.Operator):
    """Open the local backend's log in Blender's text editor"""

    bl_label = "Backend Log"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return session.get().backend is not None

    def run(self, _context: bpy.types.Context) -> str:
        backend = session.get().backend
        assert backend is not None
        _show_text("EX-4D backend.log", backend.log_path.read_text(encoding="utf-8", errors="replace"))
        return "The log is the text 'EX-4D backend.log' in the text editor."


class EX4D_OT_show_details(LongOperator, bpy.types.Operator):
    """Fetch what the failed job wrote on the backend and open it in Blender's text editor"""

    bl_label = "Show Details"
    bl_options = {"INTERNAL"}

    def begin(self, _context: bpy.types.Context) -> Task:
        current = session.get()
        link, job_id, sentence = current.require_link(), current.message_job, current.message
        if not job_id:
            raise AddonError("No job has failed since the last message was dismissed.")
        steps = link.ask(GetJobLog(job_id=job_id))

        def deliver(_context: bpy.types.Context, reply: JobLog) -> Delivery:
            _show_text("EX-4D job.log", f"{sentence}\n\n{reply.text}")
            return Delivery("The details are the text 'EX-4D job.log' in the text editor.")

        return current.start("Show details", steps, deliver=deliver)


class EX4D_OT_copy_command(QuickOperator, bpy.types.Operator):
    """Copy this command to the clipboard, to be run in a terminal of the backend's machine"""

    bl_label = "Copy the Command"
    bl_options = {"INTERNAL"}

    command: Text("Command", "What goes to the clipboard")

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        return f"Copy to the clipboard, to be run in a terminal of the backend's machine: {properties.command}"

    def run(self, context: bpy.types.Context) -> str:
        context.window_manager.clipboard = self.command
        return f"Copied: {self.command}"


class EX4D_OT_dismiss(QuickOperator, bpy.types.Operator):
    """Take this message away"""

    bl_label = "Dismiss"
    bl_options = {"INTERNAL"}

    def run(self, _context: bpy.types.Context) -> str:
        session.get().message = ""
        return ""


def _show_text(name: str, content: str) -> None:
    """Put it into a text of that name, and into the text editor if one is open."""
    text = bpy.data.texts.get(name) or bpy.data.texts.new(name)
    text.from_string(content)
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "TEXT_EDITOR":
                area.spaces.active.text = text
                return
