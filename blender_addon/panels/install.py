"""Installing the backend from Blender's side: what is missing, the command that mends it, and looking again."""

import sys

import bpy

from ex4d_ground import shells
from ex4d_ground.remedies import find_backend

from ..work import connecting, install, preferences, session
from ..work.errors import AddonError
from ..work.hooks import Feature
from ..work.operators import LongOperator, QuickOperator
from ..work.properties import Text
from ..work.tasks import Task
from .base import paragraph

TERMINALS = {shells.POSIX: "a terminal", shells.POWERSHELL: "PowerShell", shells.CMD: "the Command Prompt"}
LABELS = {shells.POSIX: "Copy", shells.POWERSHELL: "Copy for PowerShell", shells.CMD: "Copy for Command Prompt"}
PREFERENCES_WIDTH = 420
"""Pixels of a line in the preferences at their usual size, at scale 1."""


class EX4D_OT_copy_install_command(QuickOperator, bpy.types.Operator):
    """Copy the command that installs the backend for you, to be pasted into a terminal of this machine"""

    bl_label = "Copy Install Command"
    bl_options = {"INTERNAL"}

    shell: Text("Shell", "What it is pasted into: posix, powershell or cmd; empty takes the usual one of this system")

    def run(self, context: bpy.types.Context) -> str:
        known = shells.shells(sys.platform)
        if self.shell and self.shell not in known:
            raise AddonError(f"'{self.shell}' is no shell of this system; use {' or '.join(known)}.")
        context.window_manager.clipboard = install.command_here(self.shell)
        where = TERMINALS[self.shell or known[0]]
        session.get().tell(
            f"The install command is copied. Paste it into {where} and press Enter; it downloads a few hundred MB. "
            "When it has ended, press Look Again.",
            remedy=find_backend(),
        )
        return ""


class EX4D_OT_find_backend(LongOperator, bpy.types.Operator):
    """Look for the backend again, start it and connect"""

    bl_label = "Look Again"
    bl_options = {"INTERNAL"}
    requires = (session.require_idle,)

    def begin(self, context: bpy.types.Context) -> Task:
        install.find_python.cache_clear()
        return connecting.begin(context)


def draw_box(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """In the preferences: what is missing on this machine, if anything is, and how it is had or brought up to date."""
    problem = connecting.hindrance(context) or connecting.outdated()
    if problem is None:
        if install.installed() is not None:
            layout.operator("ex4d.copy_install_command", text="Copy Update Command", icon="COPYDOWN")
        return
    box = layout.box()
    scale = context.preferences.system.ui_scale or 1.0
    taken = max(0, round(context.region.width / scale) - PREFERENCES_WIDTH) if context.region else 0
    paragraph(box, str(problem), icon="ERROR", narrower=taken)
    if problem.remedy is None or problem.remedy.action != "install_backend":
        return
    try:
        line = install.command_here()
    except AddonError as error:
        paragraph(box, error.text("panel"), narrower=taken)
        return
    if not install.find_python():
        paragraph(box, install.no_python(sys.platform), icon="INFO", narrower=taken)
    paragraph(box.box(), line, narrower=taken)
    row = box.row()
    for shell in shells.shells(sys.platform):
        row.operator("ex4d.copy_install_command", text=LABELS[shell], icon="COPYDOWN").shell = shell
    row.operator("ex4d.find_backend", icon="VIEWZOOM")


feature = Feature(lambda: preferences.boxes.append(draw_box), lambda: preferences.boxes.remove(draw_box))
