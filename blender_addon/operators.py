"""The public operators. They only translate between the scene and the steps in ``jobs``."""

# pyright: reportInvalidTypeForm=false

import json
import re
import uuid
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ex4d_protocol.messages import PresetReply

from . import files, jobs, local_backend, move, preferences, properties, session, shot, takes, timer
from .errors import AddonError
from .operator_base import LongOperator
from .tasks import Task

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
        if address:
            steps = current.connect(address, timeout_s=prefs.timeout_s, grace_s=prefs.grace_s)
        else:
            command = local_backend.find_command(prefs.backend_command)
            backend = local_backend.LocalBackend(command, base=preferences.data_folder(context))
            steps = current.connect_local(backend, timeout_s=prefs.timeout_s, grace_s=prefs.grace_s)
        timer.start()
        return current.start("Connect", steps)

    def finish(self, context: bpy.types.Context, result: str) -> str:
        engines = ", ".join(engine.name for engine in session.get().capabilities.engines)
        return f"Connected to {result}; engines: {engines}."


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
        source = self._source(context.scene.ex4d)
        root = files.shot_folder(bpy.data.filepath, source.name, bpy.path.abspath(self.folder))
        current = session.get()
        link = current.require_link()
        folder = root if not root.exists() else files.free_folder(root.parent, root.name)
        return current.start("Import clip", jobs.import_clip(link, source, folder))

    def finish(self, context: bpy.types.Context, result: jobs.ImportedClip) -> str:
        shot.require_object_mode(context)
        facts = self._facts(result)
        made = shot.build(
            context,
            facts,
            result.faces,
            result.folder,
            shot_id=uuid.uuid4().hex,
            frame_start=context.scene.frame_start if not self.fit_scene else 1,
        )
        if self.fit_scene:
            shot.fit_scene(context.scene, made)
        if self.standard_view:
            context.scene.view_settings.view_transform = "Standard"
        return f"Imported {facts.num_frames} frames of {facts.width}x{facts.height} as '{made.name}'."

    def _source(self, chosen: bpy.types.PropertyGroup) -> jobs.ClipSource:
        self.video_path = self.video_path or chosen.video_path
        self.depth_path = self.depth_path or chosen.depth_path
        if self.fov_deg > 0 and self.focal_px > 0:
            raise AddonError(
                f"Give a field of view ({self.fov_deg:g} degrees) or a focal length ({self.focal_px:g} px), not both."
            )
        for what, value in (("video", self.video_path), ("depth", self.depth_path)):
            if not value:
                raise AddonError(f"No {what} is chosen; choose a file or folder for it.")
        video = Path(bpy.path.abspath(self.video_path))
        return jobs.ClipSource(
            video=video,
            depth=Path(bpy.path.abspath(self.depth_path)),
            num_frames=self.num_frames or None,
            fov_deg=self.fov_deg or None,
            focal_px=self.focal_px or None,
            depth_scale=self.depth_scale,
            fill_invalid=self.fill_invalid,
            name=files.safe_name(video.stem),
        )

    def _facts(self, result: jobs.ImportedClip) -> shot.ClipFacts:
        return shot.ClipFacts(
            name=result.folder.name,
            clip_json=result.clip_json,
            video_path=self.video_path,
            depth_path=self.depth_path,
            **jobs.clip_numbers(result.info),
        )


class EX4D_OT_add_camera_move(LongOperator, bpy.types.Operator):
    """Key a preset move on the shot camera; the keys are ordinary ones"""

    bl_idname = "ex4d.add_camera_move"
    bl_label = "Add Camera Move"
    bl_options = {"UNDO"}  # no REGISTER: the redo panel would run the job again and block

    preset: bpy.props.StringProperty(name="Preset", description="A move the backend offers", default="30")
    amount: bpy.props.FloatProperty(
        name="Amount", description="In the preset's own unit, degrees or a factor; 0 means as named", default=0.0
    )
    easing: bpy.props.StringProperty(name="Easing", description="Empty means the preset's own")

    _shot_id: str = ""

    def begin(self, context: bpy.types.Context) -> Task:
        shot.require_object_mode(context)
        target = shot.active_shot(context)
        self._shot_id = target.ex4d.shot_id
        current = session.get()
        link = current.require_link()
        query = move.preset_query(target, self.preset, amount=self.amount or None, easing=self.easing)
        steps = link.ask(lambda: link.client.query_preset(query))
        return current.start("Add camera move", steps, shot_id=self._shot_id)

    def finish(self, context: bpy.types.Context, result: PresetReply) -> str:
        target = _still_there(self._shot_id)
        cam = move.apply(context, target, result)
        return f"Keyed '{self.preset}' on camera '{cam.name}', {result.num_frames} frames."


class EX4D_OT_render_guides(LongOperator, bpy.types.Operator):
    """Render what the shot camera sees of the source, and where it sees nothing"""

    bl_idname = "ex4d.render_guides"
    bl_label = "Render Guides"

    def begin(self, context: bpy.types.Context) -> Task:
        target, link, clip = _shot_and_link(context)
        spec = move.trajectory(context, target)
        folder = shot.folder_of(target)
        steps = jobs.render_guides(link, lambda c: jobs.guides_request(c, spec), clip, folder)
        return session.get().start("Render guides", steps, shot_id=target.ex4d.shot_id)

    def finish(self, context: bpy.types.Context, result: np.ndarray) -> str:
        _warn_of_empty(self, result)
        worst = int(np.argmin(result))
        return (
            f"Guides rendered: the source shows {result.mean():.0%} of the move, "
            f"{result[worst]:.0%} at worst (frame {worst + 1} of {len(result)})."
        )


class EX4D_OT_generate(LongOperator, bpy.types.Operator):
    """Have an engine finish the guides, and show the take on a plane before the shot camera"""

    bl_idname = "ex4d.generate"
    bl_label = "Generate"
    bl_options = {"UNDO"}  # no REGISTER: the redo panel would run the job again and block

    engine: bpy.props.StringProperty(name="Engine", description="Empty uses the scene's choice")
    seed: bpy.props.IntProperty(name="Seed", description="-1 uses the scene's", default=-1, min=-1)
    settings: bpy.props.StringProperty(
        name="Settings", description="The engine's settings as JSON; what is missing takes its default", default="{}"
    )

    folder: bpy.props.StringProperty(
        name="Folder",
        description="Where the take's folder goes; empty puts it into the shot's folder",
        subtype="DIR_PATH",
        options=properties.PATH_OPTIONS,
    )

    _shot_id: str = ""
    _request: dict[str, Any] = {}

    def begin(self, context: bpy.types.Context) -> Task:
        target, link, clip = _shot_and_link(context)
        shot.require_object_mode(context)
        props = context.scene.ex4d
        self._shot_id = target.ex4d.shot_id
        self._request = {
            "engine": self.engine or props.engine,
            "seed": self.seed if self.seed >= 0 else props.seed,
            "settings": _settings(self.settings),
        }
        jobs.require_engine(session.get().capabilities, self._request["engine"])
        spec = move.trajectory(context, target)
        steps = jobs.generate(
            link,
            lambda c: jobs.generate_request(c, spec, **self._request),
            clip,
            Path(bpy.path.abspath(self.folder)) if self.folder else shot.folder_of(target),
        )
        return session.get().start("Generate", steps, shot_id=self._shot_id)

    def finish(self, context: bpy.types.Context, result: jobs.GeneratedTake) -> str:
        target = _still_there(self._shot_id)
        _warn_of_empty(self, result.coverage)
        facts = takes.TakeFacts(
            folder=result.folder,
            mean_coverage=float(result.coverage.mean()) if result.coverage.size else 0.0,
            num_frames=result.num_frames,
            frame_start=target.ex4d.frame_start,
            **self._request,
        )
        takes.add(context, target, shot.shot_camera(target, context.scene), facts)
        return f"{result.folder.name}: {result.num_frames} frames by the {facts.engine} engine."


class EX4D_OT_cancel(bpy.types.Operator):
    """Stop what is running; nothing half-written remains"""

    bl_idname = "ex4d.cancel"
    bl_label = "Cancel"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        current = session.get()
        running = list(current.tasks)
        for task in running:
            current.cancel(task)
        if not running:
            self.report({"INFO"}, "Nothing is running.")
            return {"CANCELLED"}
        self.report({"INFO"}, f"Cancelled: {', '.join(task.title for task in running)}.")
        return {"FINISHED"}


CLASSES = (
    EX4D_OT_connect,
    EX4D_OT_disconnect,
    EX4D_OT_import_clip,
    EX4D_OT_add_camera_move,
    EX4D_OT_render_guides,
    EX4D_OT_generate,
    EX4D_OT_cancel,
)


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


def _shot_and_link(context: bpy.types.Context) -> tuple[bpy.types.Object, Any, jobs.StoredClip]:
    target = shot.active_shot(context)
    props = target.ex4d
    clip = jobs.StoredClip(
        props.clip_json, Path(bpy.path.abspath(props.video_path)), Path(bpy.path.abspath(props.depth_path))
    )
    return target, session.get().require_link(), clip


def _still_there(shot_id: str) -> bpy.types.Object:
    found = shot.by_id(shot_id)
    if found is None:
        raise AddonError("The shot was deleted while this was running; its files are still on disk.")
    return found


def _warn_of_empty(operator: bpy.types.Operator, coverage: np.ndarray) -> None:
    """Name the frames whose camera sees nothing of the source."""
    empty = [str(index + 1) for index in np.flatnonzero(coverage == 0)]
    if empty:
        shown = ", ".join(empty[:10]) + (", ..." if len(empty) > 10 else "")
        operator.report({"WARNING"}, f"The camera sees nothing of the source in frames {shown} of the shot.")


def _settings(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise AddonError(f'The engine settings are not JSON ({error}); write them like {{"steps": 25}}.') from error
    if not isinstance(found, dict):
        raise AddonError('The engine settings must be a JSON object, like {"steps": 25}.')
    return found
