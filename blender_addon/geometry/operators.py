"""Export Geometry: the choices in the file browser, then the writing as a task."""

import bpy

from ..scene import shot
from ..work import session
from ..work.chosen import chosen_folder
from ..work.errors import AddonError
from ..work.languages import say
from ..work.operators import LongOperator, QuickOperator, call
from ..work.properties import Choice, Folder
from ..work.tasks import Delivery, Task
from . import export
from .plan import (
    GRIDS,
    KINDS,
    PANEL,
    GeometryPlan,
    files_words,
    fps_words,
    planned,
    require_whole,
    size_of,
    with_cameras,
)


def _require_whole(context: bpy.types.Context) -> None:
    require_whole(shot.active_shot(context))


class _Geometry:
    """Mixin: what both operators are asked."""

    panel = PANEL
    requires = (shot.active_shot, shot.require_object_mode, _require_whole)

    kind: Choice("Format", "What the files are", *KINDS)
    grid: Choice("Mesh", "How many of the mesh's vertices are written", *GRIDS)
    directory: Folder("Folder", "Where the folder with the files goes")

    def planned(self, context: bpy.types.Context) -> GeometryPlan:
        """What was asked for, checked. Raises AddonError."""
        if not self.directory:
            raise AddonError("No folder is chosen; choose where the geometry goes.")
        folder = chosen_folder(self.directory)
        return planned(context, shot.active_shot(context), self.kind, self.grid, folder)


class EX4D_OT_export_geometry(_Geometry, QuickOperator, bpy.types.Operator):
    """Write the mesh of every frame with its edits, both cameras and the clip's pictures for other programs"""

    bl_label = "Export Geometry"
    remembers = ("kind", "grid", "directory")
    bl_options = {"REGISTER"}
    _asked = False
    """Whether a person is waiting: the file browser ends in ``execute``, which must not block then."""

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self._asked = True
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, context: bpy.types.Context) -> None:
        """Beside the files: the choices, and how large it will be."""
        column, render = self.layout.column(), context.scene.render
        column.prop(self, "kind")
        column.prop(self, "grid")
        for line in size_words(shot.active_shot(context), self.grid, render.fps / render.fps_base):
            column.label(text=say(line), translate=False)

    def run(self, context: bpy.types.Context) -> str:
        self.planned(context)  # what cannot be is said before anything begins
        blocks = not self._asked or bpy.app.background or context.window is None
        chosen = {"kind": self.kind, "grid": self.grid, "directory": self.directory}
        call(bpy.ops.ex4d.write_geometry, "EXEC_DEFAULT" if blocks else "INVOKE_DEFAULT", **chosen)
        return ""


def size_words(target: bpy.types.Object, grid: str, fps: float) -> tuple[str, ...]:
    """What an export comes to, in lines."""
    vertices, size = size_of(target, grid)
    return (
        f"{target.ex4d.num_frames} frames, {fps_words(fps)} fps",
        f"{vertices} vertices",
        f"About {files_words(size)} on disk",
    )


class EX4D_OT_write_geometry(_Geometry, LongOperator, bpy.types.Operator):
    """Write the shot's geometry; a second Blender without a window does it, so that this one stays free"""

    bl_label = "Write Geometry"
    bl_options = {"INTERNAL"}

    def begin(self, context: bpy.types.Context) -> Task:
        plan = with_cameras(context, shot.active_shot(context), self.planned(context))

        def deliver(_context: bpy.types.Context, done: GeometryPlan) -> Delivery:
            return Delivery(
                f"The geometry is written to {done.target}; open it at {fps_words(done.fps)} frames a second.",
                done.notes,
                changes_scene=False,
            )

        return session.get().start(
            "Export geometry", export.written(plan), panel=PANEL, shot_id=plan.shot_id, deliver=deliver
        )
