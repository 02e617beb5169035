"""The public operators. They only translate between the scene and the steps in ``jobs``."""

# pyright: reportInvalidTypeForm=false

import re
from pathlib import Path
from typing import Any

import bpy

from . import (
    depth_jobs,
    engine_settings,
    estimators,
    files,
    imports,
    jobs,
    local_backend,
    operators_panel,
    preferences,
    properties,
    resume,
    session,
    shot,
    timer,
)
from .errors import AddonError
from .operator_base import LongOperator
from .tasks import Delivery, Task

DEFAULT_PORT = 7764


class EX4D_OT_connect(LongOperator, bpy.types.Operator):
    """Connect to an EX-4D backend, or start one on this machine"""

    bl_idname = "ex4d.connect"
    bl_label = "Connect"

    address: bpy.props.StringProperty(
        name="Address", description="Empty uses the preferences; if they name none, a local backend is started"
    )

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
        return current.start("Connect", steps, deliver=_connected)


class EX4D_OT_disconnect(bpy.types.Operator):
    """Close the connection; a backend that was started here is stopped, jobs on others go on"""

    bl_idname = "ex4d.disconnect"
    bl_label = "Disconnect"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        session.get().disconnect()
        return {"FINISHED"}


class EX4D_OT_import_clip(LongOperator, bpy.types.Operator):
    """Build the DW-mesh of a clip and bring it into the scene, textured with the footage"""

    bl_idname = "ex4d.import_clip"
    bl_label = "Import Clip"
    bl_options = {"UNDO"}  # no REGISTER: the redo panel would run the job again and block

    video_path: bpy.props.StringProperty(
        name="Video",
        description="A video file or a folder of PNG frames; empty uses the scene's choice",
        subtype="FILE_PATH",
        options=properties.PATH_OPTIONS,
    )
    depth_path: bpy.props.StringProperty(
        name="Depth",
        description="Depth along the view axis: .npz, .npy, or a folder of 16-bit PNG or EXR frames",
        subtype="FILE_PATH",
        options=properties.PATH_OPTIONS,
    )
    depth_source: bpy.props.EnumProperty(
        name="Depth From",
        description="Where the depth comes from",
        items=(
            ("SCENE", "As Chosen", "The scene's choice; a depth path given here is a file's"),
            ("FILE", "Depth File", "A file or folder with the depth of every frame"),
            ("ESTIMATE", "Estimator", "The backend estimates it from the video"),
        ),
    )
    estimator: bpy.props.StringProperty(
        name="Estimator", description="The backend's depth estimator; empty uses the scene's choice, or its default"
    )
    estimator_settings: bpy.props.StringProperty(
        name="Estimator Settings", description="As JSON; empty uses the scene's, what is missing takes its default"
    )
    fps: bpy.props.FloatProperty(
        name="Frame Rate",
        description="Overrides the video's own; 0 keeps that, and gives a sequence of pictures the scene's",
        default=0.0,
        min=0.0,
        max=1000.0,
    )
    fov_deg: bpy.props.FloatProperty(
        name="Field of View",
        description="Horizontal, in degrees; 0 if unknown",
        default=0.0,
        min=0.0,
        max=179.0,
    )
    focal_px: bpy.props.FloatProperty(
        name="Focal Length (px)", description="In pixels; 0 if unknown", default=0.0, min=0.0
    )
    num_frames: bpy.props.IntProperty(
        name="Frames", description="Use the first so many frames; 0 uses all", default=0, min=0
    )
    depth_scale: bpy.props.FloatProperty(
        name="Depth Scale",
        description="Stored depth times this is depth; 0.001 for 16-bit millimetres",
        default=1.0,
        min=1e-9,
    )
    fill_invalid: bpy.props.BoolProperty(
        name="Fill Invalid Depth", description="Replace NaN, infinite and non-positive depth by its neighbours"
    )
    folder: bpy.props.StringProperty(
        name="Folder",
        description="Where the shot's files go; empty puts them beside the .blend",
        subtype="DIR_PATH",
        options=properties.PATH_OPTIONS,
    )
    fit_scene: bpy.props.BoolProperty(
        name="Fit Scene",
        description="Give the scene the clip's size, frame rate and range, and look through the source camera",
        default=True,
    )
    standard_view: bpy.props.BoolProperty(
        name="Standard View Transform",
        description="Show footage with its own colours; other view transforms change them",
        default=False,
    )

    def begin(self, context: bpy.types.Context) -> Task:
        shot.require_object_mode(context)
        source = self._source(context.scene)
        root = files.shot_folder(bpy.data.filepath, source.name, bpy.path.abspath(self.folder))
        current = session.get()
        link = current.require_link()
        folder = root if not root.exists() else files.free_folder(root.parent, root.name)
        plan = imports.Plan(
            blend_path=bpy.data.filepath,
            video_path=self.video_path,
            depth_path=self.depth_path,
            fit_scene=self.fit_scene,
            standard_view=self.standard_view,
        )
        return current.start("Import clip", jobs.import_clip(link, source, folder), deliver=plan.deliver)

    def _source(self, scene: bpy.types.Scene) -> jobs.ClipSource:
        chosen = scene.ex4d
        self.video_path = self.video_path or chosen.video_path
        estimates = self._estimates(chosen)
        self.depth_path = "" if estimates else self.depth_path or chosen.depth_path
        if self.fov_deg > 0 and self.focal_px > 0:
            raise AddonError(
                f"Give a field of view ({self.fov_deg:g} degrees) or a focal length ({self.focal_px:g} px), not both."
            )
        for what, value in (("video", self.video_path), ("depth", self.depth_path or estimates)):
            if not value:
                raise AddonError(f"No {what} is chosen; choose a file or folder for it.")
        video = Path(bpy.path.abspath(self.video_path))
        pictures = video.is_dir() or video.suffix.lower() == ".png"
        return jobs.ClipSource(
            video=video,
            depth=None if estimates else Path(bpy.path.abspath(self.depth_path)),
            **(self._estimator(scene) if estimates else {}),
            fps=self.fps or (scene.render.fps / scene.render.fps_base if pictures else None),
            num_frames=self.num_frames or None,
            fov_deg=self.fov_deg or None,
            focal_px=self.focal_px or None,
            depth_scale=self.depth_scale,
            fill_invalid=self.fill_invalid,
            name=files.safe_name(video.stem.rstrip("0123456789") or video.parent.name),
        )

    def _estimates(self, chosen: bpy.types.PropertyGroup) -> bool:
        if self.depth_source == "SCENE":
            return not self.depth_path and chosen.depth_source == "ESTIMATE"
        return self.depth_source == "ESTIMATE"

    def _estimator(self, scene: bpy.types.Scene) -> dict[str, Any]:
        """The estimator and its settings. Raises AddonError if the backend cannot run it."""
        current = session.get()
        current.require_link()
        found = depth_jobs.find(current.capabilities, self.estimator or scene.ex4d.estimator)
        given = self.estimator_settings
        settings = (
            engine_settings.from_json(given) if given else engine_settings.values(scene, estimators.key(found.name))
        )
        return {"estimator": found.name, "estimator_settings": settings}


class EX4D_OT_cancel(bpy.types.Operator):
    """Stop what is running; nothing half-written remains"""

    bl_idname = "ex4d.cancel"
    bl_label = "Cancel"

    title: bpy.props.StringProperty(name="Task", description="What to stop; empty stops everything that is running")
    keep: bpy.props.BoolProperty(
        name="Keep What Arrived", description="Keep the frames of a take that have arrived, as a partial take"
    )

    def execute(self, _context: bpy.types.Context) -> set[str]:
        current = session.get()
        running = [task for task in current.tasks if self.title in ("", task.title)]
        for task in running:
            current.cancel(task, keep=self.keep)
        if not running:
            self.report({"INFO"}, "Nothing is running.")
            return {"CANCELLED"}
        self.report({"INFO"}, f"Cancelled: {', '.join(task.title for task in running)}.")
        return {"FINISHED"}


CLASSES = (EX4D_OT_connect, EX4D_OT_disconnect, EX4D_OT_import_clip, EX4D_OT_cancel)


def _connected(context: bpy.types.Context, address: str) -> Delivery:
    current = session.get()
    engine_settings.sync(current.capabilities.engines)
    engine_settings.sync(estimators.as_engines(current.capabilities))
    operators_panel.complete_choice(context.scene)
    resumed = resume.begin_all()
    engines = ", ".join(engine.name for engine in current.capabilities.engines if engine.available)
    found = f"; {resumed} take under way found again" if resumed else ""
    return Delivery(f"Connected to {address}; engines: {engines}{found}.")


def _checked_address(text: str) -> str:
    """``text`` with its scheme and port. Raises AddonError for another form, or for a network the user turned off."""
    match = re.fullmatch(r"(?:tcp://)?([^:/\s]+)(?::(\d{1,5}))?", text)
    if not match:
        raise AddonError(f"'{text}' is not an address; write it like tcp://127.0.0.1:{DEFAULT_PORT}.")
    host, port = match[1], match[2] or str(DEFAULT_PORT)
    local = host in ("localhost", "127.0.0.1")
    if not local and not getattr(bpy.app, "online_access", True):
        raise AddonError(f"Blender is set to stay offline, so {host} cannot be reached; allow Online Access first.")
    return f"tcp://{host}:{port}"
