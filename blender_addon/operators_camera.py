"""Camera moves from and to files."""

# pyright: reportInvalidTypeForm=false

from pathlib import Path

import bpy

from . import camera, camera_files, camera_scene, move, operator_base, properties, shot
from .errors import AddonError

LAYOUTS = (
    ("OURS", "EX-4D for Blender (.npz)", "Poses, lens and source time of every frame"),
    ("EX4D", "EX-4D (.npz)", "As EX-4D's own program writes it; one lens for all frames"),
    ("NERFSTUDIO", "nerfstudio (.json)", "transforms.json with OpenGL camera axes"),
    ("COLMAP", "COLMAP (folder)", "Text model: cameras.txt and images.txt in a folder of the given name"),
    ("FBX", "FBX (.fbx)", "An animated camera in world space, by Blender's own exporter"),
    ("ALEMBIC", "Alembic (.abc)", "An animated camera in world space, by Blender's own exporter"),
)
EXTENSIONS = {"NERFSTUDIO": ".json", "COLMAP": "", **camera_scene.SUFFIXES}


class EX4D_OT_export_camera(bpy.types.Operator):
    """Write the shot camera's move to a file for other programs"""

    bl_idname = "ex4d.export_camera"
    bl_label = "Export Camera"

    layout_name: bpy.props.EnumProperty(name="Layout", description="What the file looks like", items=LAYOUTS)
    filepath: bpy.props.StringProperty(
        name="File", description="Where the move goes", subtype="FILE_PATH", options=properties.PATH_OPTIONS
    )
    filename_ext = ".npz"

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.filepath = "camera.npz"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            target = shot.active_shot(context)
            sampled = camera.sample(context, target, shot.shot_camera(target, context.scene))
            path = Path(bpy.path.abspath(self.filepath)).with_suffix(EXTENSIONS.get(self.layout_name, ".npz"))
            if self.layout_name in camera_scene.SUFFIXES:
                camera_scene.save(context.scene, target, sampled, path, layout=self.layout_name)
            else:
                camera_files.save(path, sampled, layout=self.layout_name)
        except AddonError as error:
            return operator_base.report(self, error)
        self.report({"INFO"}, f"{len(sampled.source_time)} cameras are written to {path}.")
        return {"FINISHED"}


class EX4D_OT_import_camera(bpy.types.Operator):
    """Key a move from a file (.npz of ours or of EX-4D, nerfstudio's .json, COLMAP's text) on the shot camera"""

    bl_idname = "ex4d.import_camera"
    bl_label = "Import Camera"
    bl_options = {"REGISTER", "UNDO"}

    filepath: bpy.props.StringProperty(
        name="File",
        description="The move: .npz, .json, or COLMAP's images.txt",
        subtype="FILE_PATH",
        options=properties.PATH_OPTIONS,
    )
    filter_glob: bpy.props.StringProperty(
        name="Filter", description="What the file browser shows", default="*.npz;*.json;*.txt", options={"HIDDEN"}
    )

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
            cam = move.apply(context.scene, target, move.as_reply(found))
        except AddonError as error:
            return operator_base.report(self, error)
        self.report({"INFO"}, f"Keyed {path.name} on camera '{cam.name}'.")
        return {"FINISHED"}


CLASSES = (EX4D_OT_export_camera, EX4D_OT_import_camera)
