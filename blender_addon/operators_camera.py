"""Camera moves from and to files."""

# pyright: reportInvalidTypeForm=false

from pathlib import Path

import bpy

from ex4d_protocol.messages import PresetReply

from . import camera, camera_files, move, operator_base, properties, shot
from .errors import AddonError

LAYOUTS = (
    ("OURS", "EX-4D for Blender (.npz)", "Poses, lens and source time of every frame"),
    ("EX4D", "EX-4D (.npz)", "As EX-4D's own program writes it; one lens for all frames"),
    ("NERFSTUDIO", "nerfstudio (.json)", "transforms.json with OpenGL camera axes"),
)


class EX4D_OT_export_camera(bpy.types.Operator):
    """Write the shot camera's move to a file; for FBX or Alembic use Blender's own exporters"""

    bl_idname = "ex4d.export_camera"
    bl_label = "Export Camera"

    layout_name: bpy.props.EnumProperty(name="Layout", items=LAYOUTS)
    filepath: bpy.props.StringProperty(subtype="FILE_PATH", options=properties.PATH_OPTIONS)
    filename_ext = ".npz"

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.filepath = "camera.npz"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            target = shot.active_shot(context)
            sampled = camera.sample(context, target, shot.shot_camera(target, context.scene))
            suffix = ".json" if self.layout_name == "NERFSTUDIO" else ".npz"
            path = Path(bpy.path.abspath(self.filepath)).with_suffix(suffix)
            camera_files.save(path, sampled, layout=self.layout_name)
        except AddonError as error:
            return operator_base.report(self, error)
        self.report({"INFO"}, f"{len(sampled.source_time)} cameras are written to {path}.")
        return {"FINISHED"}


class EX4D_OT_import_camera(bpy.types.Operator):
    """Key a move from a file (.npz of ours or of EX-4D, nerfstudio's .json) on the shot camera"""

    bl_idname = "ex4d.import_camera"
    bl_label = "Import Camera"
    bl_options = {"REGISTER", "UNDO"}

    filepath: bpy.props.StringProperty(subtype="FILE_PATH", options=properties.PATH_OPTIONS)
    filter_glob: bpy.props.StringProperty(default="*.npz;*.json", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            shot.require_object_mode(context)
            target = shot.active_shot(context)
            path = Path(bpy.path.abspath(self.filepath))
            found = camera_files.load(path, width=target.ex4d.width, height=target.ex4d.height)
            if len(found.source_time) != target.ex4d.num_frames:
                raise AddonError(
                    f"{path.name} has {len(found.source_time)} cameras, the shot has {target.ex4d.num_frames} frames; "
                    "use a move of the same length."
                )
            cam = move.apply(context.scene, target, _reply(found))
        except AddonError as error:
            return operator_base.report(self, error)
        self.report({"INFO"}, f"Keyed {path.name} on camera '{cam.name}'.")
        return {"FINISHED"}


CLASSES = (EX4D_OT_export_camera, EX4D_OT_import_camera)


def _reply(found: camera.CameraSamples) -> PresetReply:
    """A move from a file goes the way of one from the backend."""
    return PresetReply(
        preset=found.name[:128],
        num_frames=len(found.source_time),
        width=found.width,
        height=found.height,
        world_from_camera=found.world_from_camera.tobytes(),
        intrinsics=found.intrinsics.tobytes(),
        source_time=found.source_time.tobytes(),
    )
