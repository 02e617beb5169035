"""Camera moves from the backend, and from and to files."""

from pathlib import Path
from typing import Any

import bpy

from ex4d_ground import remedies
from ex4d_ground.camera_files import CameraLayout, load_camera_file, save_camera
from ex4d_protocol import minors
from ex4d_protocol.messages import PresetQuery, PresetReply

from ..jobs import offers
from ..panels.base import split_column
from ..scene import linked, rig, shot
from ..work import files, session
from ..work.errors import AddonError
from ..work.operators import LongOperator, QuickOperator
from ..work.properties import Choice, File, Flag, Number, Text
from ..work.tasks import Delivery, Task
from . import exporters, move
from .presets import amount_property
from .properties import Centre, InItsUnit, easings, presets

LAYOUTS: dict[str, tuple[str, str, str, CameraLayout | None]] = {
    "OURS": ("EX-4D for Blender (.npz)", "Poses, lens and source time of every frame", ".npz", "ex4d-blender"),
    "EX4D": ("EX-4D (.npz)", "As EX-4D's own program writes it; one lens for all frames", ".npz", "ex4d"),
    "NERFSTUDIO": ("nerfstudio (.json)", "transforms.json with OpenGL camera axes", ".json", "nerfstudio"),
    "COLMAP": ("COLMAP (folder)", "Text model: cameras.txt and images.txt in a folder of the given name", "", "colmap"),
    "FBX": ("FBX (.fbx)", "An animated camera in world space, by Blender's own exporter", ".fbx", None),
    "ALEMBIC": ("Alembic (.abc)", "An animated camera in world space, by Blender's own exporter", ".abc", None),
}
"""Name, tooltip, suffix and, unless Blender writes it itself, the layout of camera files."""


class _KeyMove(InItsUnit, LongOperator):
    """Mixin: key one of the backend's moves. Doing it again (F9) asks the backend for a few matrices, no more."""

    bl_options = {"REGISTER", "UNDO"}
    panel = "Camera"
    requires = (shot.active_shot, shot.require_object_mode)
    needs_backend = True
    replaces = False

    preset: Text("Preset", "A move the backend offers", default="30", search=presets)
    amount: Number("Amount", "In the preset's own unit, degrees or a factor; 0 means as named")
    easing: Text("Easing", "Empty means the preset's own", search=easings)
    centre: Centre()

    def draw(self: Any, _context: bpy.types.Context) -> None:
        """What F9 changes."""
        column = split_column(self.layout)
        preset = offers.preset(self.preset)
        for name in ("preset", amount_property(preset.unit if preset is not None else ""), "easing", "centre"):
            column.prop(self, name)

    def begin(self, context: bpy.types.Context) -> Task:
        shot.require_object_mode(context)
        target = shot.active_shot(context)
        linked.require_changeable(target)
        shot_id, preset, replaces = target.ex4d.shot_id, self.preset, self.replaces
        current = session.get()
        link = current.require_link()
        if self.centre == "POINT" and minors.lacks(link.client.welcome, "PresetQuery.target"):
            raise AddonError(
                "The backend is too old for moves around a point of the world.", remedy=remedies.update_backend()
            )
        size = {name: getattr(target.ex4d, name) for name in ("num_frames", "width", "height")}
        query = PresetQuery(
            preset=preset,
            **size,
            intrinsics=rig.lens_of(target),
            near_depth=move.centre_depth(context, target, self.centre),
            target=move.world_point(context, target) if self.centre == "POINT" else None,
            amount=self.amount or None,
            easing=self.easing,
        )
        steps = link.ask(query)

        def deliver(context: bpy.types.Context, reply: PresetReply) -> Delivery:
            shot.require_object_mode(context)
            there = shot.still_there(shot_id)
            scene = shot.scene_of(there, context.scene)
            applied = move.apply(scene, there, move.from_source(there, reply.unpack()), replaces=replaces)
            return Delivery(f"Keyed '{preset}' on {applied.done}.")

        return current.start("Add camera move", steps, panel="Camera", shot_id=shot_id, deliver=deliver)


class EX4D_OT_add_camera_move(_KeyMove, bpy.types.Operator):
    """Key a preset move on a new camera, which becomes the shot's; the keys are ordinary ones"""

    bl_label = "Add Camera Move"


class EX4D_OT_replace_camera_move(_KeyMove, bpy.types.Operator):
    """Key a preset move in place of the one on the shot camera. A camera that you made or changed stays as it is"""

    bl_label = "Replace Move"
    replaces = True


class EX4D_OT_export_camera(QuickOperator, bpy.types.Operator):
    """Write the shot camera's move to a file for other programs"""

    bl_label = "Export Camera"
    remembers = ("layout_name",)
    panel = "Camera"
    requires = (shot.active_shot, shot.active_camera)

    layout_name: Choice("Layout", "What the file looks like", *((key, *rest[:2]) for key, rest in LAYOUTS.items()))
    filepath: File("File", "Where the move goes")
    check_existing: Flag("Check Existing", "Ask before a file is written over", default=True, options={"HIDDEN"})
    filename_ext = ".npz"

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.filepath = f"camera{LAYOUTS[self.layout_name][2]}"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: bpy.types.Context) -> str:
        target = shot.active_shot(context)
        sampled = move.sampled(context, target)
        if not self.filepath:
            raise AddonError("No file is chosen; choose where the move goes.")
        path, layout = (
            _with_ending(Path(bpy.path.abspath(self.filepath)), self.layout_name),
            LAYOUTS[self.layout_name][3],
        )
        if not LAYOUTS[self.layout_name][2]:
            path = files.free_path(path)  # a folder: Blender asks about files alone
        if layout is None:
            exporters.save(context.scene, target, sampled, path, layout=self.layout_name)
        else:
            save_camera(path, sampled, layout=layout)
        return f"{len(sampled)} cameras are written to {path}."

    def check(self, _context: bpy.types.Context) -> bool:
        """Called by the file browser when a choice changes: the name gets the layout's ending."""
        named = str(_with_ending(Path(self.filepath), self.layout_name))
        changed = bool(self.filepath) and named != self.filepath
        if changed:
            self.filepath = named
        return changed


def _with_ending(path: Path, layout_name: str) -> Path:
    """The path that a layout is written to."""
    endings = [suffix for _, _, suffix, _ in LAYOUTS.values()]
    return files.with_ending(path, LAYOUTS[layout_name][2], others=endings)


class EX4D_OT_import_camera(QuickOperator, bpy.types.Operator):
    """Key a move from a file (.npz, nerfstudio's .json, COLMAP's model, poses as text) on a new camera"""

    bl_label = "Import Camera"
    remembers = ("filepath",)
    panel = "Camera"
    requires = (shot.active_shot, shot.require_object_mode)
    bl_options = {"REGISTER", "UNDO"}

    filepath: File("File", "The move: .npz, .json, COLMAP's images.txt or images.bin, or poses as text")
    filter_glob: Text("Filter", "What the file browser shows", default="*.npz;*.json;*.txt;*.bin", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: bpy.types.Context) -> str:
        shot.require_object_mode(context)
        target = shot.active_shot(context)
        path = Path(bpy.path.abspath(self.filepath))
        size = (target.ex4d.width, target.ex4d.height)
        file = load_camera_file(path, size=size, on_note=lambda note: self.report({"WARNING"}, f"{note}."))
        loaded = file.in_world(rig.as_filmed(target))
        if len(loaded) != target.ex4d.num_frames:
            raise AddonError(
                f"{path.name} has {len(loaded)} cameras, the shot has {target.ex4d.num_frames} frames; "
                "use a move of the same length."
            )
        return f"Keyed {path.name} on {move.apply(context.scene, target, loaded).done}."
