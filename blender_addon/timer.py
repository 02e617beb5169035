"""The one timer: advances the session while a window is open. In background mode operators block instead."""

from __future__ import annotations

import bpy

from . import session

BUSY_S = 0.01
IDLE_S = 0.1


def tick() -> float:
    """Advance the session; called by Blender, returns when to be called again."""
    current = session.get()
    worked = current.tick()
    return BUSY_S if worked or current.tasks else IDLE_S


def start() -> None:
    """Register the timer; it survives loading another .blend."""
    if not bpy.app.background and not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=BUSY_S, persistent=True)


def stop() -> None:
    """Unregister the timer."""
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
