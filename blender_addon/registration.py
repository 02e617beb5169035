"""Registering and unregistering everything, in one place and in a fixed order."""

from __future__ import annotations

import bpy

from . import operators, panels, preferences, properties, session, timer

_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (*preferences.CLASSES, *properties.CLASSES, *operators.CLASSES, *panels.CLASSES)
)


def register() -> None:
    """Classes first, then the pointers that use them."""
    _register_classes()
    properties.attach()


def unregister() -> None:
    """Timer and sockets first, then pointers, then classes."""
    timer.stop()
    try:
        session.end()
    finally:  # whatever happens to the connection, no class may stay behind
        properties.detach()
        _unregister_classes()
