"""Registering and unregistering everything, in one place and in a fixed order."""

from contextlib import ExitStack

import bpy

from . import camera, edit, geometry, guides, jobs, live, panels, properties, scene, takes, work
from .work import hooks, session, timer

FOLDERS = (work, scene, jobs, panels, edit, camera, geometry, guides, takes, live)
"""From the ground up, which is also the order of the panels. Each folder shows its classes and its features."""


def classes() -> tuple[type, ...]:
    """Every class of the add-on, in the order they are registered in."""
    return (*(each for folder in FOLDERS for each in folder.CLASSES), *hooks.classes_of(properties))


_register_classes, _unregister_classes = bpy.utils.register_classes_factory(classes())


def register() -> None:
    """Classes first, then the pointers that use them, then what draws and listens."""
    _register_classes()
    properties.attach()
    for folder in FOLDERS:
        for feature in folder.FEATURES:
            feature.start()


def unregister() -> None:
    """Timer and sockets first, then what draws and listens, then pointers, then classes."""
    with ExitStack() as last_first:  # whatever happens to the connection, nothing else may stay behind
        last_first.callback(_unregister_classes)
        last_first.callback(properties.detach)
        for folder in FOLDERS:
            for feature in folder.FEATURES:
                last_first.callback(feature.stop)
        last_first.callback(session.end)
        last_first.callback(timer.stop)
