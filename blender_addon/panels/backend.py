"""Connecting to a backend, and stopping what runs."""

import bpy

from ..work import connecting, session
from ..work.operators import LongOperator, QuickOperator
from ..work.properties import Flag, Text
from ..work.tasks import Task


class EX4D_OT_connect(LongOperator, bpy.types.Operator):
    """Connect to an EX-4D backend, or start one on this machine"""

    bl_label = "Connect"

    address: Text("Address", "Empty uses the preferences; if they name none, a local backend is started")

    def begin(self, context: bpy.types.Context) -> Task:
        return connecting.begin(context, self.address)


class EX4D_OT_start_backend(LongOperator, bpy.types.Operator):
    """Start a backend on this machine and connect to it; it ends with Blender"""

    bl_label = "Start Backend"

    def begin(self, context: bpy.types.Context) -> Task:
        return connecting.begin(context, local=True)


class EX4D_OT_restart_backend(LongOperator, bpy.types.Operator):
    """Start the backend of this machine again, or connect again to the one elsewhere; takes under way go on"""

    bl_label = "Restart Backend"

    def begin(self, context: bpy.types.Context) -> Task:
        current = session.get()
        here = current.backend is not None
        return connecting.begin(context, "" if here else current.address, local=here)


class EX4D_OT_disconnect(QuickOperator, bpy.types.Operator):
    """Close the connection; a backend that was started here is stopped, jobs on others go on"""

    bl_label = "Disconnect"

    def run(self, _context: bpy.types.Context) -> str:
        session.get().disconnect()
        return ""


KEEPS = "Stop what is running, and keep the frames that have arrived as a partial take"


class EX4D_OT_cancel(QuickOperator, bpy.types.Operator):
    """Stop what is running; nothing half-written remains"""

    bl_label = "Cancel"

    title: Text("Task", "What to stop; empty stops everything that is running")
    keep: Flag("Keep What Arrived", "Keep the frames of a take that have arrived, as a partial take")

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        return KEEPS if properties.keep else cls.__doc__ or ""

    def run(self, _context: bpy.types.Context) -> str:
        current = session.get()
        running = [task for task in current.tasks if self.title in ("", task.title)]
        for task in running:
            current.cancel(task, keep=self.keep)
        self.idle = not running
        return f"Cancelled: {', '.join(task.title for task in running)}." if running else "Nothing is running."
