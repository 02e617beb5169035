"""Registering and unregistering everything, in one place and in a fixed order."""

from __future__ import annotations

import bpy

from . import (
    edit_operators,
    edit_panels,
    edit_properties,
    edit_tool_operators,
    engine_settings,
    handlers,
    live_handlers,
    operators,
    operators_camera,
    operators_panel,
    operators_shot,
    operators_takes,
    paint_operators,
    paint_panels,
    panel_coverage,
    panels,
    panels_shot,
    preferences,
    previews,
    properties,
    session,
    thickness_operators,
    thickness_overlay,
    timeline_strip,
    timer,
)


def classes() -> tuple[type, ...]:
    """Every class of the add-on, in the order they are registered in (which is the panels' order)."""
    return (
        *preferences.CLASSES,
        *properties.CLASSES,
        *edit_properties.CLASSES,
        *operators.CLASSES,
        *operators_shot.CLASSES,
        *operators_camera.CLASSES,
        *operators_takes.CLASSES,
        *operators_panel.CLASSES,
        *edit_operators.CLASSES,
        *edit_tool_operators.CLASSES,
        *paint_operators.CLASSES,
        *thickness_operators.CLASSES,
        *panels.CLASSES[:3],
        *edit_panels.CLASSES,
        *paint_panels.CLASSES,
        *panels.CLASSES[3:],
        *live_handlers.CLASSES,
        *panel_coverage.CLASSES,
        *panels_shot.CLASSES,
    )


_register_classes, _unregister_classes = bpy.utils.register_classes_factory(classes())


def register() -> None:
    """Classes first, then the pointers that use them, then what draws and listens."""
    _register_classes()
    properties.attach()
    edit_properties.attach()
    handlers.start()
    live_handlers.start()
    thickness_overlay.start()
    timeline_strip.start()


def unregister() -> None:
    """Timer and sockets first, then what draws and listens, then pointers, then classes."""
    timer.stop()
    try:
        session.end()
    finally:  # whatever happens to the connection, no class may stay behind
        timeline_strip.stop()
        thickness_overlay.stop()
        live_handlers.stop()
        handlers.stop()
        previews.clear()
        engine_settings.clear()
        edit_properties.detach()
        properties.detach()
        _unregister_classes()
