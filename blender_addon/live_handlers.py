"""Live mode's switches and how it hears of changes: Blender's handlers, the properties, the operator to resume."""

# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from typing import Any

import bpy

from . import live, overlay, preferences, timer


def _switched(self: Any, context: bpy.types.Context) -> None:
    current = live.current
    current.enabled, current.auto_coverage = bool(self.enabled), bool(self.auto_coverage)
    current.limit_ms = preferences.get(context).live_limit_ms
    _tuned(self, context)
    _resume()


def _tuned(self: Any, _context: bpy.types.Context) -> None:
    live.current.moving_scale = self.moving_size / 100
    overlay.current.opacity = self.opacity
    overlay.redraw()


def _resume() -> None:
    live.current.restart()
    timer.start()
    timer.wake()


class EX4D_PG_live(bpy.types.PropertyGroup):
    """Live mode, on the WindowManager: off whenever Blender starts."""

    enabled: bpy.props.BoolProperty(
        name="Live",
        description="Show over the camera view what the camera sees of the source, while it is being moved",
        update=_switched,
        options={"SKIP_SAVE"},
    )
    auto_coverage: bpy.props.BoolProperty(
        name="Auto Coverage",
        description="Compute the coverage of the whole move again whenever its keyframes change",
        update=_switched,
        options={"SKIP_SAVE"},
    )
    opacity: bpy.props.FloatProperty(
        name="Opacity", description="Of the picture over the camera view", subtype="FACTOR", default=0.8, min=0.0,
        max=1.0, update=_tuned,
    )  # fmt: skip
    moving_size: bpy.props.IntProperty(
        name="While Moving",
        description="Size of the picture while the camera moves; it is drawn at full size once the camera rests",
        subtype="PERCENTAGE",
        default=50,
        min=10,
        max=100,
        update=_tuned,
    )


class EX4D_OT_live_resume(bpy.types.Operator):
    """Try again to show what the camera sees while it is being moved"""

    bl_idname = "ex4d.live_resume"
    bl_label = "Resume Live"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        live.current.limit_ms = preferences.get(context).live_limit_ms
        _resume()
        return {"FINISHED"}


CLASSES = (EX4D_PG_live, EX4D_OT_live_resume)


@bpy.app.handlers.persistent
def _on_update(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    if depsgraph is not None and live.current.active and live.current.scene_changed(scene, depsgraph, new_frame=False):
        timer.wake()


@bpy.app.handlers.persistent
def _on_frame(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    if depsgraph is not None and live.current.active and live.current.scene_changed(scene, depsgraph, new_frame=True):
        timer.wake()


@bpy.app.handlers.persistent
def _on_other_data(*_: object) -> None:
    """Undo, redo or another file: whatever was known of the scene may be wrong."""
    if live.current.active:
        live.current.restart()
        timer.wake()


_HANDLERS = (
    ("depsgraph_update_post", _on_update),
    ("frame_change_post", _on_frame),
    ("undo_post", _on_other_data),
    ("redo_post", _on_other_data),
    ("load_post", _on_other_data),
)


def start() -> None:
    """Hang the switches on the WindowManager, listen and draw (after the classes are registered)."""
    bpy.types.WindowManager.ex4d_live = bpy.props.PointerProperty(type=EX4D_PG_live)
    for name, handler in _HANDLERS:
        handlers = getattr(bpy.app.handlers, name)
        if handler not in handlers:
            handlers.append(handler)
    overlay.start()


def stop() -> None:
    """Switch off, stop listening and drawing (before the classes are unregistered)."""
    live.current.stop()
    for name, handler in _HANDLERS:
        handlers = getattr(bpy.app.handlers, name)
        if handler in handlers:
            handlers.remove(handler)
    overlay.stop()
    if hasattr(bpy.types.WindowManager, "ex4d_live"):
        del bpy.types.WindowManager.ex4d_live
