"""The Clip panel: what to begin with, then the shot there is."""

import math
import os

import bpy

from ex4d_ground.remedies import Remedy

from ..jobs import engine_settings, estimators, footage, offers
from ..scene import colours, in_the_way, materials, rig, shot
from ..scene.clip import FILMING_LENS
from ..work import connecting, session
from ..work.hooks import Hook
from ..work.languages import say
from ..work.operators import QuickOperator
from ..work.properties import Choice, Text
from . import progress, status
from .base import BOXED, OfShot, Part, Step, hint, paragraph, short_title, shown_shot, split_column
from .messages import draw_button, draw_news, draw_problem, fill_import

below_shot = Hook()
"""Called with layout and context below the facts of a shot: for what is still to be asked of it."""


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
            icon = "ERROR" if spec.research_only else ("CHECKMARK" if spec.available else "BLANK1")
            text = say(estimators.entry_words(spec))
            row.operator("ex4d.choose_estimator", text=text, icon=icon, translate=False).estimator = spec.name


class EX4D_PT_clip(Step, bpy.types.Panel):
    bl_label = "Clip"
    bl_order = 0

    def draw_header_preset(self, _context: bpy.types.Context) -> None:
        status.draw_header(self.layout)

    def draw(self, context: bpy.types.Context) -> None:
        layout, target = self.layout, context.scene.ex4d.shot
        if target is None:
            progress.draw_or(layout, context, "Clip", lambda: _draw_beginning(layout, context))
        else:
            _draw_shot(layout, context, target)
            below_shot(layout, context)
            progress.draw_or(layout, context, "Clip", lambda: None)
        draw_news(layout, context, "Clip")


def _draw_beginning(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Nothing is there yet, or chosen: what to begin with."""
    if any(thing.ex4d.is_shot for thing in context.scene.objects):
        split_column(layout).prop(context.scene.ex4d, "shot")
    column = layout.column()
    column.scale_y = 1.5
    column.operator("ex4d.open_video", icon="FILE_MOVIE")
    layout.operator("ex4d.try_example", icon="PLAY")
    if (hindrance := connecting.hindrance(context)) is not None:
        draw_problem(layout, str(hindrance), hindrance.remedy, icon="ERROR")
        return
    row = layout.row()
    row.active, row.alignment = False, "CENTER"
    row.label(text="or drop a video here")


def _draw_shot(layout: bpy.types.UILayout, context: bpy.types.Context, target: bpy.types.Object) -> None:
    facts = target.ex4d
    row = layout.row(align=True)
    row.prop(context.scene.ex4d, "shot", text="", icon="FILE_MOVIE")
    row.operator("ex4d.open_video", text="", icon="FILE_FOLDER")
    if shown_shot(context) is None:
        hint(layout, "This shot is not in the scene any more; choose another or import a clip.")
        return
    row = layout.row()
    row.active = False
    size = f"{facts.num_frames} frames  {facts.width} x {facts.height}  {facts.fps:g} fps"
    row.label(text=say(size), translate=False)
    if facts.mesh is None:
        paragraph(layout, "The shot's mesh was deleted; import it again.", icon="ERROR", alert=True)
        return
    cache = shot.cache_of(target)
    if not facts.arriving and not os.path.exists(cache):  # noqa: PTH110 - called on every redraw; no Path needs making
        paragraph(layout, f"The mesh cache {cache} is missing; import the clip again.", icon="ERROR", alert=True)
    if lost := materials.lost_movie(facts.mesh):
        words = f"The footage is played from {lost}, which is not there any more; put the video back there."
        paragraph(layout, words, icon="ERROR", alert=True)
    if not in_the_way.is_shown(context.scene, target):
        layout.operator("ex4d.show_shot", icon="HIDE_OFF")


class EX4D_PT_files(Part, bpy.types.Panel):
    bl_label = "From Files"
    bl_parent_id = "EX4D_PT_clip"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return super().poll(context) and context.scene.ex4d.shot is None

    def draw(self, context: bpy.types.Context) -> None:
        layout, props = self.layout, context.scene.ex4d
        column = split_column(layout)
        row = column.row(align=True)
        row.prop(props, "video_path")
        row.menu("EX4D_MT_footage", text="", icon="SEQUENCE")
        column.row().prop(props, "depth_source", text="Depth", expand=True)
        if props.depth_source == "FILE":
            column.prop(props, "depth_path", text="File")
            column.prop(props, "depth_scale", text="Scale")
            column.prop(props, "depth_channel", text="Channel")
        else:
            _draw_estimator(layout, context)
            column = split_column(layout)
        column.prop(props, "field_of_view", text="FOV")
        column.prop(props, "num_frames")
        column.prop(props, "grid_side")
        column.prop(props, "fill_invalid", text="Fill Invalid")
        column.prop(props, "colour_name", text="Colours")
        if props.colour_name:
            column.prop(props, "ocio_path", text="Config")
        column.prop(props, "fields")
        lacking, remedy = _lacking(props)
        column = layout.column()
        column.enabled = not lacking
        fill_import(draw_button(column, context, "ex4d.import_clip", icon="IMPORT"), props)
        if lacking:
            draw_problem(layout, lacking, remedy, icon="INFO")


def _lacking(props: bpy.types.PropertyGroup) -> tuple[str, Remedy | None]:
    """What is to be chosen before the clip can be imported, as the next step; "" if nothing."""
    if not props.video_path:
        return "Choose a video, or a folder of PNG frames.", None
    if props.depth_source == "FILE":
        return "" if props.depth_path else "Choose its depth: .npz, .npy, or a folder of frames; or estimate it.", None
    if not session.get().connected:  # what it has is known once it is there, and importing brings it
        return "", None
    spec = offers.estimator(props.estimator)
    if spec is None:
        return "This backend estimates no depth; choose a depth file.", None
    absent = "This estimator is not installed on the backend; choose another, or install it."
    return "" if spec.available else absent, None


def _draw_estimator(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Which estimator, on what terms, and its settings."""
    spec = offers.estimator(context.scene.ex4d.estimator)
    if spec is None:
        return
    box = layout.box()
    box.menu("EX4D_MT_estimators", text=short_title(spec.title or spec.name), icon="MOD_OCEAN")
    settings = engine_settings.values(context.scene, estimators.key(spec.name))
    warns = spec.restricts(settings)
    terms = estimators.licence_of(spec, settings)
    paragraph(box, terms, icon="ERROR" if warns else "CHECKMARK", alert=warns, narrower=BOXED)
    if not spec.available:
        draw_problem(box, spec.missing, spec.remedy, icon="BLANK1", narrower=BOXED)
    engine_settings.draw(box, context.scene, estimators.as_engine(spec))


class EX4D_PT_lens(Part, OfShot, bpy.types.Panel):
    bl_label = "Lens and Scale"
    bl_parent_id = "EX4D_PT_clip"

    def draw(self, context: bpy.types.Context) -> None:
        layout, target = self.layout, context.scene.ex4d.shot
        facts = target.ex4d
        focal = rig.lens_of(target)[0]
        degrees = math.degrees(2 * math.atan(facts.width / (2 * focal)))
        words = estimators.lens_words(FILMING_LENS if facts.lens_cache else facts.intrinsics_source, degrees)
        paragraph(layout, f"Focal length {focal:.0f} px, {words}", icon="CAMERA_DATA")
        if facts.depth_estimator:
            terms = facts.depth_licence or "licence unknown"
            warns = estimators.RESEARCH_ONLY in terms
            words = f"Depth by {facts.depth_estimator}: {terms}"
            paragraph(layout, words, icon="ERROR" if warns else "MOD_OCEAN", alert=warns)
        if not colours.is_exact(context.scene):
            transform = context.scene.view_settings.view_transform
            words = f"The view transform {transform} changes the footage's colours; Standard shows them as they are."
            paragraph(layout, words, icon="COLOR")
            layout.operator("ex4d.standard_view")
        column = split_column(layout)
        column.prop(facts, "scene_scale", text="Scale")
        split = layout.split(factor=0.4)
        name = split.row()
        name.alignment = "RIGHT"
        name.label(text="Mesh")
        row = split.row(align=True)
        row.prop(facts.mesh, "hide_viewport", text="", icon="RESTRICT_VIEW_OFF", invert_checkbox=True)
        row.prop(facts.mesh, "hide_render", text="", icon="RESTRICT_RENDER_OFF", invert_checkbox=True)


class EX4D_PT_retime(Part, OfShot, bpy.types.Panel):
    bl_label = "Retime"
    bl_parent_id = "EX4D_PT_clip"

    def draw_header(self, context: bpy.types.Context) -> None:
        self.layout.prop(context.scene.ex4d.shot.ex4d, "use_source_time", text="")

    def draw(self, context: bpy.types.Context) -> None:
        layout, facts = self.layout, context.scene.ex4d.shot.ex4d
        if not facts.use_source_time:
            hint(layout, "Tick the box to freeze, slow down or reverse the source.")
            return
        column = layout.column()
        column.use_property_split = True
        column.prop(facts, "source_time")
        hint(layout, "Keyframe the Source Frame to freeze, slow down or reverse.")
