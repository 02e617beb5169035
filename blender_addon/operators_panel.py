"""Small operators that panels need: choosing a move or an engine, going to problem frames, the backend's log."""

# pyright: reportInvalidTypeForm=false

import bpy

from . import coverage, operator_base, session, shot
from .errors import AddonError


class EX4D_OT_choose_move(bpy.types.Operator):
    """Choose this move"""

    bl_idname = "ex4d.choose_move"
    bl_label = "Choose Move"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    preset: bpy.props.StringProperty()

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

    engine: bpy.props.StringProperty()

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        found = engine_spec(properties.engine)
        if found is None:
            return cls.__doc__ or ""
        return f"{found.title}. Licence: {found.licence}" if found.available else found.missing

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.ex4d.engine = self.engine
        return {"FINISHED"}


class EX4D_OT_go_to_frame(bpy.types.Operator):
    """Go to this frame"""

    bl_idname = "ex4d.go_to_frame"
    bl_label = "Go to Frame"
    bl_options = {"INTERNAL"}

    frame: bpy.props.IntProperty()

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.frame_set(self.frame)
        return {"FINISHED"}


class EX4D_OT_mark_problems(bpy.types.Operator):
    """Put a timeline marker on the worst frame of every problem; again takes them away"""

    bl_idname = "ex4d.mark_problems"
    bl_label = "Mark on Timeline"
    bl_options = {"REGISTER", "UNDO"}

    remove: bpy.props.BoolProperty(options={"SKIP_SAVE"})

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
        name = "EX-4D backend.log"
        text = bpy.data.texts.get(name) or bpy.data.texts.new(name)
        text.from_string(backend.log_path.read_text(encoding="utf-8", errors="replace"))
        self.report({"INFO"}, f"The log is the text '{name}' in the text editor.")
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
    EX4D_OT_go_to_frame,
    EX4D_OT_mark_problems,
    EX4D_OT_show_log,
    EX4D_OT_dismiss,
)


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
