"""Generating a take of a shot."""

from pathlib import Path
from typing import Any

import bpy
import msgspec

from ex4d_ground.remedies import update_backend
from ex4d_ground.takes import describe
from ex4d_protocol import minors
from ex4d_protocol.requests import Generate

from ..guides import planes
from ..guides.gather import gather
from ..jobs import engine_settings, offers
from ..scene import shot
from ..work import files, session
from ..work.chosen import chosen_folder
from ..work.errors import AddonError
from ..work.identity import OpenTake
from ..work.operators import LongOperator
from ..work.properties import Folder, Text, Whole
from ..work.tasks import Task
from . import arrivals, eyes, receiving, restoring, resume


class EX4D_OT_generate(LongOperator, bpy.types.Operator):
    """Have an engine finish the guides, and show the take on a plane before the shot camera"""

    bl_label = "Generate"
    bl_options = {"UNDO"}  # no REGISTER: the redo panel would run the job again and block
    panel = "Takes"
    requires = (shot.active_shot, shot.require_object_mode, shot.active_camera)
    needs_backend = True

    engine: Text("Engine", "Empty uses the scene's choice")
    seed: Whole("Seed", "-1 uses the scene's", default=-1, min=-1)
    settings: Text(
        "Settings", "The engine's settings as JSON; empty uses the scene's, what is missing takes its default"
    )
    folder: Folder("Folder", "Where the take's folder goes; empty puts it into the shot's folder")

    def begin(self, context: bpy.types.Context) -> Task:
        """A take by the operator's own choices, or the scene's."""
        props = context.scene.ex4d
        engine, seed = self.engine or props.engine, self.seed if self.seed >= 0 else props.seed
        settings = engine_settings.chosen(context.scene, engine, given=self.settings)
        seed, settings = restoring.exact(context.scene, engine, seed, settings)
        if not self.settings:
            settings = planes.chosen(settings, shot.active_shot(context))
        return start(context, engine=engine, seed=seed, settings=settings, folder=self.folder)


def start(context: bpy.types.Context, *, engine: str, seed: int, settings: dict[str, Any], folder: str = "") -> Task:
    """Begin a take of the active shot into ``folder`` (or the shot's). Raises AddonError."""
    current, target = session.get(), shot.active_shot(context)
    current.require_link()
    shot.require_object_mode(context)
    offers.require(current.capabilities.engines, engine, what="engine")
    inputs = gather(context)
    trajectory, both = inputs.trajectory, eyes.of_shot(context, target)
    made_with: dict[str, Any] = {"engine": engine, "seed": seed, "settings": settings}
    shot_id = target.ex4d.shot_id
    parent = files.require_short(chosen_folder(folder)) if folder else shot.output_folder(target)
    entry = OpenTake(
        shot_id=shot_id,
        blend_path=bpy.data.filepath,
        num_frames=trajectory.num_frames,
        backend=current.backend_name,
        **made_with,
    )
    arrival = arrivals.FolderArrival(entry)
    layers = "all" if context.scene.ex4d.keep_layers else "plate"
    if both is not None and minors.lacks(inputs.link.client.welcome, "Generate.eyes"):
        raise AddonError("The backend is too old for stereo takes.", remedy=update_backend())
    if minors.lacks(inputs.link.client.welcome, "Generate.layers"):
        layers = "none"

    def submitted(job_id: str, take: Path) -> OpenTake:
        arrival.entry = msgspec.structs.replace(entry, job_id=job_id, folder=str(take))
        return arrival.entry

    steps = receiving.generate(
        inputs.link,
        lambda clip: Generate(
            clip=clip,
            trajectory=trajectory,
            mesh=inputs.mesh,
            raster=inputs.raster,
            layers=layers,
            eyes=both,
            **made_with,
        ),
        inputs.clip,
        parent,
        identity=current.require_identity(),
        note=submitted,
        about=describe(engine, trajectory.unpack(), seed=seed, settings=settings, eyes=both),
    )
    task = current.start("Generate", steps, panel="Takes", shot_id=shot_id, deliver=resume.deliverer(entry))
    task.arrival, task.notes = arrival, inputs.notes
    return task
