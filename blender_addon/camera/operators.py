"""Camera moves from the backend, and from and to files."""

from pathlib import Path

import bpy

from ex4d_ground.camera_files import CameraLayout, load_camera, save_camera
from ex4d_protocol.messages import PresetQuery, PresetReply

from ..scene import cameras, linked, shot
from ..work import session
from ..work.errors import AddonError
from ..work.operators import LongOperator, QuickOperator
from ..work.properties import Choice, File, Number, Text
from ..work.tasks import Delivery, Task
from . import exporters, move
from .properties import Centre

LAYOUTS: dict[str, tuple[str, str, str, CameraLayout | None]] = {
    "OURS": ("EX-4D for Blender (.npz)", "Poses, lens and source time of every frame", ".npz", "ex4d-blender"),
    "EX4D": ("EX-4D (.npz)", "As EX-4D's own program writes it; one lens for all frames", ".npz", "ex4d"),
    "NERFSTUDIO": ("nerfstudio (.json)", "transforms.json with OpenGL camera axes", ".json", "nerfstudio"),
    "COLMAP": ("COLMAP (folder)", "Text model: cameras.txt and images.txt in a folder of the given name", "", "colmap"),
    "FBX": ("FBX (.fbx)", "An animated camera in world space, by Blender's own exporter", ".fbx", None),
    "ALEMBIC": ("Alembic (.abc)", "An animated camera in world space, by Blender's own exporter", ".abc", None),
}
"""Name, tooltip, suffix and, unless Blender writes it itself, the layout of camera files."""


class EX4D_OT_add_camera_move(LongOperator, bpy.types.Operator):
    """Key a preset move on the shot camera; the keys are ordinary ones"""

    bl_label = "Add Camera Move"
    bl_options = {"UNDO"}  # no REGISTER: the redo panel would run the job again and block

    preset: Text("Preset", "A move the backend offers", default="30")
    amount: Number("Amount", "In the preset's own unit, degrees or a factor; 0 means as named")
    easing: Text("Easing", "Empty means the preset's own")
    centre: Centre()

    def begin(self, context: bpy.types.Context) -> Task:
        shot.require_object_mode(context)
        target = shot.active_shot(context)
        linked.require_changeable(target)
        shot_id, preset = target.ex4d.shot_id, self.preset
        current = session.get()
        link = current.require_link()
        size = {name: getattr(target.ex4d, name) for name in ("num_frames", "width", "height")}
        query = PresetQuery(
            preset=preset,
            **size,
            intrinsics=tuple(target.ex4d.intrinsics),
            near_depth=move.centre_depth(context, target, self.centre),
            amount=self.amount or None,
            easing=self.easing,
        )
        steps = link.ask(query)

        def deliver(context: bpy.types.Context, reply: PresetReply) -> Delivery:
            shot.require_object_mode(context)
            there = shot.still_there(shot_id)
            cam = move.apply(shot.scene_of(there, context.scene), there, reply.unpack())
            return Delivery(f"Keyed '{preset}' on camera '{cam.name}', {reply.num_frames} frames.")

        return current.start("Add camera move", steps, panel="Camera", shot_id=shot_id, deliver=deliver)


class EX4D_OT_export_camera(QuickOperator, bpy.types.Operator):
    """Write the shot camera's move to a file for other programs"""

    bl_label = "Export Camera"

    layout_name: Choice("Layout", "What the file looks like", *((key, *rest[:2]) for key, rest in LAYOUTS.items()))
    filepath: File("File", "Where the move goes")
    filename_ext = ".npz"

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.filepath = "camera.npz"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: bpy.types.Context) -> str:
        target = shot.active_shot(context)
        sampled = cameras.sample(context, target, shot.shot_camera(target, context.scene))
        *_, suffix, layout = LAYOUTS[self.layout_name]
        path = Path(bpy.path.abspath(self.filepath)).with_suffix(suffix)
        if layout is None:
            exporters.save(context.scene, target, sampled, path, layout=self.layout_name)
        else:
            save_camera(path, sampled, layout=layout)
        return f"{len(sampled)} cameras are written to {path}."


class EX4D_OT_import_camera(QuickOperator, bpy.types.Operator):
    """Key a move from a file (.npz of ours or of EX-4D, nerfstudio's .json, COLMAP's text) on the shot camera"""

    bl_label = "Import Camera"
    bl_options = {"REGISTER", "UNDO"}

    filepath: File("File", "The move: .npz, .json, or COLMAP's images.txt")
    filter_glob: Text("Filter", "What the file browser shows", default="*.npz;*.json;*.txt", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: bpy.types.Context) -> str:
        shot.require_object_mode(context)
        target = shot.active_shot(context)
        path = Path(bpy.path.abspath(self.filepath))
        loaded = load_camera(path, size=(target.ex4d.width, target.ex4d.height))
        if len(loaded) != target.ex4d.num_frames:
            raise AddonError(
                f"{path.name} has {len(loaded)} cameras, the shot has {target.ex4d.num_frames} frames; "
                "use a move of the same length."
            )
        cam = move.apply(context.scene, target, loaded)
        return f"Keyed {path.name} on camera '{cam.name}'."
