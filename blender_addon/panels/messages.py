"""Messages in panels: one sentence, the button that mends it, and the details for those who want them."""

from typing import Any

import bpy

from ex4d_ground.errors import in_words
from ex4d_ground.remedies import Remedy
from ex4d_protocol.messages import GetJobLog, JobLog

from ..work import session
from ..work.errors import AddonError
from ..work.operators import LongOperator, QuickOperator
from ..work.properties import Text
from ..work.tasks import Delivery, Task
from . import fixes
from .base import BESIDE_BUTTON, BOXED, paragraph


def home(context: bpy.types.Context, panel: str) -> str:
    """The label of the panel that shows what belongs to ``panel``: itself, or Clip while it is not there."""
    kind = getattr(bpy.types, "EX4D_PT_" + panel.lower().replace(" ", "_"), None)
    return panel if kind is not None and kind.poll(context) else "Clip"


def draw_news(layout: bpy.types.UILayout, context: bpy.types.Context, panel: str) -> None:
    """The last message, if it belongs here."""
    current = session.get()
    if not current.message or home(context, current.message_panel) != panel:
        return
    box = layout.box()
    row = box.row()
    is_error = current.message_is_error
    icon = "ERROR" if is_error else "INFO"
    words = _short(current.message, current.message_remedy)
    paragraph(row.column(), words, icon=icon, alert=is_error, narrower=BOXED + BESIDE_BUTTON)
    row.operator("ex4d.dismiss", text="", icon="X", emboss=False)
    draw_fix(box, current.message_remedy)
    if current.message_job:
        box.operator("ex4d.show_details", icon="TEXT")


def draw_problem(layout: bpy.types.UILayout, sentence: str, remedy: Remedy | None, **look: Any) -> None:
    """What is wrong, with the button that mends it."""
    paragraph(layout.column(), _short(in_words(sentence, remedy, "panel"), remedy), **look)
    draw_fix(layout, remedy)


def _short(sentence: str, remedy: Remedy | None) -> str:
    """Without the command that a button copies: the button's tooltip has it, and a panel is narrow."""
    fix = fixes.fix_for(remedy)
    if fix is None or remedy is None or fix.operator != "ex4d.copy_command":
        return sentence
    run = f"run: {remedy.values['command']}"
    is_all = remedy.panel == run or (remedy.action == "fetch_weights" and remedy.panel.endswith(run))
    return f"{sentence.replace(f'; {remedy.panel}', '').rstrip('.')}." if is_all else sentence


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
    button.depth_channel, button.grid_side = props.depth_channel, props.grid_side
    button.colour_name, button.ocio_path, button.fields = props.colour_name, props.ocio_path, props.fields


def draw_button(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    operator: str,
    *,
    scale: float = 1.3,
    below: bpy.types.UILayout | None = None,
    **look: Any,
) -> bpy.types.OperatorProperties:
    """A step's main button. What keeps it from being pressed is in its tooltip, and below it if a button mends that.

    ``below`` is where, if the button stands in a row.
    """
    column = layout.column()
    column.scale_y = scale
    button = column.operator(operator, **look)
    error = getattr(bpy.types, "EX4D_OT_" + operator.partition(".")[2]).lacking(context)
    if error is not None and fixes.fix_for(error.remedy) is not None:
        draw_problem(below or layout, str(error), error.remedy, icon="INFO")
    return button


class EX4D_OT_show_log(QuickOperator, bpy.types.Operator):
    """Open the local backend's log in Blender's text editor"""

    bl_label = "Backend Log"

    requires = (session.require_own_backend,)

    def run(self, _context: bpy.types.Context) -> str:
        backend = session.require_own_backend()
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
        session.get().tell(
            "The command is copied. Run it in a terminal of the backend's machine, then restart the backend: the icon "
            "in this panel's header has Restart."
        )
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
