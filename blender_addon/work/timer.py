"""The one timer: advances the session, and what listens, while a window is open. In background mode operators block."""

import time

import bpy

from . import delivery, hooks, session

BUSY_S = 0.01
IDLE_S = 0.1
SOON_S = 0.004
"""While somebody waits for an answer, such as a live picture."""
REDRAW_S = 0.1
"""Drawing the panels ten times a second shows all a person can read."""
CLOCK_S = 1.0
"""Time left is a clock: it goes on while nothing is heard of what runs."""

ticked = hooks.Hook()
"""Called with the context on every tick; a listener says whether it did something that the panels show."""

_last_redraw = 0.0
_is_awaited = False


def tick() -> float:
    """Advance the session; called by Blender, returns when to be called again."""
    global _is_awaited
    _is_awaited = False
    current = session.get()
    worked = current.tick()
    worked |= any(ticked(bpy.context))
    for task in current.tasks:
        worked |= task.arrival is not None and task.arrival.update(bpy.context)
    delivered = delivery.put_orphans()
    since = time.monotonic() - _last_redraw
    if delivered or (worked and since > REDRAW_S) or (current.tasks and since > CLOCK_S):
        redraw()
    if _is_awaited:
        return SOON_S
    return BUSY_S if worked or current.tasks else IDLE_S


def come_back_soon() -> None:
    """Have this tick followed by another at once; for listeners."""
    global _is_awaited
    _is_awaited = True


def start() -> None:
    """Register the timer; it survives loading another .blend."""
    if not bpy.app.background and not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=BUSY_S, persistent=True)


def wake() -> None:
    """Have the next tick come soon; not from within one."""
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
        bpy.app.timers.register(tick, first_interval=SOON_S, persistent=True)


def stop() -> None:
    """Unregister the timer."""
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)


def redraw() -> None:
    """Have the panels show what changed."""
    global _last_redraw
    _last_redraw = time.monotonic()
    hooks.redraw(hooks.SIDEBARS, hooks.HEADERS)
