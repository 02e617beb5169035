"""The panels up to the camera: backend, clip, mesh, camera. They show; operators do."""

from __future__ import annotations

import math
import os

import bpy

from . import engine_settings, estimators, files, occluders, preferences, session, shot
from .operators_panel import preset_spec
from .panel_base import BOXED, Step, hint, paragraph, short_title, why_not
from .panel_messages import draw_fix, draw_message, draw_reason, draw_tasks, fill_import


class EX4D_PT_backend(Step, bpy.types.Panel):
    bl_label = "Backend"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        current = session.get()
        if current.connected:
            _draw_connected(layout)
        elif current.link is not None and not current.tasks:
            paragraph(layout, f"{current.address} is silent; trying again.", icon="ERROR", alert=True)
            layout.operator("ex4d.disconnect", icon="UNLINKED")
        else:
            _draw_disconnected(layout, context)
        draw_tasks(layout, "Backend")
        draw_message(layout, "Backend")


def _draw_disconnected(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    prefs = preferences.get(context)
    column = layout.column()
    column.scale_y = 1.3
    if session.get().tasks:
        column.enabled = False
        column.operator("ex4d.connect", text="Connecting...", icon="LINKED")
        return
    column.operator("ex4d.connect", icon="LINKED")
    if prefs.address:
        hint(layout, f"Will connect to {prefs.address}.")
    elif prefs.auto_start:
        hint(layout, "Will start a backend on this machine. Another address: see the add-on's preferences.")
    else:
        hint(layout, "Set an address in the add-on's preferences.")


def _draw_connected(layout: bpy.types.UILayout) -> None:
    current = session.get()
    where = "on this machine" if current.backend is not None else "elsewhere"
    row = layout.row()
    row.label(text=current.address.removeprefix("tcp://"), icon="CHECKMARK")
    row.operator("ex4d.disconnect", text="", icon="UNLINKED")
    for device in current.capabilities.devices:
        memory = f", {device.memory_bytes / 2**30:.0f} GB" if device.memory_bytes else ""
        paragraph(layout, f"{device.name}{memory}: {device.worker}", icon="MEMORY")
    for engine in current.capabilities.engines:
        paragraph(layout, engine.title, icon="CHECKBOX_HLT" if engine.available else "CHECKBOX_DEHLT")
        if not engine.available:
            row = layout.row()
            row.active = False
            paragraph(row.column(), engine.missing, icon="BLANK1")
            draw_fix(layout, engine.missing)
    if current.backend is not None:
        layout.operator("ex4d.show_log", icon="TEXT")
    else:
        hint(layout, f"The backend runs {where}; disconnecting leaves its jobs running.")


class EX4D_PT_clip(Step, bpy.types.Panel):
    bl_label = "Clip"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        props = context.scene.ex4d
        target = props.shot
        if target is not None:
            _draw_shot(layout, context, target)
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
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
            column = layout.column()
            column.use_property_split = True
            column.use_property_decorate = False
        column.prop(props, "fov_deg", text="FOV")
        column.prop(props, "num_frames")
        column.prop(props, "fill_invalid", text="Fill Invalid")
        reason = why_not(context, idle=True) or _why_no_import(props)
        column = layout.column()
        column.enabled = not reason
        column.scale_y = 1.3
        button = column.operator(
            "ex4d.import_clip", icon="IMPORT", text="Import Clip" if target is None else "Import Another"
        )
        fill_import(button, props)
        if reason:
            draw_reason(layout, reason)
        draw_tasks(layout, "Clip")
        draw_message(layout, "Clip")


def _draw_estimator(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Which estimator, on what terms, and its settings."""
    props = context.scene.ex4d
    spec = estimators.chosen(props.estimator)
    if spec is None:
        return
    box = layout.box()
    box.menu("EX4D_MT_estimators", text=short_title(spec.title or spec.name), icon="MOD_OCEAN")
    paragraph(box, estimators.licence_of(spec), icon="ERROR" if spec.research_only else "CHECKMARK",
              alert=spec.research_only, narrower=BOXED)  # fmt: skip
    if not spec.available:
        paragraph(box, spec.missing, icon="BLANK1", narrower=BOXED)
        draw_fix(box, spec.missing)
    engine_settings.draw(box, context.scene, estimators.as_engine(spec))


def _draw_shot(layout: bpy.types.UILayout, context: bpy.types.Context, target: bpy.types.Object) -> None:
    facts = target.ex4d
    box = layout.box()
    box.prop(context.scene.ex4d, "shot", text="")
    if target.name not in context.scene.objects:
        hint(box, "This shot is not in the scene any more; choose another or import a clip.")
        return
    paragraph(box, f"{facts.num_frames} frames, {facts.width} x {facts.height}, {facts.fps:g} fps", icon="FILE_MOVIE",
              narrower=BOXED)  # fmt: skip
    degrees = math.degrees(2 * math.atan(facts.width / (2 * facts.intrinsics[0])))
    words = estimators.lens_words(facts.intrinsics_source, degrees)
    paragraph(box, f"Focal length {facts.intrinsics[0]:.0f} px, {words}", icon="CAMERA_DATA", narrower=BOXED)
    if facts.depth_estimator:
        terms = facts.depth_licence or "licence unknown"
        paragraph(box, f"Depth by {facts.depth_estimator}: {terms}", icon="MOD_OCEAN", alert="RESEARCH" in terms,
                  narrower=BOXED)  # fmt: skip
    if context.scene.view_settings.view_transform not in ("Standard", "Raw"):
        paragraph(
            box, f"The view transform {context.scene.view_settings.view_transform} changes the footage's colours; "
            "Standard shows them as they are.", icon="COLOR", narrower=BOXED,
        )  # fmt: skip


def _why_no_import(props: bpy.types.PropertyGroup) -> str:
    if not bpy.data.filepath:
        return "Save the .blend first: the shot's files go beside it."
    if not props.video_path:
        return "Choose a video, or a folder of PNG frames."
    if props.depth_source == "FILE":
        return "" if props.depth_path else "Choose its depth: .npz, .npy, or a folder of frames; or estimate it."
    spec = estimators.chosen(props.estimator)
    if spec is None:
        return "This backend estimates no depth; choose a depth file."
    return "" if spec.available else "This estimator is not installed on the backend; choose another, or install it."


class EX4D_PT_mesh(Step, bpy.types.Panel):
    bl_label = "Mesh"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        target = context.scene.ex4d.shot
        body = target.ex4d.mesh if target is not None else None
        if target is None or body is None:
            hint(layout, "Import a clip first." if target is None else "The shot's mesh was deleted; import it again.")
            return
        row = layout.row(align=True)
        row.prop(body, "hide_viewport", text="", icon="RESTRICT_VIEW_OFF", invert_checkbox=True)
        row.prop(body, "hide_render", text="", icon="RESTRICT_RENDER_OFF", invert_checkbox=True)
        row.label(text=f"{len(body.data.vertices):,} vertices")
        cache = shot.folder_of(target) / files.CACHE_FILE
        if not os.path.exists(cache):  # noqa: PTH110 - called on every redraw; no Path needs making
            paragraph(layout, f"The mesh cache {cache} is missing; import the clip again.", icon="ERROR", alert=True)
        column = layout.column()
        column.use_property_split = True
        column.prop(target.ex4d, "scene_scale", text="Scale")
        occluders.draw(column, target)
        column.prop(target.ex4d, "use_source_time")
        if target.ex4d.use_source_time:
            column.prop(target.ex4d, "source_time")
            hint(layout, "Keyframe the Source Frame to freeze, slow down or reverse.")


class EX4D_PT_camera(Step, bpy.types.Panel):
    bl_label = "Camera"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        props = context.scene.ex4d
        target = props.shot
        if target is None:
            hint(layout, "Import a clip first.")
            return
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(target.ex4d, "camera", text="Camera")
        reason = why_not(context, shot=True, idle=True)
        preset = preset_spec(props.preset)
        row = layout.row()
        row.enabled = session.get().connected
        row.menu("EX4D_MT_moves", text=(preset.title if preset else "") or props.preset, icon="CAMERA_STEREO")
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        if preset is not None and preset.maximum > preset.minimum:
            column.prop(props, "amount", text=f"Amount ({preset.unit})" if len(preset.unit) < 12 else "Amount")
        column.prop(props, "easing")
        column.prop(props, "centre")
        column = layout.column()
        column.enabled = not reason
        column.scale_y = 1.3
        button = column.operator("ex4d.add_camera_move", icon="KEYFRAME_HLT")
        button.preset, button.amount, button.centre = props.preset, props.amount, props.centre
        button.easing = "" if props.easing == "AUTO" else props.easing
        if reason:
            draw_reason(layout, reason)
        else:
            hint(layout, "Keys are ordinary ones: edit them, or animate any camera yourself.")
        row = layout.row(align=True)
        column = row.column(align=True)
        column.enabled = target.ex4d.camera is not None
        column.operator("ex4d.export_camera", icon="EXPORT", text="Export")
        column = row.column(align=True)
        column.enabled = context.mode == "OBJECT"
        column.operator("ex4d.import_camera", icon="IMPORT", text="Import")
        if target.ex4d.camera is None:
            hint(layout, "Export needs a shot camera: add a move, or choose one.")
        draw_tasks(layout, "Camera")
        draw_message(layout, "Camera")


CLASSES = (EX4D_PT_backend, EX4D_PT_clip, EX4D_PT_mesh, EX4D_PT_camera)
