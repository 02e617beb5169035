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
    operators,
    operators_camera,
    operators_panel,
    operators_shot,
    operators_takes,
    panels,
    panels_shot,
    preferences,
    previews,
    properties,
    session,
    timeline_strip,
    timer,
)

_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (
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
        *panels.CLASSES[:3],
        *edit_panels.CLASSES,
        *panels.CLASSES[3:],
        *panels_shot.CLASSES,
    )
)


def register() -> None:
    """Classes first, then the pointers that use them, then what draws and listens."""
    _register_classes()
    properties.attach()
    edit_properties.attach()
    handlers.start()
    timeline_strip.start()


def unregister() -> None:
    """Timer and sockets first, then what draws and listens, then pointers, then classes."""
    timer.stop()
    try:
        session.end()
    finally:  # whatever happens to the connection, no class may stay behind
        timeline_strip.stop()
        handlers.stop()
        previews.clear()
        engine_settings.clear()
        edit_properties.detach()
        properties.detach()
        _unregister_classes()
