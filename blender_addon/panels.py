"""The panels up to the camera: backend, clip, mesh, camera. They show; operators do."""

from __future__ import annotations

import os

import bpy

from . import files, preferences, session, shot
from .operators_panel import preset_spec
from .panel_base import Step, hint, paragraph, why_not


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
        if current.message:
            box = layout.box()
            row = box.row()
            icon = "ERROR" if current.message_is_error else "INFO"
            paragraph(row.column(), current.message, icon=icon, alert=current.message_is_error)
            row.operator("ex4d.dismiss", text="", icon="X", emboss=False)


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
        column.prop(props, "video_path")
        column.prop(props, "depth_path")
        column.prop(props, "fov_deg", text="FOV")
        column.prop(props, "num_frames")
        column.prop(props, "depth_scale", text="Scale")
        column.prop(props, "fill_invalid", text="Fill Invalid")
        reason = why_not(context, idle=True) or _why_no_import(props)
        column = layout.column()
        column.enabled = not reason
        column.scale_y = 1.3
        button = column.operator(
            "ex4d.import_clip", icon="IMPORT", text="Import Clip" if target is None else "Import Another"
        )
        button.fov_deg, button.num_frames = props.fov_deg, props.num_frames
        button.depth_scale, button.fill_invalid = props.depth_scale, props.fill_invalid
        if reason:
            hint(layout, reason)


def _draw_shot(layout: bpy.types.UILayout, context: bpy.types.Context, target: bpy.types.Object) -> None:
    facts = target.ex4d
    box = layout.box()
    box.prop(context.scene.ex4d, "shot", text="")
    if target.name not in context.scene.objects:
        hint(box, "This shot is not in the scene any more; choose another or import a clip.")
        return
    paragraph(box, f"{facts.num_frames} frames, {facts.width} x {facts.height}, {facts.fps:g} fps", icon="FILE_MOVIE")
    paragraph(box, f"{facts.intrinsics[0]:.0f} px focal length ({facts.intrinsics_source})", icon="CAMERA_DATA")
    if context.scene.view_settings.view_transform not in ("Standard", "Raw"):
        paragraph(
            box, f"The view transform {context.scene.view_settings.view_transform} changes the footage's colours; "
            "Standard shows them as they are.", icon="COLOR",
        )  # fmt: skip


def _why_no_import(props: bpy.types.PropertyGroup) -> str:
    if not bpy.data.filepath:
        return "Save the .blend first: the shot's files go beside it."
    if not props.video_path:
        return "Choose a video, or a folder of PNG frames."
    if not props.depth_path:
        return "Choose its depth: .npz, .npy, or a folder of frames."
    return ""


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
        hint(layout, reason or "Keys are ordinary ones: edit them, or animate any camera yourself.")
        row = layout.row(align=True)
        row.operator("ex4d.export_camera", icon="EXPORT", text="Export")
        row.operator("ex4d.import_camera", icon="IMPORT", text="Import")


CLASSES = (EX4D_PT_backend, EX4D_PT_clip, EX4D_PT_mesh, EX4D_PT_camera)
