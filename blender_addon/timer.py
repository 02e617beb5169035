"""The one timer: advances the session while a window is open. In background mode operators block instead."""

from __future__ import annotations

import time

import bpy

from . import cost_watch, delivery, live, session, visible

BUSY_S = 0.01
IDLE_S = 0.1
LIVE_S = 0.004
"""While a live picture is under way."""
REDRAW_S = 0.1
"""Drawing the panels ten times a second shows all a person can read."""

_last_redraw = 0.0


def tick() -> float:
    """Advance the session; called by Blender, returns when to be called again."""
    current = session.get()
    visible.follow()
    worked = current.tick()
    worked |= cost_watch.tick()
    for task in current.tasks:
        worked |= task.arrival is not None and task.arrival.update(bpy.context)
    worked |= live.current.tick(bpy.context)
    delivered = delivery.put_orphans()
    if delivered or (worked and time.monotonic() - _last_redraw > REDRAW_S):
        redraw()
    if live.current.waiting:
        return LIVE_S
    return BUSY_S if worked or current.tasks else IDLE_S


def start() -> None:
    """Register the timer; it survives loading another .blend."""
    if not bpy.app.background and not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=BUSY_S, persistent=True)


def wake() -> None:
    """Have the next tick come soon; not from within one."""
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
        bpy.app.timers.register(tick, first_interval=LIVE_S, persistent=True)


def stop() -> None:
    """Unregister the timer."""
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)


def redraw() -> None:
    """Have the panels show what changed."""
    global _last_redraw
    _last_redraw = time.monotonic()
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()
