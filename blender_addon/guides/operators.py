"""Rendering guides, and going to the frames that ask for too much."""

import bpy
import numpy as np

from ex4d_protocol.requests import RenderGuides

from ..jobs import clip as clip_jobs
from ..scene import shot
from ..work import session
from ..work.operators import LongOperator, QuickOperator
from ..work.properties import Flag, Whole
from ..work.tasks import Delivery, Task
from . import coverage, planes
from .gather import gather


class EX4D_OT_render_guides(LongOperator, bpy.types.Operator):
    """Render what the shot camera sees of the source, and where it sees nothing"""

    bl_label = "Render Guides"
    bl_options = {"UNDO"}  # no REGISTER: the redo panel would run the job again and block
    panel = "Camera"
    requires = (shot.active_shot, shot.require_object_mode, shot.active_camera)
    needs_backend = True

    def begin(self, context: bpy.types.Context) -> Task:
        inputs, target = gather(context), shot.active_shot(context)
        shot_id, changed = target.ex4d.shot_id, planes.text(target)
        steps = clip_jobs.render_guides(
            inputs.link,
            lambda clip: RenderGuides(
                clip=clip,
                trajectory=inputs.trajectory,
                mesh=inputs.mesh,
                raster=inputs.raster,
                on_plane=True,
                planes=changed,
            ),
            inputs.clip,
            shot.output_folder(target),
        )

        def deliver(_context: bpy.types.Context, seen: clip_jobs.Seen) -> Delivery:
            values = seen.coverage
            there = shot.still_there(shot_id)
            coverage.store(there, values, seen.on_plane)
            if seen.planes is not None and planes.text(there) == changed:
                planes.take(there, seen.planes)
            worst = int(np.argmin(values))
            return Delivery(
                f"Guides rendered: the source shows {values.mean():.0%} of the move, "
                f"{values[worst]:.0%} at worst (frame {worst + 1} of {len(values)}).",
                coverage.warnings(values),
            )

        task = session.get().start("Render guides", steps, panel="Camera", shot_id=shot_id, deliver=deliver)
        task.notes = inputs.notes
        return task


class EX4D_OT_go_to_frame(QuickOperator, bpy.types.Operator):
    """Go to this frame"""

    bl_label = "Go to Frame"
    panel = "Camera"
    bl_options = {"INTERNAL"}

    frame: Whole("Frame", "Scene frame to go to")

    def run(self, context: bpy.types.Context) -> str:
        context.scene.frame_set(self.frame)
        return ""


class EX4D_OT_mark_problems(QuickOperator, bpy.types.Operator):
    """Put a timeline marker on the worst frame of every problem; again takes them away"""

    bl_label = "Mark on Timeline"
    panel = "Camera"
    bl_options = {"REGISTER", "UNDO"}

    remove: Flag("Remove", "Take our markers away instead", options={"SKIP_SAVE"})

    def run(self, context: bpy.types.Context) -> str:
        scene = context.scene
        if self.remove:
            coverage.unmark(scene)
            return ""
        target = shot.active_shot(context)
        start, minimum = target.ex4d.frame_start, scene.ex4d.min_coverage
        problems = coverage.problems(coverage.of(target), frame_start=start, minimum=minimum)
        coverage.mark(scene, problems)
        return f"{len(problems)} problem{'' if len(problems) == 1 else 's'} marked on the timeline."
