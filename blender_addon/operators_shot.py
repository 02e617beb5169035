"""The operators on a shot: camera moves, guides and takes. They only translate between the scene and the steps."""

# pyright: reportInvalidTypeForm=false

from pathlib import Path
from typing import Any

import bpy
import msgspec
import numpy as np

from ex4d_protocol.messages import PresetReply
from ex4d_protocol.requests import TrajectorySpec

from . import (
    arrivals,
    coverage,
    edit_collect,
    engine_settings,
    guide_objects,
    jobs,
    linked,
    move,
    occluders,
    properties,
    resume,
    session,
    shot,
    take_jobs,
)
from .identity import OpenTake
from .operator_base import LongOperator
from .tasks import Delivery, Task


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
    centre: bpy.props.EnumProperty(
        name="Centre",
        description="What the move turns around, on the source camera's axis",
        items=properties.CENTRES,
    )

    def begin(self, context: bpy.types.Context) -> Task:
        shot.require_object_mode(context)
        target = shot.active_shot(context)
        linked.require_changeable(target)
        shot_id, preset = target.ex4d.shot_id, self.preset
        current = session.get()
        link = current.require_link()
        near = move.centre_depth(context, target, self.centre)
        query = move.preset_query(target, preset, amount=self.amount or None, easing=self.easing, near_depth=near)
        steps = link.ask(lambda: link.client.query_preset(query))

        def deliver(context: bpy.types.Context, reply: PresetReply) -> Delivery:
            shot.require_object_mode(context)
            found = shot.still_there(shot_id)
            cam = move.apply(shot.scene_of(found, context.scene), found, reply)
            return Delivery(f"Keyed '{preset}' on camera '{cam.name}', {reply.num_frames} frames.")

        return current.start("Add camera move", steps, shot_id=shot_id, deliver=deliver)


class EX4D_OT_render_guides(LongOperator, bpy.types.Operator):
    """Render what the shot camera sees of the source, and where it sees nothing"""

    bl_idname = "ex4d.render_guides"
    bl_label = "Render Guides"
    bl_options = {"UNDO"}  # no REGISTER: the redo panel would run the job again and block

    def begin(self, context: bpy.types.Context) -> Task:
        target, link, clip = shot_and_link(context)
        spec = move.trajectory(context, target)
        shot_id = target.ex4d.shot_id
        folder = shot.output_folder(target)
        edits = edit_collect.collect(target, folder)
        objects = guide_objects.collect(context, target, folder)
        mesh = occluders.mesh_spec(target)
        steps = jobs.render_guides(
            link, lambda c: jobs.guides_request(c, spec, mesh), clip, folder, edits=edits, objects=objects
        )

        def deliver(_context: bpy.types.Context, values: np.ndarray) -> Delivery:
            coverage.store(shot.still_there(shot_id), values)
            worst = int(np.argmin(values))
            return Delivery(
                f"Guides rendered: the source shows {values.mean():.0%} of the move, "
                f"{values[worst]:.0%} at worst (frame {worst + 1} of {len(values)}).",
                coverage.warnings(values),
            )

        return session.get().start("Render guides", steps, shot_id=shot_id, deliver=deliver)


class EX4D_OT_generate(LongOperator, bpy.types.Operator):
    """Have an engine finish the guides, and show the take on a plane before the shot camera"""

    bl_idname = "ex4d.generate"
    bl_label = "Generate"
    bl_options = {"UNDO"}  # no REGISTER: the redo panel would run the job again and block

    engine: bpy.props.StringProperty(name="Engine", description="Empty uses the scene's choice")
    seed: bpy.props.IntProperty(name="Seed", description="-1 uses the scene's", default=-1, min=-1)
    settings: bpy.props.StringProperty(
        name="Settings",
        description="The engine's settings as JSON; empty uses the scene's, what is missing takes its default",
    )
    folder: bpy.props.StringProperty(
        name="Folder",
        description="Where the take's folder goes; empty puts it into the shot's folder",
        subtype="DIR_PATH",
        options=properties.PATH_OPTIONS,
    )

    def begin(self, context: bpy.types.Context) -> Task:
        engine, seed, settings = self._choices(context.scene)
        return start_generate(context, engine=engine, seed=seed, settings=settings, folder=self.folder)

    def _choices(self, scene: bpy.types.Scene) -> tuple[str, int, dict[str, Any]]:
        """Engine, seed and settings: the operator's own, or the scene's."""
        props = scene.ex4d
        engine = self.engine or props.engine
        settings = engine_settings.from_json(self.settings) if self.settings else engine_settings.values(scene, engine)
        return engine, self.seed if self.seed >= 0 else props.seed, settings


CLASSES = (EX4D_OT_add_camera_move, EX4D_OT_render_guides, EX4D_OT_generate)


def start_generate(
    context: bpy.types.Context, *, engine: str, seed: int, settings: dict[str, Any], folder: str = ""
) -> Task:
    """Begin a take of the active shot into ``folder`` (or the shot's). Raises AddonError."""
    target, link, clip = shot_and_link(context)
    shot.require_object_mode(context)
    current = session.get()
    jobs.require_engine(current.capabilities, engine)
    spec = move.trajectory(context, target)
    shot_id, frame_start, blend = target.ex4d.shot_id, target.ex4d.frame_start, bpy.data.filepath

    def note(job_id: str, take: Path) -> OpenTake:
        return OpenTake(
            job_id=job_id,
            shot_id=shot_id,
            blend_path=blend,
            folder=str(take),
            engine=engine,
            seed=seed,
            settings=settings,
            frame_start=frame_start,
        )

    parent = Path(bpy.path.abspath(folder)) if folder else shot.output_folder(target)
    arrival = arrivals.Arrival(note("", Path()), num_frames=spec.num_frames)
    arrival.entry = msgspec.structs.replace(arrival.entry, folder="")

    def submitted(job_id: str, take: Path) -> OpenTake:
        arrival.entry = note(job_id, take)
        return arrival.entry

    edits = edit_collect.collect(target, shot.output_folder(target))
    objects = guide_objects.collect(context, target, shot.output_folder(target))
    mesh = occluders.mesh_spec(target)
    steps = take_jobs.generate(
        link,
        lambda c: jobs.generate_request(c, spec, engine=engine, seed=seed, settings=settings, mesh=mesh),
        clip,
        parent,
        identity=current.require_identity(),
        note=submitted,
        about=_about(spec, engine=engine, seed=seed, settings=settings),
        edits=edits,
        objects=objects,
    )
    task = current.start("Generate", steps, shot_id=shot_id, deliver=resume.deliverer(note("", parent)))
    task.arrival = arrival
    return task


def _about(spec: TrajectorySpec, *, engine: str, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """What an unfinished take says of itself, in the words of ``take.json``."""
    poses, intrinsics, source_time = spec.arrays()
    return {
        "engine": engine,
        "seed": seed,
        "settings": settings,
        "num_frames": spec.num_frames,
        "camera": {
            "name": spec.name,
            "width": spec.width,
            "height": spec.height,
            "world_from_camera": poses.tolist(),
            "intrinsics": intrinsics.tolist(),
            "source_time": source_time.tolist(),
        },
    }


def shot_and_link(context: bpy.types.Context) -> tuple[bpy.types.Object, Any, jobs.StoredClip]:
    """The active shot, the connection, and the shot's clip. Raises AddonError if one is missing."""
    target = shot.active_shot(context)
    return target, session.get().require_link(), shot.stored_clip(target)
