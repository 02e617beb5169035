"""What an import leaves in the 3D view it was started from, and in another. Run by Blender; see ``test_import``."""

from __future__ import annotations

import os
import sys
from typing import Any

sys.path[:0] = os.environ["EX4D_UI_PATH"].split(os.pathsep)

import bpy  # noqa: E402
import ways  # noqa: E402
import window as ui  # noqa: E402


def script() -> ui.Steps:
    yield from ways.first()  # with Blender's cube around the source camera
    from blender_addon.scene import orbit

    _, area, _ = ui.view()
    area.spaces.active.overlay.show_overlays = True
    timeline = next(each for each in bpy.context.window.screen.areas if each.type == "DOPESHEET_EDITOR")
    timeline.type = "VIEW_3D"  # a second 3D view
    yield 0.3
    before = state(timeline)
    turns: list[object] = []  # a turn begins with the first frame, so it may be over when the rest has come
    start = orbit.start
    orbit.start = lambda *given: (turns.append(given), start(*given))[1]
    yield from ways.connect()
    yield from ways.bring_clip(standard_view=True)
    ui.measured["turns"] = len(turns)
    yield from ui.wait(lambda: not orbit.under_way(), "the end of the turn")
    yield 1.0
    ui.measured["standard"] = ui.camera_frame()
    ui.screenshot("standard")
    bpy.context.scene.view_settings.view_transform = "AgX"
    yield 1.0
    ui.measured["agx"] = ui.camera_frame()
    ui.screenshot("agx")
    ui.measured["other_view_untouched"] = state(timeline) == before
    ui.measured["overlapped"] = overlapped(area)
    ui.measured["range"] = [bpy.context.scene.frame_start, bpy.context.scene.frame_end, bpy.context.scene.frame_current]
    yield from hand_on_the_view(area)
    bpy.context.preferences.addons["blender_addon"].preferences.orbit_after_import = False
    turns.clear()
    yield from ways.bring_clip()
    ui.measured["turns_though_switched_off"] = len(turns)


def hand_on_the_view(area: bpy.types.Area) -> ui.Steps:
    """A view that is moved while it turns stays where it was moved to."""
    from mathutils import Quaternion

    from blender_addon.scene import orbit, viewing

    space: Any = area.spaces.active
    space.lens = 35.0
    orbit.start(viewing.Place(area.as_pointer()), bpy.context.scene.ex4d.shot)
    yield from ui.wait(lambda: space.region_3d.view_perspective == "PERSP", "the turn")
    space.region_3d.view_rotation = turned = Quaternion((0, 0, 1), 0.7)
    yield from ui.wait(lambda: not orbit.under_way(), "the end of the turn")
    view = space.region_3d
    stays = abs(view.view_rotation.rotation_difference(turned).angle) < 1e-4
    ui.measured["hand_wins"] = stays and view.view_perspective == "PERSP" and space.lens == 35.0


def state(area: bpy.types.Area) -> list[object]:
    space: Any = area.spaces.active
    view = space.region_3d
    return [
        view.view_perspective, list(view.view_location), list(view.view_rotation), view.view_camera_zoom,
        space.shading.type, space.shading.light, space.shading.color_type, space.overlay.show_floor, space.lens,
    ]  # fmt: skip


def overlapped(area: bpy.types.Area) -> list[str]:
    """Regions that lie over the camera's frame."""
    window, _, _ = ui.view()
    left, top, right, bottom = ui.camera_frame()
    return [
        region.type
        for region in area.regions
        if region.type in ("UI", "TOOLS", "HEADER", "TOOL_HEADER") and region.width > 1
        if region.x < right and region.x + region.width > left
        if window.height - region.y > top and window.height - region.y - region.height < bottom
    ]


ui.start(script)
