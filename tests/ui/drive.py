"""What is drawn over the view: the live picture, and two pictures in one frame. Run by Blender; see ``test_panels``."""

from __future__ import annotations

import os
import sys

sys.path[:0] = os.environ["EX4D_UI_PATH"].split(os.pathsep)

import bpy  # noqa: E402
import numpy as np  # noqa: E402
import ways  # noqa: E402
import window as ui  # noqa: E402


def script() -> ui.Steps:
    yield from ways.empty()
    _, area, _ = ui.view()
    area.spaces.active.overlay.show_overlays = True
    yield from ways.ready()
    yield from ways.camera()
    bpy.context.scene.frame_set(40)
    yield 1.0
    ui.screenshot("camera")
    yield from guides()
    yield from show_live()
    yield from ways.take()
    with ui.override():
        bpy.ops.ex4d.compare_takes(index=0, other=-1)
    yield 1.5
    yield from drag_wipe()
    yield 1.0
    ui.screenshot("compare")
    yield from ui.press("bpy.ops.ex4d.end_comparison")
    ui.measured["compared"] = bpy.context.scene.ex4d.compare_shot
    with ui.override():
        bpy.ops.ex4d.disconnect()


def guides() -> ui.Steps:
    """The move's coverage, and with it the floor and walls that blue stripes stand for."""
    from blender_addon.work import session

    yield from ui.call("ex4d.render_guides")
    yield from ui.wait(lambda: not session.get().tasks, "the guides")


def show_live() -> ui.Steps:
    """The live picture as it was sent, and the window that shows it and nothing else in its place."""
    from blender_addon.live import overlay
    from blender_addon.live import views as live

    switches = bpy.context.window_manager.ex4d_live
    overlays = ui.view()[1].spaces.active.overlay
    overlays.show_overlays = False  # Blender's own lines and words lie over the picture
    switches.opacity, switches.enabled = 1.0, True
    yield from ui.wait(lambda: live.current.is_sharp, "the live picture")
    yield 1.0
    np.save(ui.OUT / "live.npy", overlay.current.picture)
    ui.measured["live"] = ui.camera_frame()
    ui.screenshot("live")
    switches.enabled, overlays.show_overlays = False, True
    yield 0.5


def drag_wipe() -> ui.Steps:
    """Take the line between the pictures and draw it to a quarter of the frame."""
    left, top, right, bottom = ui.camera_frame()
    window = bpy.context.window_manager.windows[0]
    y = window.height - round(top + 0.3 * (bottom - top))
    places = [round(left + share * (right - left)) for share in (0.5, 0.45, 0.35, 0.25)]
    for step in (-4, -2, 0):
        ui.mouse(places[0] + step, y)
        yield 0.4
    ui.xdotool("mousedown", 1)
    for x in places:
        yield 0.4
        ui.mouse(x, y)
    yield 0.4
    ui.xdotool("mouseup", 1)
    yield 0.4
    ui.measured["frame"] = [left, top, right, bottom]
    ui.measured["wipe"] = bpy.context.scene.ex4d.wipe


ui.start(script)
