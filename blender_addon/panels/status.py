"""The backend at a glance, in the Clip panel's header: where it is, what it has, how to leave it."""

import bpy

from ..work import connecting, preferences, session
from .base import hint, paragraph
from .messages import draw_problem

CONNECTED, CONNECTING, SILENT, NONE = "Connected", "Connecting", "Not Answering", "Not Connected"
ICONS = {CONNECTED: "CHECKMARK", CONNECTING: "SORTTIME", SILENT: "ERROR", NONE: "UNLINKED"}
"""By state: told apart by shape, never by colour alone."""


def state() -> str:
    """How things stand with the backend."""
    current = session.get()
    if current.connected:
        return CONNECTED
    if any(task.title == connecting.TITLE for task in current.tasks):
        return CONNECTING
    return SILENT if current.link is not None else NONE


def draw_header(layout: bpy.types.UILayout) -> None:
    """The icon that opens it."""
    layout.popover("EX4D_PT_status", text="", icon=ICONS[state()])


class EX4D_PT_status(bpy.types.Panel):
    """The backend: device, address, engines, log"""

    bl_label = "Backend"
    bl_space_type = "VIEW_3D"
    bl_region_type = "HEADER"  # a popover: no region shows it by itself
    bl_options = {"INSTANCED"}
    bl_ui_units_x = 14

    def draw(self, context: bpy.types.Context) -> None:
        layout, current, now = self.layout, session.get(), state()
        layout.label(text=now, icon=ICONS[now])
        if now == CONNECTED:
            _draw_facts(layout)
        elif now == SILENT:
            paragraph(layout, f"{current.address} is silent; trying again.")
        elif now == NONE:
            _draw_connect(layout, context)
        if current.backend is not None:
            layout.operator("ex4d.show_log", icon="TEXT")
        if now in (CONNECTED, SILENT):
            row = layout.row(align=True)
            row.operator("ex4d.disconnect", icon="UNLINKED")
            if current.backend is not None or now == SILENT:
                row.operator("ex4d.restart_backend", text="Restart", icon="FILE_REFRESH")


def _draw_connect(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    prefs = preferences.get(context)
    layout.operator("ex4d.connect", icon="LINKED")
    if prefs.address:
        hint(layout, f"Will connect to {prefs.address}.")
    elif prefs.auto_start and (hindrance := connecting.hindrance(context)) is not None:
        draw_problem(layout, str(hindrance), hindrance.remedy, icon="ERROR")
    elif prefs.auto_start:
        hint(layout, "Will start a backend on this machine. Another address: see the add-on's preferences.")
    else:
        hint(layout, "Set an address in the add-on's preferences.")
        layout.operator("ex4d.start_backend", icon="PLAY")


def _draw_facts(layout: bpy.types.UILayout) -> None:
    current = session.get()
    if (older := connecting.outdated()) is not None:
        draw_problem(layout, str(older), older.remedy, icon="ERROR")
    for device in current.capabilities.devices:
        memory = f", {device.memory_bytes / 2**30:.0f} GB" if device.memory_bytes else ""
        worker = f": {device.worker}" if device.worker else ""
        name = f"{device.gpus} x {device.name}" if device.gpus > 1 else device.name
        paragraph(layout, f"{name}{memory}{worker}", icon="MEMORY")
    paragraph(layout, current.address.removeprefix("tcp://"), icon="NETWORK_DRIVE")
    for engine in current.capabilities.engines:
        paragraph(layout, engine.title, icon="CHECKBOX_HLT" if engine.available else "CHECKBOX_DEHLT")
        if not engine.available:
            draw_problem(layout, engine.missing, engine.remedy, icon="BLANK1")
    if current.backend is None:
        hint(layout, "The backend runs elsewhere; disconnecting leaves its jobs running.")
