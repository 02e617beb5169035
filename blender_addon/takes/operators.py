"""The operators on takes: show them, take up their settings, make them again, write them out."""

import json
import secrets
from pathlib import Path

import bpy

from ex4d_ground.takes import TakeInfo

from ..scene import shot
from ..work import session
from ..work.errors import AddonError
from ..work.operators import LongOperator, QuickOperator, call
from ..work.properties import Choice, Flag, Folder, Text, Whole
from ..work.tasks import Delivery, Task
from . import compare, export, listing, restoring, resume, web_page
from .properties import EX4D_PG_take

CAMERA_CHOICES = (
    ("KEEP", "Leave the Camera", "Restore the settings only"),
    ("SAME", "Onto the Shot Camera", "Replace the shot camera's keys by the take's; yours stay in an action"),
    ("NEW", "Onto a New Camera", "Add a camera with the take's keys and make it the shot camera"),
)


def _require_takes(context: bpy.types.Context) -> None:
    if not context.scene.ex4d.takes:
        raise AddonError("There is no take yet; generate one first.")


class _OnTake(QuickOperator):
    """Mixin for operators on one take of the scene's list; ``index`` -1 means the active one."""

    bl_options = {"REGISTER", "UNDO"}
    panel = "Takes"
    requires = (_require_takes,)
    index: Whole("Take", "Its place in the list; -1 is the active one", default=-1, options={"HIDDEN", "SKIP_SAVE"})

    def work(self, context: bpy.types.Context, take: EX4D_PG_take) -> str:
        """Do it, and say in a sentence what was done. Raises AddonError."""
        raise NotImplementedError

    def run(self, context: bpy.types.Context) -> str:
        return self.work(context, self.take(context))

    def take(self, context: bpy.types.Context) -> EX4D_PG_take:
        """The chosen take. Raises AddonError if there is none."""
        props = context.scene.ex4d
        index = self.index if self.index >= 0 else props.active_take
        if not 0 <= index < len(props.takes):
            raise AddonError("No take is chosen; click one in the list.")
        return props.takes[index]


class EX4D_OT_show_take(_OnTake, bpy.types.Operator):
    """Show this take on its plane before the shot camera, and hide the shot's other takes"""

    bl_label = "Show on Plane"

    def work(self, context: bpy.types.Context, take: EX4D_PG_take) -> str:
        listing.require_frames(take)
        _end_comparison(context.scene, take)
        listing.show_only(context.scene, take)
        return f"{take.name} is shown."


class EX4D_OT_hide_takes(_OnTake, bpy.types.Operator):
    """Hide the planes of all takes, to see the mesh again"""

    bl_label = "Hide Takes"

    def work(self, context: bpy.types.Context, take: EX4D_PG_take) -> str:
        _end_comparison(context.scene, take)
        listing.show_only(context.scene, take, visible=False)
        return "Takes are hidden."


class EX4D_OT_take_to_background(_OnTake, bpy.types.Operator):
    """Show this take as the background of the shot camera"""

    bl_label = "Camera Background"

    def work(self, context: bpy.types.Context, take: EX4D_PG_take) -> str:
        target = shot.still_there(take.shot_id)
        cam = shot.shot_camera(target, context.scene)
        listing.to_background(take, cam)
        return f"{take.name} is the background of '{cam.name}'."


class EX4D_OT_take_to_sequencer(_OnTake, bpy.types.Operator):
    """Add this take to the video sequencer as an image strip"""

    bl_label = "Sequencer Strip"

    def work(self, context: bpy.types.Context, take: EX4D_PG_take) -> str:
        strip = listing.to_sequencer(context.scene, take)
        target = shot.by_id(take.shot_id)
        if target is None:
            return f"{take.name} is in the sequencer, channel {strip.channel}."
        try:
            sound = listing.add_sound(context.scene, take, shot.unfilmed_clip(target).video)
        except AddonError as error:
            return f"{take.name} is in the sequencer, channel {strip.channel}; the clip's sound is left out: {error}."
        heard = "" if sound is None else f", its sound in channel {sound.channel}"
        return f"{take.name} is in the sequencer, channel {strip.channel}{heard}."


class EX4D_OT_restore_take(_OnTake, bpy.types.Operator):
    """Set engine, seed and settings to those of this take, and the camera move if wanted"""

    bl_label = "Restore Settings"

    camera: Choice(
        "Camera Move", "What becomes of the move that this take was made with", *CAMERA_CHOICES, options={"SKIP_SAVE"}
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.camera = "NEW"
        return context.window_manager.invoke_props_dialog(self, width=280)

    def draw(self, _context: bpy.types.Context) -> None:
        column = self.layout.column()
        column.label(text="The camera move of this take:")
        column.prop(self, "camera", expand=True)

    def work(self, context: bpy.types.Context, take: EX4D_PG_take) -> str:
        report, target, moved = restoring.Report(), shot.by_id(take.shot_id), ""
        try:
            info = listing.read_info(listing.folder_of(take))
        except AddonError as error:
            if self.camera != "KEEP":
                raise
            info = TakeInfo(engine=take.engine, seed=take.seed, settings=json.loads(take.settings_json))
            report.refused("its occluders and edits", error)
            target = None
        if self.camera != "KEEP":
            there = shot.still_there(take.shot_id)
            moved = restoring.camera(context, there, info, take.name, onto=self.camera)
            restoring.both_eyes(context.scene, there, info, report)
        restoring.settings(context.scene, info, report)
        if target is not None and shot_in(context.scene, target):
            # First, as its lens decides what edits are made on.
            restoring.filming_camera(context, target, info, report, name=take.name)
            restoring.mesh(target, info, report)
            restoring.surroundings(context, target, info, report)
            restoring.place(target, info, report)
        done = "".join(f"; {each}" for each in report.done)
        lost = f"; not restored: {', '.join(report.lost)}" if report.lost else ""
        return f"Engine, seed and settings{moved} are those of {take.name}{done}{lost}."


class EX4D_OT_another_seed(_OnTake, bpy.types.Operator):
    """Generate this take again with its settings and a new seed, along the move of the shot camera"""

    bl_label = "New Seed"
    bl_options = {"INTERNAL"}  # the generate operator makes the undo step

    same: Flag("Same Seed", "Take the take's own seed, to make one again that ended early")

    def work(self, context: bpy.types.Context, take: EX4D_PG_take) -> str:
        seed = take.seed if self.same else secrets.randbelow(2**31)
        context.scene.ex4d.shot = shot.still_there(take.shot_id)
        how = "EXEC_DEFAULT" if bpy.app.background else "INVOKE_DEFAULT"
        call(bpy.ops.ex4d.generate, how, engine=take.engine, seed=seed, settings=take.settings_json)
        return f"Generating {take.name} again with seed {seed}."


class EX4D_OT_compare_takes(_OnTake, bpy.types.Operator):
    """Show this take and another, or the source, in one frame with a wipe between them"""

    bl_label = "Compare"

    other: Whole("With", "The other take in the list; -1 is the source", default=-1)

    def work(self, context: bpy.types.Context, take: EX4D_PG_take) -> str:
        scene = context.scene
        listed = scene.ex4d.takes
        if not -1 <= self.other < len(listed):
            raise AddonError(f"There is no take {self.other + 1} to compare with; choose one in the list.")
        compare.start(scene, take, listed[self.other] if self.other >= 0 else None)
        return f"{scene.ex4d.compare_left} is left of the wipe, {scene.ex4d.compare_right} right of it."


class EX4D_MT_compare(bpy.types.Menu):
    bl_label = "Compare With"

    def draw(self, context: bpy.types.Context) -> None:
        props = context.scene.ex4d
        self.layout.operator("ex4d.compare_takes", text=compare.SOURCE, icon="FILE_MOVIE").other = -1
        for index, take in enumerate(props.takes):
            if index != props.active_take and take.shot_id == props.takes[props.active_take].shot_id:
                self.layout.operator("ex4d.compare_takes", text=take.name, icon="IMAGE_REFERENCE").other = index


class EX4D_OT_end_comparison(QuickOperator, bpy.types.Operator):
    """Take the wipe away and show the left take alone"""

    bl_label = "End Comparison"
    bl_options = {"REGISTER", "UNDO"}
    panel = "Takes"

    def run(self, context: bpy.types.Context) -> str:
        props = context.scene.ex4d
        left = next((t for t in props.takes if t.name == props.compare_left and t.shot_id == props.compare_shot), None)
        compare.stop(context.scene, None)
        if left is not None:
            listing.show_only(context.scene, left)
        return ""


class EX4D_OT_export_take(_OnTake, bpy.types.Operator):
    """Write this take to files: OpenEXR, PNG, ProRes, DNxHR or MP4, in the depth and colours of its plate"""

    bl_label = "Export Take"
    remembers = ("kind", "eyes", "directory")
    bl_options = {"REGISTER"}

    kind: Choice("Format", "What the files are", *export.CHOICES)
    name: Text(
        "Name",
        "How the files are called: a template with the fields shot, take, frame, engine, seed and kind in braces, "
        "numbers with a width; empty is the format's usual name. Not for a PNG sequence of 8 bits",
    )
    eyes: Choice("Eyes", "How both eyes of a stereo take are shown", *export.EYES_CHOICES)
    directory: Folder("Folder", "Where the files go")
    _asked = False
    """Whether a person is waiting: the file browser ends in ``execute``, which must not block then."""

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self._asked = True
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, context: bpy.types.Context) -> None:
        """Beside the files: what counts for the chosen format and this take."""
        column = self.layout.column()
        column.use_property_split, column.use_property_decorate = True, False
        column.prop(self, "kind")
        if self.kind in ("PNG", export.WEB):
            return
        column.prop(self, "name")
        props = context.scene.ex4d
        if 0 <= props.active_take < len(props.takes) and props.takes[props.active_take].stereo:
            column.prop(self, "eyes")

    def work(self, context: bpy.types.Context, take: EX4D_PG_take) -> str:
        folder = export.folder_of(self.directory)
        if self.kind == "PNG":
            return f"{take.name} is written to {export.copy(take, folder)}."
        if self.kind == export.WEB:
            web_page.planned(context, take, folder)
        else:
            export.planned(
                take, self.kind, self.name, folder, self.eyes
            )  # what cannot be is said before a backend is asked for
        blocks = not self._asked or bpy.app.background or context.window is None
        index = list(context.scene.ex4d.takes).index(take)
        chosen = {"index": index, "kind": self.kind, "name": self.name, "directory": self.directory, "eyes": self.eyes}
        call(bpy.ops.ex4d.write_take, "EXEC_DEFAULT" if blocks else "INVOKE_DEFAULT", **chosen)
        return ""


class EX4D_OT_write_take(LongOperator, bpy.types.Operator):
    """Have the backend make a take's export, and write its files"""

    bl_label = "Write Take"
    bl_options = {"INTERNAL"}
    panel, needs_backend = "Takes", True

    index: Whole("Take", "Its place in the list", default=0, min=0)
    kind: Text("Format", "What the files are")
    name: Text("Name", "How the files are called")
    eyes: Text("Eyes", "How both eyes of a stereo take are shown")
    directory: Folder("Folder", "Where the files go")

    def begin(self, context: bpy.types.Context) -> Task:
        current, takes = session.get(), context.scene.ex4d.takes
        if self.index >= len(takes):
            raise AddonError("No take is chosen; click one in the list.")
        if self.kind == export.WEB:
            return self._begin_page(context, takes[self.index])
        folder = export.folder_of(self.directory)
        plan = export.planned(takes[self.index], self.kind, self.name, folder, self.eyes)
        steps = export.written(current.require_link(), plan)

        def deliver(_context: bpy.types.Context, done: export.TakeExport) -> Delivery:
            more = f" and {len(done.paths) - 1} more" if len(done.paths) > 1 else ""
            notes = (done.note,) if done.note else ()
            return Delivery(f"{done.source.name} is written to {done.shown}{more}.", notes, changes_scene=False)

        return current.start("Export take", steps, panel="Takes", deliver=deliver)

    def _begin_page(self, context: bpy.types.Context, take: EX4D_PG_take) -> Task:
        current = session.get()
        plan = web_page.planned(context, take, export.folder_of(self.directory))

        def deliver(_context: bpy.types.Context, page: Path) -> Delivery:
            return Delivery(f"The page is written to {page}; open it in a browser.", plan.notes, changes_scene=False)

        steps = web_page.written(current.require_link(), plan)
        return current.start("Write web page", steps, panel="Takes", deliver=deliver)


class EX4D_OT_remove_take(_OnTake, bpy.types.Operator):
    """Take this take and its plane off the list; its files stay on disk"""

    bl_label = "Remove from List"

    def work(self, context: bpy.types.Context, take: EX4D_PG_take) -> str:
        name, folder = take.name, take.folder
        _end_comparison(context.scene, take)
        listing.remove(context.scene, take)
        return f"{name} is off the list; its files stay in {folder}."


class EX4D_OT_find_takes(QuickOperator, bpy.types.Operator):
    """List finished takes that lie in the shots' folders but are not in this file"""

    bl_label = "Find Takes"
    bl_options = {"REGISTER", "UNDO"}
    panel = "Takes"

    def run(self, context: bpy.types.Context) -> str:
        names = resume.find_unlisted(context.scene)
        self.idle = not names
        return f"Found: {', '.join(names)}." if names else "Every take on disk is listed already."


def shot_in(scene: bpy.types.Scene, target: bpy.types.Object) -> bool:
    """Whether the scene shows the shot."""
    return target.name in scene.objects


def _end_comparison(scene: bpy.types.Scene, take: EX4D_PG_take) -> None:
    if scene.ex4d.compare_shot == take.shot_id:
        compare.stop(scene, None)
