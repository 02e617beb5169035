"""Settings of this machine, not of a .blend."""

# pyright: reportInvalidTypeForm=false

import os
from pathlib import Path

import bpy

from . import keys, local_backend


class EX4D_AP_preferences(bpy.types.AddonPreferences):
    """Where the backend is and how to start one."""

    bl_idname = __package__ or __name__

    address: bpy.props.StringProperty(
        name="Backend Address",
        description="Address of a running backend, such as tcp://127.0.0.1:7764; empty starts one on this machine",
    )
    auto_start: bpy.props.BoolProperty(
        name="Start a Backend",
        description="Where no address is set, Connect starts a backend on this machine; it ends with Blender",
        default=True,
    )
    key_file: bpy.props.StringProperty(
        name="Key File",
        description="Keys for a backend on another machine, made there with 'ex4d-backend keys new NAME'",
        subtype="FILE_PATH",
    )
    backend_command: bpy.props.StringProperty(
        name="Backend Command",
        description="Command that starts a local backend; empty looks for ex4d-backend on the PATH",
    )
    data_folder: bpy.props.StringProperty(
        name="Backend Folder",
        description="Where local backends keep jobs and uploads; empty uses this add-on's own folder",
        subtype="DIR_PATH",
    )
    timeout_s: bpy.props.FloatProperty(
        name="Connect Timeout",
        description="How long to wait for a backend to answer",
        default=60.0,
        min=1.0,
        max=600.0,
        unit="TIME_ABSOLUTE",
    )
    grace_s: bpy.props.FloatProperty(
        name="Silence Allowed",
        description="How long a backend may be silent before an operation gives up",
        default=15.0,
        min=1.0,
        max=600.0,
        unit="TIME_ABSOLUTE",
    )

    live_limit_ms: bpy.props.FloatProperty(
        name="Live Limit (ms)",
        description="Live views pause when 95 of 100 pictures do not come within this time",
        default=400.0,
        min=20.0,
        max=10000.0,
        precision=0,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        column = layout.column(heading="Local Backend")
        column.prop(self, "auto_start")
        starts = column.column()
        starts.active = self.auto_start and not self.address
        starts.prop(self, "backend_command", text="Command")
        column.prop(self, "data_folder", text="Folder")
        column = layout.column(heading="Other Machine")
        column.prop(self, "address", text="Address")
        column.prop(self, "key_file")
        column = layout.column(heading="Limits")
        column.prop(self, "timeout_s")
        column.prop(self, "grace_s")
        column.prop(self, "live_limit_ms")


CLASSES = (EX4D_AP_preferences,)


def get(context: bpy.types.Context) -> EX4D_AP_preferences:
    """This add-on's preferences."""
    return context.preferences.addons[__package__].preferences


def key_file(context: bpy.types.Context) -> keys.Keys | None:
    """The chosen key file's keys; None if there is none. Raises AddonError if it cannot be read."""
    given = get(context).key_file
    return keys.read(Path(bpy.path.abspath(given))) if given else None


def data_folder(context: bpy.types.Context) -> Path:
    """Where local backends keep their data: the preference, the environment, or the add-on's own folder."""
    given = get(context).data_folder or os.environ.get(local_backend.DATA_ENV, "")
    if given:
        return Path(bpy.path.abspath(given))
    if hasattr(bpy.utils, "extension_path_user") and (__package__ or "").startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(__package__, path="backend", create=True))
    return Path(bpy.utils.user_resource("DATAFILES", path="ex4d_backend", create=True))
