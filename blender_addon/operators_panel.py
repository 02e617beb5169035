"""Small operators that panels need: choosing a move or an engine, going to problem frames, the backend's log."""

# pyright: reportInvalidTypeForm=false

import bpy

from ex4d_protocol.messages import JobLog

from . import coverage, engine_settings, estimators, footage, operator_base, session, shot
from .errors import AddonError
from .operator_base import LongOperator
from .tasks import Delivery, Task


class EX4D_OT_choose_move(bpy.types.Operator):
    """Choose this move"""

    bl_idname = "ex4d.choose_move"
    bl_label = "Choose Move"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    preset: bpy.props.StringProperty(name="Move", description="Name of the backend's move")

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        found = preset_spec(properties.preset)
        return found.help.rstrip(".") if found is not None else cls.__doc__ or ""

    def execute(self, context: bpy.types.Context) -> set[str]:
        props = context.scene.ex4d
        props.preset = self.preset
        found = preset_spec(self.preset)
        props.amount = found.amount if found is not None else 0.0
        return {"FINISHED"}


class EX4D_MT_moves(bpy.types.Menu):
    bl_idname = "EX4D_MT_moves"
    bl_label = "Camera Moves"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        found = session.get().capabilities.presets
        for published, heading in ((False, "Moves"), (True, "As EX-4D Publishes Them")):
            layout.label(text=heading)
            for preset in found:
                if preset.published == published:
                    layout.operator("ex4d.choose_move", text=preset.title or preset.name).preset = preset.name
            if not published:
                layout.separator()


class EX4D_OT_choose_engine(bpy.types.Operator):
    """Choose this engine"""

    bl_idname = "ex4d.choose_engine"
    bl_label = "Choose Engine"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    engine: bpy.props.StringProperty(name="Engine", description="Name of the backend's engine")

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        found = engine_spec(properties.engine)
        if found is None:
            return cls.__doc__ or ""
        return f"{found.title}. Licence: {found.licence}" if found.available else found.missing

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.ex4d.engine = self.engine
        return {"FINISHED"}


class EX4D_OT_use_footage(bpy.types.Operator):
    """Take this footage as the clip's video"""

    bl_idname = "ex4d.use_footage"
    bl_label = "Use Footage"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    kind: bpy.props.EnumProperty(
        name="Kind",
        description="What the footage is in this file",
        items=(
            ("STRIP", "Strip", "A movie or image strip of the sequencer"),
            ("CLIP", "Movie Clip", "Footage of the clip editor"),
            ("IMAGE", "Image", "A movie or an image sequence"),
        ),
    )
    name: bpy.props.StringProperty(name="Name", description="The strip's, clip's or image's name")
    owner: bpy.props.StringProperty(name="Scene", description="The scene that a strip is in")

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            chosen = footage.choose(footage.Found(self.kind, self.name, self.owner or context.scene.name))
        except AddonError as error:
            return operator_base.report(self, error)
        props = context.scene.ex4d
        props.video_path, props.num_frames = chosen.path, chosen.num_frames
        self.report({"INFO"}, f"'{self.name}' is the clip's video{chosen.note}.")
        return {"FINISHED"}


class EX4D_MT_footage(bpy.types.Menu):
    bl_idname = "EX4D_MT_footage"
    bl_label = "Footage in This File"

    def draw(self, _context: bpy.types.Context) -> None:
        found = footage.found()
        icons = {"STRIP": "SEQUENCE", "CLIP": "TRACKER", "IMAGE": "IMAGE_DATA"}
        for entry in found:
            button = self.layout.operator("ex4d.use_footage", text=entry.name, icon=icons[entry.kind])
            button.kind, button.name, button.owner = entry.kind, entry.name, entry.owner
        if not found:
            self.layout.label(text="No strips, movie clips or image sequences", icon="INFO")


class EX4D_OT_choose_estimator(bpy.types.Operator):
    """Choose this depth estimator"""

    bl_idname = "ex4d.choose_estimator"
    bl_label = "Choose Estimator"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    estimator: bpy.props.StringProperty(name="Estimator", description="Name of the backend's estimator")

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        found = estimators.chosen(properties.estimator)
        if found is None:
            return cls.__doc__ or ""
        terms = f"{found.title}. Licence: {estimators.licence_of(found)}"
        return terms if found.available else f"{terms}. {found.missing}".rstrip(".")

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.ex4d.estimator = self.estimator
        return {"FINISHED"}


class EX4D_MT_estimators(bpy.types.Menu):
    bl_idname = "EX4D_MT_estimators"
    bl_label = "Depth Estimators"

    def draw(self, _context: bpy.types.Context) -> None:
        for spec in session.get().capabilities.estimators:
            row = self.layout.row()
            row.active = spec.available
            terms = estimators.RESEARCH_ONLY if spec.research_only else spec.licence
            state = "" if spec.available else ", not installed"
            icon = "ERROR" if spec.research_only else ("CHECKMARK" if spec.available else "BLANK1")
            text = f"{spec.title or spec.name}  ({terms}{state})"
            row.operator("ex4d.choose_estimator", text=text, icon=icon).estimator = spec.name


class EX4D_OT_go_to_frame(bpy.types.Operator):
    """Go to this frame"""

    bl_idname = "ex4d.go_to_frame"
    bl_label = "Go to Frame"
    bl_options = {"INTERNAL"}

    frame: bpy.props.IntProperty(name="Frame", description="Scene frame to go to")

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.frame_set(self.frame)
        return {"FINISHED"}


class EX4D_OT_mark_problems(bpy.types.Operator):
    """Put a timeline marker on the worst frame of every problem; again takes them away"""

    bl_idname = "ex4d.mark_problems"
    bl_label = "Mark on Timeline"
    bl_options = {"REGISTER", "UNDO"}

    remove: bpy.props.BoolProperty(name="Remove", description="Take our markers away instead", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        if self.remove:
            coverage.unmark(scene)
            return {"FINISHED"}
        try:
            target = shot.active_shot(context)
        except AddonError as error:
            return operator_base.report(self, error)
        found = coverage.problems(
            coverage.of(target), frame_start=target.ex4d.frame_start, minimum=scene.ex4d.min_coverage
        )
        coverage.mark(scene, found)
        self.report({"INFO"}, f"{len(found)} problem{'' if len(found) == 1 else 's'} marked on the timeline.")
        return {"FINISHED"}


class EX4D_OT_show_log(bpy.types.Operator):
    """Open the local backend's log in Blender's text editor"""

    bl_idname = "ex4d.show_log"
    bl_label = "Backend Log"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        return session.get().backend is not None

    def execute(self, _context: bpy.types.Context) -> set[str]:
        backend = session.get().backend
        if backend is None:
            return {"CANCELLED"}
        _show_text("EX-4D backend.log", backend.log_path.read_text(encoding="utf-8", errors="replace"))
        self.report({"INFO"}, "The log is the text 'EX-4D backend.log' in the text editor.")
        return {"FINISHED"}


class EX4D_OT_show_details(LongOperator, bpy.types.Operator):
    """Fetch what the failed job wrote on the backend and open it in Blender's text editor"""

    bl_idname = "ex4d.show_details"
    bl_label = "Show Details"
    bl_options = {"INTERNAL"}

    def begin(self, context: bpy.types.Context) -> Task:
        del context
        current = session.get()
        link, job_id, sentence = current.require_link(), current.message_job, current.message
        if not job_id:
            raise AddonError("No job has failed since the last message was dismissed.")
        steps = link.ask(lambda: link.client.job_log(job_id))

        def deliver(_context: bpy.types.Context, reply: JobLog) -> Delivery:
            _show_text("EX-4D job.log", f"{sentence}\n\n{reply.text}")
            return Delivery("The details are the text 'EX-4D job.log' in the text editor.")

        return current.start("Show details", steps, deliver=deliver)


class EX4D_OT_copy_command(bpy.types.Operator):
    """Copy this command to the clipboard, to be run in a terminal of the backend's machine"""

    bl_idname = "ex4d.copy_command"
    bl_label = "Copy the Command"
    bl_options = {"INTERNAL"}

    command: bpy.props.StringProperty(name="Command", description="What goes to the clipboard")

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        return f"Copy to the clipboard, to be run in a terminal of the backend's machine: {properties.command}"

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.window_manager.clipboard = self.command
        self.report({"INFO"}, f"Copied: {self.command}")
        return {"FINISHED"}


class EX4D_OT_set_engine_setting(bpy.types.Operator):
    """Change this setting of the chosen engine"""

    bl_idname = "ex4d.set_engine_setting"
    bl_label = "Change Setting"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    setting: bpy.props.StringProperty(name="Setting", description="Name of the engine's setting")
    value: bpy.props.StringProperty(name="Value", description="One of its choices")

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        chosen = {**engine_settings.values(scene, scene.ex4d.engine), self.setting: self.value}
        if engine_settings.restore(scene, scene.ex4d.engine, chosen):
            error = AddonError(f"The engine '{scene.ex4d.engine}' has no setting {self.setting} of {self.value}.")
            return operator_base.report(self, error)
        self.report({"INFO"}, f"{self.setting} is {self.value} now.")
        return {"FINISHED"}


class EX4D_OT_dismiss(bpy.types.Operator):
    """Take this message away"""

    bl_idname = "ex4d.dismiss"
    bl_label = "Dismiss"
    bl_options = {"INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        session.get().message = ""
        return {"FINISHED"}


CLASSES = (
    EX4D_OT_choose_move,
    EX4D_MT_moves,
    EX4D_OT_choose_engine,
    EX4D_OT_use_footage,
    EX4D_MT_footage,
    EX4D_OT_choose_estimator,
    EX4D_MT_estimators,
    EX4D_OT_go_to_frame,
    EX4D_OT_mark_problems,
    EX4D_OT_show_log,
    EX4D_OT_show_details,
    EX4D_OT_copy_command,
    EX4D_OT_set_engine_setting,
    EX4D_OT_dismiss,
)


def _show_text(name: str, content: str) -> None:
    """Put it into a text of that name, and into the text editor if one is open."""
    text = bpy.data.texts.get(name) or bpy.data.texts.new(name)
    text.from_string(content)
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "TEXT_EDITOR":
                area.spaces.active.text = text
                return


def complete_choice(scene: bpy.types.Scene) -> None:
    """After connecting: an amount nobody has chosen becomes the move's own, and a move that is not there, the first."""
    props, found = scene.ex4d, session.get().capabilities.presets
    if found and preset_spec(props.preset) is None:
        props.preset, props.amount = found[0].name, 0.0
    preset = preset_spec(props.preset)
    if preset is not None and props.amount == 0.0:
        props.amount = preset.amount


def preset_spec(name: str):
    """The move the backend advertises under ``name``; None if it does not."""
    return next((preset for preset in session.get().capabilities.presets if preset.name == name), None)


def engine_spec(name: str):
    """The engine the backend advertises under ``name``; None if it does not."""
    return next((engine for engine in session.get().capabilities.engines if engine.name == name), None)
