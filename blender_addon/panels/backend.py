"""The Backend panel: connecting, what the backend has, and stopping what runs."""

import re

import bpy

from ex4d_ground.addresses import DEFAULT_ADDRESS, DEFAULT_PORT
from ex4d_ground.errors import in_words

from ..jobs import engine_settings, estimators
from ..work import local_backend, preferences, session, timer
from ..work.errors import AddonError
from ..work.operators import LongOperator, QuickOperator
from ..work.properties import Flag, Text
from ..work.tasks import Delivery, Task
from .base import Step, hint, paragraph
from .messages import draw_fix, draw_news


class EX4D_OT_connect(LongOperator, bpy.types.Operator):
    """Connect to an EX-4D backend, or start one on this machine"""

    bl_label = "Connect"

    address: Text("Address", "Empty uses the preferences; if they name none, a local backend is started")

    def begin(self, context: bpy.types.Context) -> Task:
        prefs = preferences.get(context)
        current = session.get()
        address = (self.address or prefs.address).strip()
        if address:
            address = _checked_address(address)
        current.disconnect()
        current.identify(preferences.data_folder(context) / "clients")
        limits = {"timeout_s": prefs.timeout_s, "grace_s": prefs.grace_s}
        if address:
            steps = current.connect(address, keys=preferences.key_file(context), **limits)
        elif prefs.auto_start:
            command = local_backend.find_command(prefs.backend_command)
            backend = local_backend.LocalBackend(command, base=preferences.data_folder(context))
            steps = current.connect_local(backend, **limits)
        else:
            raise AddonError("No backend address is set and starting one is off; set either in the preferences.")
        timer.start()
        return current.start("Connect", steps, deliver=_deliver)


def _deliver(context: bpy.types.Context, address: str) -> Delivery:
    capabilities = session.get().capabilities
    engine_settings.sync((*capabilities.engines, *map(estimators.as_engine, capabilities.estimators)))
    notes = "".join(f"; {note}" for note in session.connected(context) if note)
    engines = ", ".join(engine.name for engine in capabilities.engines if engine.available)
    return Delivery(f"Connected to {address}; engines: {engines}{notes}.")


def _checked_address(text: str) -> str:
    """``text`` with its scheme and port. Raises AddonError for another form, or for a network the user turned off."""
    match = re.fullmatch(r"(?:tcp://)?([^:/\s]+)(?::(\d{1,5}))?", text)
    if not match:
        raise AddonError(f"'{text}' is not an address; write it like {DEFAULT_ADDRESS}.")
    host, port = match[1], match[2] or str(DEFAULT_PORT)
    if host not in ("localhost", "127.0.0.1") and not getattr(bpy.app, "online_access", True):
        raise AddonError(f"Blender is set to stay offline, so {host} cannot be reached; allow Online Access first.")
    return f"tcp://{host}:{port}"


class EX4D_OT_disconnect(QuickOperator, bpy.types.Operator):
    """Close the connection; a backend that was started here is stopped, jobs on others go on"""

    bl_label = "Disconnect"

    def run(self, _context: bpy.types.Context) -> str:
        session.get().disconnect()
        return ""


class EX4D_OT_cancel(QuickOperator, bpy.types.Operator):
    """Stop what is running; nothing half-written remains"""

    bl_label = "Cancel"

    title: Text("Task", "What to stop; empty stops everything that is running")
    keep: Flag("Keep What Arrived", "Keep the frames of a take that have arrived, as a partial take")

    def run(self, _context: bpy.types.Context) -> str:
        current = session.get()
        running = [task for task in current.tasks if self.title in ("", task.title)]
        for task in running:
            current.cancel(task, keep=self.keep)
        self.idle = not running
        return f"Cancelled: {', '.join(task.title for task in running)}." if running else "Nothing is running."


class EX4D_PT_backend(Step, bpy.types.Panel):
    bl_label = "Backend"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        current = session.get()
        if current.connected:
            _draw_connected(layout)
        elif current.link is not None and not current.tasks:
            paragraph(layout, f"{current.address} is silent; trying again.", icon="ERROR", alert=True)
            layout.operator("ex4d.disconnect", icon="UNLINKED")
        else:
            _draw_disconnected(layout, context)
        draw_news(layout, "Backend")


def _draw_disconnected(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    prefs = preferences.get(context)
    column = layout.column()
    column.scale_y = 1.3
    if session.get().tasks:
        column.enabled = False
        column.operator("ex4d.connect", text="Connecting...", icon="LINKED")
        return
    column.operator("ex4d.connect", icon="LINKED")
    if prefs.address:
        hint(layout, f"Will connect to {prefs.address}.")
    elif prefs.auto_start:
        hint(layout, "Will start a backend on this machine. Another address: see the add-on's preferences.")
    else:
        hint(layout, "Set an address in the add-on's preferences.")


def _draw_connected(layout: bpy.types.UILayout) -> None:
    current = session.get()
    row = layout.row()
    row.label(text=current.address.removeprefix("tcp://"), icon="CHECKMARK")
    row.operator("ex4d.disconnect", text="", icon="UNLINKED")
    for device in current.capabilities.devices:
        memory = f", {device.memory_bytes / 2**30:.0f} GB" if device.memory_bytes else ""
        paragraph(layout, f"{device.name}{memory}: {device.worker}", icon="MEMORY")
    for engine in current.capabilities.engines:
        paragraph(layout, engine.title, icon="CHECKBOX_HLT" if engine.available else "CHECKBOX_DEHLT")
        if not engine.available:
            row = layout.row()
            row.active = False
            paragraph(row.column(), in_words(engine.missing, engine.remedy, "panel"), icon="BLANK1")
            draw_fix(layout, engine.remedy)
    if current.backend is not None:
        layout.operator("ex4d.show_log", icon="TEXT")
    else:
        hint(layout, "The backend runs elsewhere; disconnecting leaves its jobs running.")
