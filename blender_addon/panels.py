"""One panel per step of the artist's way, in the 3D viewport's sidebar. They show; operators do."""

import bpy

from . import session


class _Step:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "EX-4D"


class EX4D_PT_backend(_Step, bpy.types.Panel):
    bl_label = "Backend"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        current = session.get()
        if not current.connected:
            layout.operator("ex4d.connect", icon="LINKED")
            layout.label(text="Starts a backend on this machine", icon="INFO")
            return
        layout.label(text=current.address, icon="CHECKMARK")
        for device in current.capabilities.devices:
            layout.label(text=f"{device.name}: {device.worker}")
        for engine in current.capabilities.engines:
            row = layout.row()
            row.active = engine.available
            row.label(text=engine.title if engine.available else engine.missing)
        layout.operator("ex4d.disconnect", icon="UNLINKED")


class EX4D_PT_clip(_Step, bpy.types.Panel):
    bl_label = "Clip"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        column = layout.column()
        column.enabled = session.get().connected
        column.prop(context.scene.ex4d, "video_path")
        column.prop(context.scene.ex4d, "depth_path")
        column.operator("ex4d.import_clip", icon="IMPORT")
        if not column.enabled:
            layout.label(text="Connect to a backend first", icon="INFO")
        target = context.scene.ex4d.shot
        if target is not None:
            props = target.ex4d
            layout.prop(context.scene.ex4d, "shot")
            layout.label(text=f"{props.num_frames} frames of {props.width}x{props.height}")
            layout.label(text=f"Focal length: {props.intrinsics[0]:.1f} px ({props.intrinsics_source})")


class EX4D_PT_camera(_Step, bpy.types.Panel):
    bl_label = "Camera"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        target = context.scene.ex4d.shot
        if target is None:
            layout.label(text="Import a clip first", icon="INFO")
            return
        layout.prop(target.ex4d, "camera")
        column = layout.column(align=True)
        column.enabled = session.get().connected
        for preset in session.get().capabilities.presets:
            column.operator("ex4d.add_camera_move", text=preset.name).preset = preset.name
        layout.prop(target.ex4d, "use_source_time")
        if target.ex4d.use_source_time:
            layout.prop(target.ex4d, "source_time")


class EX4D_PT_generate(_Step, bpy.types.Panel):
    bl_label = "Generate"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        current = session.get()
        props = context.scene.ex4d
        for task in current.tasks:
            layout.label(text=f"{task.title}: {task.progress.stage} {task.progress.share:.0%}", icon="TIME")
        if current.tasks:
            layout.operator("ex4d.cancel", icon="CANCEL")
        if props.shot is None or props.shot.ex4d.camera is None:
            layout.label(text="Add a camera move first", icon="INFO")
            return
        column = layout.column()
        column.enabled = current.connected and not current.tasks
        column.prop(props, "engine")
        column.prop(props, "seed")
        column.operator("ex4d.render_guides", icon="IMAGE_DATA")
        column.operator("ex4d.generate", icon="RENDER_ANIMATION")


class EX4D_PT_takes(_Step, bpy.types.Panel):
    bl_label = "Takes"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        found = context.scene.ex4d.takes
        if not found:
            layout.label(text="Takes appear here once generated", icon="INFO")
        for take in found:
            row = layout.row()
            row.label(text=f"{take.name}  {take.engine}  seed {take.seed}  {take.coverage:.0%}")
            if take.plane is not None:
                row.prop(take.plane, "hide_render", text="", emboss=False)


CLASSES = (EX4D_PT_backend, EX4D_PT_clip, EX4D_PT_camera, EX4D_PT_generate, EX4D_PT_takes)
