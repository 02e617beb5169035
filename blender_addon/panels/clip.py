"""The Clip panel: the shot there is, and which clip to import next."""

import math

import bpy

from ex4d_ground.remedies import save_file

from ..jobs import engine_settings, estimators, footage, offers
from ..work import session
from ..work.operators import QuickOperator
from ..work.properties import Choice, Text
from .base import BOXED, Reason, Step, hint, paragraph, short_title, split_column, why_not
from .messages import draw_button, draw_news, draw_problem, fill_import


class EX4D_OT_use_footage(QuickOperator, bpy.types.Operator):
    """Take this footage as the clip's video"""

    bl_label = "Use Footage"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    kind: Choice("Kind", "What the footage is in this file", *footage.KINDS)
    name: Text("Name", "The strip's, clip's or image's name")
    owner: Text("Scene", "The scene that a strip is in")

    def run(self, context: bpy.types.Context) -> str:
        chosen = footage.choose(footage.Footage(self.kind, self.name, self.owner or context.scene.name))
        props = context.scene.ex4d
        props.video_path, props.num_frames = chosen.path, chosen.num_frames
        return f"'{self.name}' is the clip's video{chosen.note}."


class EX4D_MT_footage(bpy.types.Menu):
    bl_label = "Footage in This File"

    def draw(self, _context: bpy.types.Context) -> None:
        icons = {"STRIP": "SEQUENCE", "CLIP": "TRACKER", "IMAGE": "IMAGE_DATA"}
        entries = footage.everything()
        for entry in entries:
            button = self.layout.operator("ex4d.use_footage", text=entry.name, icon=icons[entry.kind])
            button.kind, button.name, button.owner = entry.kind, entry.name, entry.owner
        if not entries:
            self.layout.label(text="No strips, movie clips or image sequences", icon="INFO")


class EX4D_OT_choose_estimator(offers.Choose, bpy.types.Operator):
    """Choose this depth estimator"""

    bl_label = "Choose Estimator"
    find = staticmethod(offers.estimator)
    estimator: Text("Estimator", "Name of the backend's estimator")


class EX4D_MT_estimators(bpy.types.Menu):
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


class EX4D_PT_clip(Step, bpy.types.Panel):
    bl_label = "Clip"

    def draw(self, context: bpy.types.Context) -> None:
        layout, props = self.layout, context.scene.ex4d
        if props.shot is not None:
            _draw_shot(layout, context, props.shot)
        column = split_column(layout)
        row = column.row(align=True)
        row.prop(props, "video_path")
        row.menu("EX4D_MT_footage", text="", icon="SEQUENCE")
        row = column.row(align=True)
        row.use_property_split = False
        row.label(text="Depth:")
        row.prop(props, "depth_source", expand=True)
        if props.depth_source == "FILE":
            column.prop(props, "depth_path")
            column.prop(props, "depth_scale", text="Scale")
        else:
            _draw_estimator(layout, context)
            column = split_column(layout)
        column.prop(props, "fov_deg", text="FOV")
        column.prop(props, "num_frames")
        column.prop(props, "fill_invalid", text="Fill Invalid")
        reason = why_not(context, idle=True) or _why_no_import(props)
        text = "Import Clip" if props.shot is None else "Import Another"
        fill_import(draw_button(layout, "ex4d.import_clip", reason=reason, scale=1.3, icon="IMPORT", text=text), props)
        draw_news(layout, "Clip")


def _draw_estimator(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Which estimator, on what terms, and its settings."""
    spec = offers.estimator(context.scene.ex4d.estimator)
    if spec is None:
        return
    box = layout.box()
    box.menu("EX4D_MT_estimators", text=short_title(spec.title or spec.name), icon="MOD_OCEAN")
    warns = spec.research_only
    terms = estimators.licence_of(spec)
    paragraph(box, terms, icon="ERROR" if warns else "CHECKMARK", alert=warns, narrower=BOXED)
    if not spec.available:
        draw_problem(box, spec.missing, spec.remedy, icon="BLANK1", narrower=BOXED)
    engine_settings.draw(box, context.scene, estimators.as_engine(spec))


def _draw_shot(layout: bpy.types.UILayout, context: bpy.types.Context, target: bpy.types.Object) -> None:
    facts = target.ex4d
    box = layout.box()
    box.prop(context.scene.ex4d, "shot", text="")
    if target.name not in context.scene.objects:
        hint(box, "This shot is not in the scene any more; choose another or import a clip.")
        return
    size = f"{facts.num_frames} frames, {facts.width} x {facts.height}, {facts.fps:g} fps"
    paragraph(box, size, icon="FILE_MOVIE", narrower=BOXED)
    degrees = math.degrees(2 * math.atan(facts.width / (2 * facts.intrinsics[0])))
    words = estimators.lens_words(facts.intrinsics_source, degrees)
    paragraph(box, f"Focal length {facts.intrinsics[0]:.0f} px, {words}", icon="CAMERA_DATA", narrower=BOXED)
    if facts.depth_estimator:
        terms = facts.depth_licence or "licence unknown"
        words = f"Depth by {facts.depth_estimator}: {terms}"
        paragraph(box, words, icon="MOD_OCEAN", alert="RESEARCH" in terms, narrower=BOXED)
    transform = context.scene.view_settings.view_transform
    if transform not in ("Standard", "Raw"):
        words = f"The view transform {transform} changes the footage's colours; Standard shows them as they are."
        paragraph(box, words, icon="COLOR", narrower=BOXED)


def _why_no_import(props: bpy.types.PropertyGroup) -> Reason:
    if not bpy.data.filepath:
        return Reason("Save the .blend first: the shot's files go beside it.", save_file())
    if not props.video_path:
        return Reason("Choose a video, or a folder of PNG frames.")
    if props.depth_source == "FILE":
        return Reason(
            "" if props.depth_path else "Choose its depth: .npz, .npy, or a folder of frames; or estimate it."
        )
    spec = offers.estimator(props.estimator)
    if spec is None:
        return Reason("This backend estimates no depth; choose a depth file.")
    absent = "This estimator is not installed on the backend; choose another, or install it."
    return Reason("" if spec.available else absent)
