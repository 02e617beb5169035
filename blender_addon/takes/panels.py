"""The Takes panel: what makes the next take, and the takes there are. It shows; operators do."""

import bpy

from ex4d_ground.costs import rough_time

from ..jobs import cost_watch, engine_settings, offers
from ..panels import previews, progress
from ..panels.base import Part, Step, hint, paragraph, short_title, shown_shot
from ..panels.messages import draw_button, draw_news, draw_problem
from ..scene import keyframes, shot
from ..work import session
from ..work.languages import say
from . import listing
from .engine_presets import EX4D_PT_engine_presets


class EX4D_PT_takes(Step, bpy.types.Panel):
    bl_label = "Takes"
    bl_order = 2

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        target = shown_shot(context)
        return target is not None and (target.ex4d.camera is not None or bool(context.scene.ex4d.takes))

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        if session.get().connected:
            _draw_engines(layout, context.scene.ex4d)
        progress.draw_or(layout, context, "Takes", lambda: _draw_generate(layout, context))
        draw_news(layout, context, "Takes")


def _draw_engines(layout: bpy.types.UILayout, props: bpy.types.PropertyGroup) -> None:
    row = layout.row(align=True)
    for engine in session.get().capabilities.engines:
        button = row.row(align=True)
        button.active = engine.available
        chosen = engine.name == props.engine
        button.operator("ex4d.choose_engine", text=short_title(engine.title), depress=chosen).engine = engine.name


def _draw_generate(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The button with what it takes, and what keeps the engine from running."""
    scene, target = context.scene, context.scene.ex4d.shot
    spec = offers.engine(scene.ex4d.engine)
    cost = cost_watch.of(scene, target) if spec is not None and cost_watch.can_ask() else None
    text = say("Generate Preview") if spec is not None and spec.is_preview else say("Generate")
    if cost is not None and cost.seconds:
        text = say(f"{text} (about {rough_time(cost.seconds)})")
    column = layout.column()
    column.enabled = spec is None or spec.available
    draw_button(column, context, "ex4d.generate", scale=1.5, text=text, icon="RENDER_ANIMATION", translate=False)
    if spec is not None and not spec.available:
        draw_problem(layout, spec.missing, spec.remedy, icon="INFO")
    elif cost is not None and cost.problem:
        draw_problem(layout, cost.problem, cost.remedy, icon="ERROR", alert=True)
    elif cost is None and (refused := cost_watch.refusal()):
        paragraph(layout, refused, icon="ERROR", alert=True)


class EX4D_PT_settings(Part, bpy.types.Panel):
    bl_label = "Settings"
    bl_parent_id = "EX4D_PT_takes"
    bl_order = 0

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return offers.engine(context.scene.ex4d.engine) is not None

    def draw_header_preset(self, _context: bpy.types.Context) -> None:
        EX4D_PT_engine_presets.draw_panel_header(self.layout)

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, context.scene
        spec = offers.engine(scene.ex4d.engine)
        if spec is None:
            return
        engine_settings.draw(layout, scene, spec, which=engine_settings.FIRST)
        row = layout.row(align=True)
        row.use_property_split = True
        row.use_property_decorate = False
        row.prop(scene.ex4d, "seed")
        row.operator("ex4d.roll_seed", text="", icon_value=previews.dice())
        layout.prop(scene.ex4d, "keep_layers")
        if spec.is_preview:
            hint(layout, "No model: holes are filled from their surroundings. For looking at the move.")
        _draw_cost(layout, context)


def _draw_cost(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What the take will cost, before anything is started."""
    target = context.scene.ex4d.shot
    if not cost_watch.can_ask():
        layout.label(text=say(f"{target.ex4d.num_frames} frames"), icon="TIME", translate=False)
        return
    cost = cost_watch.of(context.scene, target)
    if cost is None:
        paragraph(layout, cost_watch.refusal() or "Reckoning what it costs...", icon="TIME")
        return
    for number, line in enumerate(cost_watch.lines(cost)):
        paragraph(layout, line, icon="BLANK1" if number else "TIME")


class EX4D_PT_advanced(Part, bpy.types.Panel):
    bl_label = "Advanced"
    bl_parent_id = "EX4D_PT_settings"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        spec = offers.engine(context.scene.ex4d.engine)
        return spec is not None and len(spec.settings) > engine_settings.MATTER

    def draw(self, context: bpy.types.Context) -> None:
        spec = offers.engine(context.scene.ex4d.engine)
        if spec is not None:
            engine_settings.draw(self.layout, context.scene, spec, which=engine_settings.REST)


class EX4D_UL_takes(bpy.types.UIList):
    def draw_item(self, context, layout, _data, item, _icon, _active, _property, index) -> None:
        icon = previews.thumbnail(listing.picture_of(item))
        row = layout.row(align=True)
        target = shown_shot(context)
        others = shot.by_id(item.shot_id) if target is not None and item.shot_id != target.ex4d.shot_id else None
        split = row.split(factor=0.6, align=True)
        split.active = others is None
        split.label(text=item.name, translate=False, **({"icon_value": icon} if icon else {"icon": "ERROR"}))
        words = f"{item.arrived}/{item.num_frames}" if item.partial else say(f"seed {item.seed}")
        words = others.name if others is not None else words  # every shot has a take_001
        split.label(text=words, translate=False)
        shown = item.plane is not None and keyframes.has(item.plane, "hide_render")  # keyed to be seen in its frames
        row.operator("ex4d.show_take", text="", icon="HIDE_OFF" if shown else "HIDE_ON", emboss=False).index = index


class EX4D_MT_take(bpy.types.Menu):
    """What else can be done with the chosen take"""

    bl_label = "Take"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("ex4d.restore_take", icon="RECOVER_LAST", text="Restore...")
        layout.operator("ex4d.another_seed", icon="FILE_REFRESH")
        layout.separator()
        layout.operator("ex4d.take_to_background", icon="CAMERA_DATA", text="To Background")
        layout.operator("ex4d.take_to_sequencer", icon="SEQUENCE", text="To Sequencer")
        layout.separator()
        layout.operator("ex4d.find_takes", icon="VIEWZOOM")
        layout.operator("ex4d.receive_takes", icon="SORT_ASC")
        layout.operator("ex4d.hide_takes", icon="HIDE_ON", text="Hide All")


class EX4D_PT_take_list(Step, bpy.types.Panel):
    """The takes, below the settings of the next one."""

    bl_label = "List"
    bl_parent_id = "EX4D_PT_takes"
    bl_options = {"HIDE_HEADER"}
    bl_order = 1

    def draw(self, context: bpy.types.Context) -> None:
        layout, props = self.layout, context.scene.ex4d
        if not props.takes:
            layout.operator("ex4d.find_takes", icon="VIEWZOOM")
            return
        row = layout.row()
        row.template_list("EX4D_UL_takes", "", props, "takes", props, "active_take", rows=1)
        side = row.column(align=True)
        side.operator("ex4d.remove_take", text="", icon="REMOVE")
        side.menu("EX4D_MT_take", text="", icon="DOWNARROW_HLT")
        if not 0 <= props.active_take < len(props.takes):
            hint(layout, "Click a take to see what can be done with it.")
            return
        _draw_take(layout, props, props.takes[props.active_take])


def _draw_take(layout: bpy.types.UILayout, props: bpy.types.PropertyGroup, take: bpy.types.PropertyGroup) -> None:
    if not listing.picture_of(take).exists():
        paragraph(layout, f"The frames are not in {take.folder} any more.", icon="ERROR", alert=True)
    elif take.partial:
        words = f"{take.arrived} of {take.num_frames} frames by {_maker(take)}; it is not whole."
        paragraph(layout, words, icon="INFO")
        if not session.get().tasks:
            layout.operator("ex4d.another_seed", text="Make It Again", icon="FILE_REFRESH").same = True
    else:
        facts = layout.row()
        facts.active = False
        facts.label(text=say(f"{_maker(take)}  {take.num_frames} frames  seen {take.coverage:.0%}"), translate=False)
        if take.stereo:
            facts.label(text="Stereo")
    if take.filled:
        hint(layout, f"Floor and walls were not known: its holes are filled as with '{take.filled.capitalize()}'.")
    if props.compare_shot:
        _draw_comparison(layout, props)
        return
    row = layout.row(align=True)
    row.menu("EX4D_MT_compare", text="Compare", icon="MOD_MIRROR")
    row.operator("ex4d.export_take", icon="EXPORT", text="Export...")


def _maker(take: bpy.types.PropertyGroup) -> str:
    return say(f"{take.engine}, no model") if take.engine == "preview" else take.engine


def _draw_comparison(layout: bpy.types.UILayout, props: bpy.types.PropertyGroup) -> None:
    box = layout.box()
    row = box.row()
    row.label(text=props.compare_left, translate=False)
    right = row.row()
    right.alignment = "RIGHT"
    right.label(text=props.compare_right, translate=False)
    box.prop(props, "wipe", slider=True)
    box.operator("ex4d.end_comparison", icon="X")
