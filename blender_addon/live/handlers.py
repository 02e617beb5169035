"""Live mode's switches and how it hears of changes: Blender's handlers, the properties, the operator to resume."""

from collections.abc import Callable
from typing import Any

import bpy

from ..guides.panels import above_guides, above_seen
from ..panels.base import hint, paragraph, split_column
from ..scene.properties import options_changed
from ..work import hooks, preferences, timer
from ..work.hooks import Listeners
from ..work.languages import say
from ..work.operators import QuickOperator
from ..work.properties import Flag, Share, Whole
from . import overlay, views
from .filling import PREVIEW, STRIPED, Holes


def _switched(self: Any, context: bpy.types.Context) -> None:
    current = views.current
    _follow(self)
    current.limit_ms = preferences.get(context).live_limit_ms
    _tuned(self, context)
    _resume()


def _follow(switches: Any) -> None:
    """Do what the panel says."""
    current = views.current
    current.enabled, current.auto_coverage = bool(switches.enabled), bool(switches.auto_coverage)
    current.show_preview(switches.holes == PREVIEW)


def _tuned(self: Any, _context: bpy.types.Context) -> None:
    views.current.moving_scale = self.moving_size / 100
    overlay.current.opacity = self.opacity
    hooks.redraw(hooks.VIEWS)


def _chosen(self: Any, _context: bpy.types.Context) -> None:
    views.current.show_preview(self.holes == PREVIEW)
    timer.wake()


def _resume() -> None:
    views.current.restart()
    timer.start()
    timer.wake()


class EX4D_PG_live(bpy.types.PropertyGroup):
    """Live mode, on the WindowManager: off whenever Blender starts."""

    enabled: Flag(
        "Live",
        "Show over the camera view what the camera sees of the source, while it is being moved",
        update=_switched,
        options={"SKIP_SAVE"},
    )
    holes: Holes(default=STRIPED, update=_chosen, options={"SKIP_SAVE"})
    auto_coverage: Flag(
        "Auto Coverage",
        "Compute the coverage of the whole move again whenever its keyframes change, also while no holes are shown",
        update=_switched,
        options={"SKIP_SAVE"},
    )
    opacity: Share("Opacity", "Of the picture over the camera view", default=0.8, update=_tuned)
    moving_size: Whole(
        "While Moving",
        "Size of the picture while the camera moves; it is drawn at full size once the camera rests",
        subtype="PERCENTAGE",
        default=50,
        min=10,
        max=100,
        update=_tuned,
    )


class EX4D_OT_live_resume(QuickOperator, bpy.types.Operator):
    """Try again to show what the camera sees while it is being moved"""

    bl_label = "Resume Live"
    bl_options = {"INTERNAL"}

    def run(self, context: bpy.types.Context) -> str:
        views.current.limit_ms = preferences.get(context).live_limit_ms
        _resume()
        return ""


def _noticing(*, new_frame: bool) -> Callable[..., None]:
    @bpy.app.handlers.persistent
    def notice(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
        if depsgraph is not None and views.current.scene_changed(scene, depsgraph, new_frame=new_frame):
            timer.wake()

    return notice


@bpy.app.handlers.persistent
def _on_load(*_: object) -> None:
    """Another file, whose window manager may have switches of its own."""
    was_on = views.current.enabled or views.current.auto_coverage
    _follow(bpy.context.window_manager.ex4d_live)
    if was_on or views.current.active:
        _resume()


@bpy.app.handlers.persistent
def _on_other_data(*_: object) -> None:
    """Undo or redo: whatever was known of the scene may be wrong."""
    if views.current.active:
        views.current.restart()
        timer.wake()


def _tick(context: bpy.types.Context) -> bool:
    worked = views.current.tick(context)
    if views.current.waiting:
        timer.come_back_soon()
    return worked


def draw_switch(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The switch, and why the picture is held back, in the Camera panel."""
    row = layout.row()
    row.use_property_split = True
    row.use_property_decorate = False
    switches = context.window_manager.ex4d_live
    row.prop(switches, "enabled", text="Show Holes")
    if switches.enabled:
        split_column(layout).row().prop(switches, "holes", expand=True)
        if lack := views.current.place.lack():
            hint(layout, lack)
    if views.current.paused:
        paragraph(layout, views.current.paused, icon="PAUSE", alert=True)
        layout.operator("ex4d.live_resume", icon="PLAY")


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """How the live picture is drawn and what comes of it, first in the Coverage panel."""
    switches, state = context.window_manager.ex4d_live, views.current
    column = split_column(layout)
    column.prop(switches, "auto_coverage")
    if state.paused or not (switches.enabled or switches.auto_coverage):
        return
    if switches.enabled:
        column.prop(switches, "opacity", slider=True)
        column.prop(switches, "moving_size", slider=True)
    if state.note:
        paragraph(layout, state.note, icon="ERROR" if state.note_is_error else "INFO", alert=state.note_is_error)
    elif switches.enabled and state.meter.last_ms is not None:
        layout.label(text=say(f"Picture in {state.meter.last_ms:.0f} ms"), icon="CHECKMARK", translate=False)
        if legend := state.place.words():
            hint(layout, legend)


listeners = Listeners(
    ("depsgraph_update_post", _noticing(new_frame=False)),
    ("frame_change_post", _noticing(new_frame=True)),
    ("undo_post", _on_other_data),
    ("redo_post", _on_other_data),
    ("load_post", _on_load),
    (timer.ticked, _tick),
    (options_changed, views.current.options_changed),
    (above_seen, draw_switch),
    (above_guides, draw),
)
