"""Where the filming camera comes from: a camera of the scene, a file, or nowhere."""

from pathlib import Path

import bpy

from ..edit import moving
from ..jobs import solving
from ..scene import filming as sources
from ..scene import shot
from ..work import files, session
from ..work.errors import AddonError
from ..work.operators import LongOperator, QuickOperator
from ..work.properties import File, Flag, Number, Text
from ..work.tasks import Delivery, Task
from . import filming
from .properties import FindFocal, Matte


class EX4D_OT_estimate_filming(LongOperator, bpy.types.Operator):
    """Have the backend estimate from pictures and depth how the camera moved that filmed the clip"""

    bl_label = "Estimate Filming Camera"
    bl_options = {"UNDO"}  # no REGISTER: the redo panel would run the job again and block
    panel = "Clip"
    requires = (filming.require_whole,)
    needs_backend = True

    matte: Matte()
    find_focal: FindFocal()

    def begin(self, context: bpy.types.Context) -> Task:
        target = filming.require_whole(context)
        shot_id, link = target.ex4d.shot_id, session.get().require_link()
        target.ex4d.seems_to_move = False  # it was asked for
        painted = moving.is_painted(target)
        ignored = matte_words() if self.matte and painted else ""
        matte = Path(bpy.path.abspath(self.matte)) if self.matte else (list(moving.mattes(target)) if painted else None)
        steps = solving.solve(
            link, shot.unfilmed_clip(target), shot.output_folder(target), matte=matte, find_focal=self.find_focal
        )

        def deliver(context: bpy.types.Context, solved: solving.Solved) -> Delivery:
            filming.require_whole(context)
            there = shot.still_there(shot_id)
            found = sources.of_estimate(there, solved.info)
            warnings = (*found.warnings, *((ignored,) if ignored else ()))
            return Delivery(filming.use(context, there, found, moves_shot=False), warnings)

        return session.get().start("Estimate the filming camera", steps, shot_id=shot_id, deliver=deliver)


def matte_words() -> str:
    """What is left out where both are there."""
    return "The matte's file counts, and not what was painted to move; clear the file to use that."


class EX4D_OT_keep_standing(QuickOperator, bpy.types.Operator):
    """The camera that filmed this clip stood still, or it does not matter; do not ask again"""

    bl_label = "It Stood Still"
    panel = "Clip"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    def run(self, context: bpy.types.Context) -> str:
        filming.require_whole(context).ex4d.seems_to_move = False
        return ""


class EX4D_OT_film_from_camera(QuickOperator, bpy.types.Operator):
    """Have the shot's mesh go where a camera of this scene goes, so that the world it filmed stands still"""

    bl_label = "Use This Camera"
    panel = "Clip"
    bl_options = {"REGISTER", "UNDO"}
    requires = (filming.require_whole,)

    camera: Text("Camera", "Name of the camera object; empty is the scene's choice")
    scale: Number("Scale", "Units of the clip's depth in one of the camera's; 0 as for the scene's choice", min=0.0)
    place: Flag("Place the Shot", "Put the shot where the camera stood at its first frame", default=True)

    def run(self, context: bpy.types.Context) -> str:
        target = filming.require_whole(context)
        chosen = context.scene.ex4d.filming_camera
        camera = context.scene.objects.get(self.camera) if self.camera else chosen
        if camera is None or camera.type != "CAMERA" or camera.name not in context.scene.objects:
            raise AddonError("No camera of this scene is chosen; choose the one that moves as the filming camera did.")
        found = sources.of_camera(context, target, camera, scale=self.scale)
        for warning in found.warnings:
            self.report({"WARNING"}, warning)
        return filming.use(context, target, found, moves_shot=self.place)


class EX4D_OT_film_from_file(QuickOperator, bpy.types.Operator):
    """Have the shot's mesh go where the cameras of a file stand, so that the world they filmed stands still"""

    bl_label = "Open Camera File..."
    remembers = ("filepath",)
    panel = "Clip"
    bl_options = {"REGISTER", "UNDO"}
    requires = (filming.require_whole,)

    filepath: File("File", "The cameras: .npz, .json, COLMAP's images.txt or images.bin, or poses as text")
    filter_glob: Text(
        "Filter", "What the file browser shows", default="*.npz;*.json;*.txt;*.bin;poses.npy", options={"HIDDEN"}
    )
    scale: Number("Scale", "Units of the clip's depth in one of the file's; 0 takes them as the same", min=0.0)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: bpy.types.Context) -> str:
        target = filming.require_whole(context)
        if not self.filepath:
            raise AddonError("No file is chosen; choose the cameras that filmed the clip.")
        found = sources.of_file(target, Path(bpy.path.abspath(self.filepath)), scale=self.scale)
        for warning in found.warnings:
            self.report({"WARNING"}, warning)
        return filming.use(context, target, found, moves_shot=False)


class EX4D_OT_film_from_depth(QuickOperator, bpy.types.Operator):
    """Have the shot's mesh go where the camera went by what estimated the depth, in that depth's own unit"""

    bl_label = "Use the Estimator's Camera"
    panel = "Clip"
    bl_options = {"REGISTER", "UNDO"}
    requires = (filming.require_whole,)

    def run(self, context: bpy.types.Context) -> str:
        target = filming.require_whole(context)
        if not target.ex4d.knows_camera:
            raise AddonError("What estimated this clip's depth says nothing of its camera; estimate the camera.")
        found = sources.of_depth(target, shot.folder_of(target) / files.DEPTH_CAMERA_FILE)
        target.ex4d.seems_to_move = False  # it was asked for
        return filming.use(context, target, found, moves_shot=False)


class EX4D_OT_film_from_nowhere(QuickOperator, bpy.types.Operator):
    """Take the source rig away: every frame's mesh stands where the first one's does"""

    bl_label = "Remove the Rig"
    panel = "Clip"
    bl_options = {"REGISTER", "UNDO"}
    requires = (filming.require_whole,)

    def run(self, context: bpy.types.Context) -> str:
        target = filming.require_whole(context)
        if not target.ex4d.filmed_by and target.ex4d.rig is None:
            self.idle = True
            return "The shot has no source rig."
        filming.forget(context, target)
        return "Every frame's mesh stands where the first one's does."
