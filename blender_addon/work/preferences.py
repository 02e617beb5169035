"""Settings of this machine, not of a .blend."""

import os
from functools import partial
from pathlib import Path

import bpy

from ex4d_ground.addresses import DEFAULT_ADDRESS
from ex4d_protocol.client_keys import ClientKeys, read_client_keys

from . import local_backend
from .addon import PACKAGE
from .errors import AddonError
from .hooks import Hook
from .properties import Flag, Number, Text

boxes = Hook()
"""Called with the preferences' layout and the context: what others draw above the settings."""

Seconds = partial(Number, min=1.0, max=600.0, unit="TIME_ABSOLUTE")


class EX4D_AP_preferences(bpy.types.AddonPreferences):
    """Where the backend is and how to start one."""

    bl_idname = PACKAGE

    address: Text(
        "Backend Address", f"Address of a running backend, such as {DEFAULT_ADDRESS}; empty starts one on this machine"
    )
    auto_start: Flag(
        "Start a Backend",
        "Where no address is set, Connect starts a backend on this machine; it ends with Blender",
        default=True,
    )
    key_file: Text(
        "Key File", "Keys for a backend on another machine, made there with 'ex4d keys new NAME'", subtype="FILE_PATH"
    )
    flamenco: Text("Flamenco Manager", "Address of a Flamenco Manager, such as http://farm:8080, to submit shots to")
    backend_command: Text(
        "Backend Command",
        "Command that starts a local backend; empty looks where the install command puts it, then on the PATH",
    )
    data_folder: Text(
        "Backend Folder",
        "Where local backends keep jobs and uploads; empty uses this add-on's own folder",
        subtype="DIR_PATH",
    )
    timeout_s: Seconds("Connect Timeout", "How long to wait for a backend to answer", default=60.0)
    grace_s: Seconds("Silence Allowed", "How long a backend may be silent before an operation gives up", default=15.0)
    live_limit_ms: Number(
        "Live Limit (ms)",
        "Live views pause when 95 of 100 pictures do not come within this time",
        default=400.0,
        min=20.0,
        max=10000.0,
        precision=0,
    )

    orbit_after_import: Flag(
        "Turn the View After an Import",
        "Once the clip is there, the 3D view turns by a few degrees and back, to show its depth",
        default=True,
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        boxes(layout, context)
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
        column.prop(self, "flamenco")
        column = layout.column(heading="Limits")
        for name in ("timeout_s", "grace_s", "live_limit_ms"):
            column.prop(self, name)
        layout.prop(self, "orbit_after_import")
        layout.operator("ex4d.install_template", icon="FILE_NEW")


def get(context: bpy.types.Context) -> EX4D_AP_preferences:
    """This add-on's preferences."""
    return context.preferences.addons[PACKAGE].preferences


def key_file(context: bpy.types.Context) -> ClientKeys | None:
    """The chosen key file's keys; None if there is none. Raises AddonError if it cannot be read."""
    given = get(context).key_file
    return read_client_keys(Path(bpy.path.abspath(given)), AddonError) if given else None


def data_folder(context: bpy.types.Context) -> Path:
    """Where local backends keep their data: the preference, the environment, or the add-on's own folder."""
    given = get(context).data_folder or os.environ.get(local_backend.DATA_ENV, "")
    if given:
        return Path(bpy.path.abspath(given))
    if hasattr(bpy.utils, "extension_path_user") and PACKAGE.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(PACKAGE, path="backend", create=True))
    return Path(bpy.utils.user_resource("DATAFILES", path="ex4d_backend", create=True))
