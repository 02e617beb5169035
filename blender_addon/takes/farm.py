"""The shot for a render farm: its folder with shot.json and camera, a job bundle, a job of Flamenco."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bpy

from ex4d_ground.camera_files import save_camera
from ex4d_ground.errors import Ex4dError
from ex4d_ground.farms import MOST_WINDOWS, FarmJob
from ex4d_ground.files import plain_name, staged_folder
from ex4d_ground.flamenco import JobNews, Manager, submission
from ex4d_ground.openjd import write_bundle
from ex4d_ground.shot_files import write_shot

from ..camera import move
from ..edit import collect, occluders
from ..guides import objects, planes
from ..guides.gather import raster
from ..jobs import engine_settings
from ..panels.base import Part, hint
from ..scene import shot
from ..scene.clip import StoredClip
from ..work import connecting, files, preferences, session
from ..work.chosen import chosen_folder
from ..work.errors import AddonError
from ..work.operators import LongOperator, QuickOperator
from ..work.properties import Folder, Text, Whole
from ..work.tasks import Delivery, Steps, Task, TaskProgress
from . import eyes

CAMERA, FILMED_BY_FILE = "camera.npz", "filmed_by.npz"
WAIT_S = 0.05
FARM_FOLDER = "farm"


def write(context: bpy.types.Context, folder: str) -> Path:
    """Write the active shot's folder below ``folder``, with its camera; returns it. Raises AddonError."""
    target = shot.active_shot(context)
    parent = chosen_folder(folder) if folder else shot.output_folder(target) / FARM_FOLDER
    parent = parent.absolute()
    clip, sampled = shot.stored_clip(target), move.sampled(context, target)
    options = {**_source(clip), **_occluders(context, target), **_engine(context.scene), "cam": CAMERA}
    options |= _eyes(context, target)
    place = files.free_path(parent / plain_name(target.name))
    try:
        with files.writing(place), staged_folder(place) as staging:
            save_camera(staging / CAMERA, sampled, layout="ex4d-blender")
            if clip.filmed_by is not None:
                save_camera(staging / FILMED_BY_FILE, clip.filmed_by.as_trajectory(), layout="ex4d-blender")
                options["source_camera"] = FILMED_BY_FILE
            write_shot(staging, options)
    except Ex4dError as error:
        raise AddonError(str(error)) from error
    return place


def _source(clip: StoredClip) -> dict[str, Any]:
    """The clip's files and how they are read, as 'ex4d run' is told."""
    for path, what in ((clip.video, "video"), (clip.depth, "depth")):
        if not path.exists():
            raise AddonError(f"The clip's {what} is not at {path} any more; import the clip again.")
    spec = clip.spec
    given: dict[str, Any] = {"input_video": str(clip.video), "depth": str(clip.depth)}
    lens = spec.intrinsics or clip.lens
    if lens is not None:
        given |= dict(zip(("focal", "fy", "cx", "cy"), map(float, lens), strict=True))
    given |= {"fov": spec.fov_deg if lens is None else None, "num_frames": spec.num_frames, "fps": spec.fps}
    if lens is None:
        given["focal"] = spec.focal_px
    given |= {"depth_scale": spec.depth_scale, "depth_channel": spec.depth_channel}
    if spec.fill_invalid:
        given["fill_invalid"] = True
    if spec.reading is not None:
        given |= {"colour_space": spec.reading.colour_space or None, "fields": spec.reading.fields}
        given["ocio"] = None if clip.ocio is None else str(clip.ocio)
    return {name: value for name, value in given.items() if value is not None}


def _occluders(context: bpy.types.Context, target: bpy.types.Object) -> dict[str, Any]:
    """How the mesh is built. Raises AddonError for what a shot's file cannot hold: nothing is left out silently."""
    folder = shot.output_folder(target)
    if collect.collect(target, folder):
        raise AddonError("This shot has edits of its mesh, which a farm's job cannot carry; generate it on a backend.")
    if objects.collect(context, target, folder):
        raise AddonError("This shot has objects of yours, which a farm's job cannot carry; generate it on a backend.")
    options = occluders.mesh_spec(target).options
    given: dict[str, Any] = {"mode": options.mode}
    if options.mode == "solid":
        number = options.thickness
        if number != "auto":
            number = f"{100 * number!r}%" if options.thickness_unit == "share" else str(number)
        given |= {"thickness": number, "other_frames": options.other_frames, "world_memory": options.world_memory}
    rasterizer = raster(context.scene).rasterizer
    return given if rasterizer == "auto" else {**given, "rasterizer": rasterizer}


def _eyes(context: bpy.types.Context, target: bpy.types.Object) -> dict[str, Any]:
    """The eyes of a stereo take. Raises AddonError for what a shot's file cannot hold."""
    found = eyes.of_shot(context, target)
    if found is None:
        return {}
    if max(len(found.distance), len(found.convergence)) > 1:
        raise AddonError(
            "The eyes' distance or convergence is keyed, which a farm's job cannot carry; remove the keys."
        )
    given: dict[str, Any] = {"stereo": repr(found.distance[0])}
    return given | ({"convergence": found.convergence[0]} if found.convergence else {})


def _engine(scene: bpy.types.Scene) -> dict[str, Any]:
    """Engine, seed and settings of the scene."""
    props = scene.ex4d
    settings = planes.chosen(engine_settings.chosen(scene, props.engine, given=""), props.shot)
    return {"engine": props.engine, "seed": props.seed, "set": {k: v for k, v in settings.items() if v is not None}}


class _FarmJob:
    """Mixin: what both operators ask for."""

    panel = "Takes"
    requires = (shot.active_shot, shot.require_object_mode, shot.active_camera)

    directory: Folder("Folder", "Where the shot's folder goes; empty puts it into the shot's own folder")
    windows: Whole(
        "Windows", "Tasks that a long shot is cut into, one behind the other", default=1, min=1, max=MOST_WINDOWS
    )


class EX4D_OT_write_farm_job(_FarmJob, QuickOperator, bpy.types.Operator):
    """Write this shot and a job of Open Job Description, for AWS Deadline Cloud and other farms"""

    bl_label = "Write Farm Job"

    gpu_gib: Whole("GPU Memory (GiB)", "What a task needs of a GPU; 0 asks for none", default=0, min=0, max=1024)

    def run(self, context: bpy.types.Context) -> str:
        place = write(context, self.directory)
        job = FarmJob(
            place.parent, (place.name,), self.windows, gpus=int(self.gpu_gib > 0), gpu_memory_gib=float(self.gpu_gib)
        )
        bundle = files.free_path(place.with_name(f"{place.name}_openjd"))
        try:
            write_bundle(job, bundle)
        except Ex4dError as error:
            raise AddonError(str(error)) from error
        return f"The shot is in {place}, its job in {bundle}."


class EX4D_OT_submit_to_flamenco(_FarmJob, LongOperator, bpy.types.Operator):
    """Write this shot and submit it to a Flamenco Manager, whose workers must see the folder under the same name"""

    bl_label = "Submit to Flamenco"

    address: Text("Manager", "Address of the Flamenco Manager; empty takes the preferences'")

    def begin(self, context: bpy.types.Context) -> Task:
        address = self.address or preferences.get(context).flamenco
        if not address:
            raise AddonError("No Flamenco Manager is set; type its address into the add-on's preferences.")
        if urlsplit(address if "://" in address else f"http://{address}").hostname not in ("127.0.0.1", "localhost"):
            connecting.require_online("the Flamenco Manager cannot be reached")
        manager = _asked(lambda: Manager(address))
        place = write(context, self.directory)
        job = FarmJob(place.parent, (place.name,), self.windows)

        def deliver(_context: bpy.types.Context, news: JobNews) -> Delivery:
            return Delivery(f"{place.name} is submitted to Flamenco: {news.total} tasks, {news.status}.")

        steps = _submitted(lambda: manager.submit(submission(job, etag=manager.etag())))
        return session.get().start("Submit to Flamenco", steps, panel="Takes", deliver=deliver)


def _submitted(ask: Callable[[], JobNews]) -> Steps[JobNews]:
    """Ask on a thread, so that Blender goes on while the Manager thinks. Raises AddonError."""
    found: list[JobNews] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(_asked(ask))
        except BaseException as error:  # noqa: BLE001 - told by who waits
            failed.append(error)

    thread = threading.Thread(target=work, name="ex4d flamenco", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(WAIT_S if bpy.app.background else 0.0)
        yield TaskProgress("submitting")
    if failed:
        raise failed[0]
    return found[0]


def _asked(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except AddonError:
        raise
    except Ex4dError as error:
        raise AddonError(str(error)) from error


class EX4D_PT_farm(Part, bpy.types.Panel):
    bl_label = "Render Farm"
    bl_parent_id = "EX4D_PT_takes"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 2

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator("ex4d.write_farm_job", icon="EXPORT")
        layout.operator("ex4d.submit_to_flamenco", icon="URL")
        hint(layout, "Writes the shot for 'ex4d run'; edits of the mesh and objects stay with a backend.")
