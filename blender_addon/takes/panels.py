"""The panels after coverage: generate, takes. They show; operators do."""

import bpy

from ex4d_ground.errors import in_words

from ..jobs import cost_watch, engine_settings, offers
from ..panels import previews
from ..panels.base import Reason, Step, hint, paragraph, short_title, why_not
from ..panels.messages import draw_button, draw_news, draw_problem
from ..scene import keyframes
from ..work import session
from . import listing


class EX4D_PT_generate(Step, bpy.types.Panel):
    bl_label = "Generate"

    def draw(self, context: bpy.types.Context) -> None:
        layout, props, current = self.layout, context.scene.ex4d, session.get()
        draw_news(layout, "Generate")
        for engine in current.capabilities.engines:
            row = layout.row()
            row.active = engine.available
            chosen = engine.name == props.engine
            icon = "RADIOBUT_ON" if chosen else "RADIOBUT_OFF"
            row.operator(
                "ex4d.choose_engine", text=short_title(engine.title), depress=chosen, icon=icon
            ).engine = engine.name
        spec = offers.engine(props.engine)
        if spec is not None:
            if spec.is_preview:
                hint(layout, "No model: holes are filled from their surroundings. For looking at the move.")
            engine_settings.draw(layout.box(), context.scene, spec)
        layout.prop(props, "seed")
        reason = why_not(context, shot=True, camera=True, idle=True)
        if not reason and spec is not None and not spec.available:
            reason = Reason(in_words(spec.missing, spec.remedy, "panel"), spec.remedy)
        if props.shot is not None and spec is not None and current.connected:
            _draw_cost(layout, context, props.shot)
        text = "Generate Preview" if spec is not None and spec.is_preview else "Generate"
        draw_button(layout, "ex4d.generate", reason=reason, scale=1.5, text=text, icon="RENDER_ANIMATION")


def _draw_cost(layout: bpy.types.UILayout, context: bpy.types.Context, target: bpy.types.Object) -> None:
    """What the take will cost, before anything is started."""
    if not cost_watch.can_ask():
        layout.label(text=f"{target.ex4d.num_frames} frames", icon="TIME")
        return
    cost = cost_watch.of(context.scene, target)
    if cost is None:
        paragraph(layout, cost_watch.refusal() or "Reckoning what it costs...", icon="TIME")
        return
    for number, line in enumerate(cost_watch.lines(cost)):
        paragraph(layout, line, icon="BLANK1" if number else "TIME")
    if cost.problem:
        draw_problem(layout, cost.problem, cost.remedy, icon="ERROR", alert=True)


class EX4D_UL_takes(bpy.types.UIList):
    def draw_item(self, _context, layout, _data, item, _icon, _active, _property, index) -> None:
        icon = previews.thumbnail(listing.picture_of(item))
        row = layout.row(align=True)
        split = row.split(factor=0.64, align=True)
        split.label(text=item.name, **({"icon_value": icon} if icon else {"icon": "ERROR"}))
        split.label(text=f"{item.arrived}/{item.num_frames}" if item.partial else f"seed {item.seed}")
        shown = item.plane is not None and keyframes.has(item.plane, "hide_render")  # keyed to be seen in its frames
        row.operator("ex4d.show_take", text="", icon="HIDE_OFF" if shown else "HIDE_ON", emboss=False).index = index


class EX4D_PT_takes(Step, bpy.types.Panel):
    bl_label = "Takes"

    def draw(self, context: bpy.types.Context) -> None:
        layout, props = self.layout, context.scene.ex4d
        if not props.takes:
            hint(layout, "Takes appear here once they are generated.")
            if props.shot is not None:
                layout.operator("ex4d.find_takes", icon="FILE_REFRESH")
            return
        layout.template_list("EX4D_UL_takes", "", props, "takes", props, "active_take", rows=3)
        if not 0 <= props.active_take < len(props.takes):
            hint(layout, "Click a take to see what can be done with it.")
            return
        _draw_take(layout, context, props.takes[props.active_take])
        layout.operator("ex4d.find_takes", icon="FILE_REFRESH")


def _draw_comparison(layout: bpy.types.UILayout, props: bpy.types.PropertyGroup) -> None:
    box = layout.box()
    row = box.row()
    row.label(text=props.compare_left)
    right = row.row()
    right.alignment = "RIGHT"
    right.label(text=props.compare_right)
    box.prop(props, "wipe", slider=True)
    box.operator("ex4d.end_comparison", icon="X")


def _draw_take(layout: bpy.types.UILayout, context: bpy.types.Context, take: bpy.types.PropertyGroup) -> None:
    icon = previews.thumbnail(listing.picture_of(take))
    if icon:
        layout.template_icon(icon, scale=6)
    else:
        paragraph(layout, f"The frames are not in {take.folder} any more.", icon="ERROR", alert=True)
    label = ", no model" if take.engine == "preview" else ""
    if take.partial:
        words = f"{take.arrived} of {take.num_frames} frames by {take.engine}{label}; it is not whole."
        paragraph(layout, words, icon="INFO")
        if not session.get().tasks:
            layout.operator("ex4d.another_seed", text="Make It Again", icon="FILE_REFRESH").same = True
    else:
        paragraph(layout, f"{take.num_frames} frames by {take.engine}{label}; source shows {take.coverage:.0%}")
    column = layout.column(align=True)
    column.operator("ex4d.show_take", icon="MESH_PLANE")
    row = column.row(align=True)
    row.operator("ex4d.take_to_background", icon="CAMERA_DATA", text="Behind")
    row.operator("ex4d.take_to_sequencer", icon="SEQUENCE", text="Strip")
    column.operator("ex4d.hide_takes", icon="HIDE_ON")
    column.menu("EX4D_MT_compare", icon="MOD_MIRROR")
    if context.scene.ex4d.compare_shot:
        _draw_comparison(layout, context.scene.ex4d)
    column = layout.column(align=True)
    row = column.row(align=True)
    row.operator("ex4d.restore_take", icon="RECOVER_LAST", text="Restore")
    row.operator("ex4d.another_seed", icon="FILE_REFRESH")
    row = column.row(align=True)
    row.operator("ex4d.export_take", icon="EXPORT", text="Export")
    row.operator("ex4d.remove_take", icon="X", text="Remove")
