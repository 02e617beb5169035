"""Short ways to the states of a scene, without clicks; for scripts that begin there. Runs inside Blender."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import bpy
import window as ui

CLIP, DEPTH = os.environ["EX4D_UI_CLIP"], os.environ["EX4D_UI_DEPTH"]


def empty() -> ui.Steps:
    """An empty scene with the sidebar's tab open."""
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    yield from first()


def first() -> ui.Steps:
    """Blender's own first scene, with the sidebar's tab open."""
    bpy.ops.preferences.addon_enable(module="blender_addon")
    yield from ui.open_sidebar()


def connect() -> ui.Steps:
    """A saved file, and a backend."""
    from blender_addon.work import session

    for source in (CLIP, DEPTH):
        shutil.copy2(source, ui.OUT / "scene")
    bpy.ops.wm.save_as_mainfile(filepath=str(ui.OUT / "scene" / "shot.blend"))
    yield from ui.call("ex4d.connect")
    yield from ui.wait(lambda: session.get().connected and not session.get().tasks, "the backend")


def bring_clip(**settings: Any) -> ui.Steps:
    """Import the example clip from its video and depth, with these settings of the operator."""
    from blender_addon.work import session

    props = bpy.context.scene.ex4d
    before = props.shot
    files = {"video_path": f"//{Path(CLIP).name}", "depth_path": f"//{Path(DEPTH).name}"}
    yield from ui.call("ex4d.import_clip", depth_source="FILE", **files, **settings)
    yield from ui.wait(lambda: props.shot not in (None, before) and not session.get().tasks, "the shot")


def ready() -> ui.Steps:
    """The example clip imported, and the view at rest."""
    yield from connect()
    yield from bring_clip()
    from blender_addon.scene import orbit

    yield from ui.wait(lambda: not orbit.under_way(), "the end of the turn")


def camera() -> ui.Steps:
    """A camera move of the panel's settings."""
    from blender_addon.work import session

    props = bpy.context.scene.ex4d
    yield from ui.call("ex4d.add_camera_move", preset=props.preset, amount=props.amount)
    yield from ui.wait(lambda: props.shot.ex4d.camera is not None and not session.get().tasks, "the camera")
    yield 0.5


def take() -> ui.Steps:
    """A take of the preview engine."""
    from blender_addon.work import session

    props = bpy.context.scene.ex4d
    yield from ui.call("ex4d.generate")
    yield from ui.wait(lambda: len(props.takes) > 0 and not session.get().tasks, "the take")
    yield 0.5


def open_panels(*names: str) -> None:
    """Have panels that are closed at first open, which a person's click on their headings does; before they are drawn.

    What hangs below one is registered again with it, since it would be loose.
    """
    kinds = [getattr(bpy.types, name) for name in dir(bpy.types) if name.startswith("EX4D_PT_")]

    def with_those_below(kind: Any) -> list[Any]:
        below = [each for each in kinds if getattr(each, "bl_parent_id", "") == kind.__name__]
        return [kind, *(every for each in below for every in with_those_below(each))]

    for name in names:
        family = with_those_below(getattr(bpy.types, name))
        for kind in reversed(family):
            bpy.utils.unregister_class(kind)
        family[0].bl_options = set()
        for kind in family:
            bpy.utils.register_class(kind)


def settle() -> ui.Steps:
    """Panels that grow slide to their places, but only while something is redrawn."""
    for step in range(10):
        _, area, sidebar = ui.view()
        ui.mouse(area.x + 300 + step, area.y + 60)
        for region in (sidebar, *area.regions):
            region.tag_redraw()
        yield 0.2
