"""Parts of the panel that few need: stereo, planes of the place, geometry for other programs. Run by Blender."""

from __future__ import annotations

import os
import sys

sys.path[:0] = os.environ["EX4D_UI_PATH"].split(os.pathsep)

import bpy  # noqa: E402
import ways  # noqa: E402
import window as ui  # noqa: E402


def script() -> ui.Steps:
    yield from ways.empty()
    ways.open_panels("EX4D_PT_planes", "EX4D_PT_coverage", "EX4D_PT_stereo", "EX4D_PT_settings")
    ways.open_panels("EX4D_PT_other_programs")
    yield from ways.ready()
    yield from ways.camera()
    _, area, _ = ui.view()
    area.spaces.active.overlay.show_overlays = True
    yield from planes()
    yield from stereo()
    yield from geometry()


def planes() -> ui.Steps:
    """Guides that list the planes, which are then drawn in the view."""
    from blender_addon.work import session

    shot = bpy.context.scene.ex4d.shot
    yield from ui.press("bpy.ops.ex4d.render_guides")
    yield from ui.wait(lambda: len(shot.ex4d.planes) > 0 and not session.get().tasks, "the planes")
    ui.measured["planes"] = [[plane.name, plane.share] for plane in shot.ex4d.planes]
    yield from ui.find("bpy.ops.ex4d.add_plane", at=0.82)
    yield from ways.settle()
    ui.screenshot("planes")
    shot.ex4d.show_planes = False
    yield from ways.settle()
    ui.screenshot("planes-hidden")


def stereo() -> ui.Steps:
    """Two eyes, fitted to the clip, with what lies behind the screen tinted."""
    props = bpy.context.scene.ex4d
    props.stereo = True
    yield from ui.press("bpy.ops.ex4d.fit_eyes")
    eyes = props.shot.ex4d.camera.data.stereo
    ui.measured["eyes"] = [eyes.interocular_distance, eyes.convergence_distance]
    yield from ways.settle()
    ui.screenshot("stereo")
    props.stereo = False
    yield from ways.settle()


def geometry() -> ui.Steps:
    """The part of the panel with the export, and what it asks for beside the files."""
    yield from ui.scroll(-80)
    yield from ways.settle()
    ui.screenshot("geometry")
    bpy.context.preferences.view.filebrowser_display_type = "SCREEN"  # there is no window manager to place a window
    yield from ui.press("bpy.ops.ex4d.export_geometry", leave=False)
    yield from ui.wait(lambda: ui.browser() is not None, "the file browser")
    yield 2.0
    asked = ui.browser().spaces.active.active_operator
    ui.measured["export"] = [asked.bl_idname, asked.kind, asked.grid]
    ui.screenshot("geometry-options")


ui.start(script)
