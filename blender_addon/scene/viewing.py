"""What an import does to the 3D view it was started from: the footage, through the camera that matches it.

Only that one view is touched, and nothing of it is in the scene: its shading, its place, and how its camera is framed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bpy
from bpy_extras.view3d_utils import location_3d_to_region_2d  # pyright: ignore[reportMissingImports]

from . import cameras

MARGIN_PX = 16
"""Between the camera's frame and what overlaps the view, at an interface scale of 1."""
SHADING = {"type": "SOLID", "light": "FLAT", "color_type": "TEXTURE"}
"""Solid shading leaves textures their own colours whatever the scene's view transform is."""
SHADING_OFF = ("show_xray", "show_shadows", "show_cavity", "show_object_outline")
OVERLAYS_OFF = ("show_floor", "show_ortho_grid", "show_axis_x", "show_axis_y", "show_axis_z", "show_relationship_lines")
SAYS = "The view shows the footage through the source camera, in flat light."


@dataclass(frozen=True)
class Place:
    """A 3D view, as it is found again after a job: Blender's windows and areas come and go."""

    area: int

    def find(self) -> tuple[bpy.types.Window, bpy.types.Area] | None:
        """Its window and area; None if it was closed or shows something else now."""
        for window, area in _areas():
            if area.as_pointer() == self.area:
                return window, area
        return None


def begun_from(context: bpy.types.Context) -> Place | None:
    """The 3D view an operator was called in, else the window's largest; None without a window."""
    if bpy.app.background or context.window is None:
        return None
    if context.area is not None and context.area.type == "VIEW_3D":
        return Place(context.area.as_pointer())
    found = [area for window, area in _areas() if window == context.window]
    return Place(max(found, key=lambda area: area.width * area.height).as_pointer()) if found else None


def look_at_footage(place: Place | None, scene: bpy.types.Scene, target: bpy.types.Object) -> str:
    """Have the view show the shot's footage through its source camera; returns what to say, "" if there is no view."""
    found = place.find() if place is not None else None
    if found is None or found[0].scene != scene:
        return ""
    space: Any = found[1].spaces.active
    for name, value in SHADING.items():
        setattr(space.shading, name, value)
    for owner, names in ((space.shading, SHADING_OFF), (space.overlay, OVERLAYS_OFF)):
        for name in names:
            setattr(owner, name, False)
    if space.use_local_camera:
        space.camera = target.ex4d.source_camera
    space.region_3d.view_perspective = "CAMERA"
    frame_camera(found[1], scene, target.ex4d.source_camera)
    return SAYS


def frame_camera(area: bpy.types.Area, scene: bpy.types.Scene, camera: bpy.types.Object) -> None:
    """Make the camera's frame as large as the view's free part, in its middle.

    The side that the lens is fitted to is :func:`zoom_factor` times as long in the frame as in the region; an offset
    counts in regions, doubled and grown by the same factor.
    """
    region = next(each for each in area.regions if each.type == "WINDOW")
    view: Any = area.spaces.active.region_3d
    left, bottom, right, top = free_part(area)
    margin = MARGIN_PX * bpy.context.preferences.system.ui_scale
    wide, high = max(right - left - 2 * margin, 32.0), max(top - bottom - 2 * margin, 32.0)
    width, height = cameras.render_size(scene)
    width, height = width * scene.render.pixel_aspect_x, height * scene.render.pixel_aspect_y
    shown = min(wide / width, high / height)  # pixels of the screen per pixel of the picture
    lens: Any = camera.data
    by_width = lens.sensor_fit == "HORIZONTAL" or (lens.sensor_fit == "AUTO" and region.width >= region.height)
    frame_by_width = lens.sensor_fit == "HORIZONTAL" or (lens.sensor_fit == "AUTO" and width >= height)
    factor = shown * (width if frame_by_width else height) / (region.width if by_width else region.height)
    view.view_camera_zoom = min(max((2 * math.sqrt(factor) - math.sqrt(2)) * 50, -30.0), 600.0)
    factor = zoom_factor(view)
    middle = (left + right) / 2 / region.width - 0.5, (bottom + top) / 2 / region.height - 0.5
    view.view_camera_offset = [min(max(-share / (2 * factor), -1.0), 1.0) for share in middle]


def zoom_factor(view: Any) -> float:
    """By what a camera's frame is larger than the region: Blender's zoom z means ((sqrt 2 + z / 50) / 2)^2."""
    return ((math.sqrt(2) + view.view_camera_zoom / 50) / 2) ** 2


def free_part(area: bpy.types.Area) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of what no other region overlaps, in pixels of the view's own region."""
    region = next(each for each in area.regions if each.type == "WINDOW")
    left, bottom, right, top = 0.0, 0.0, float(region.width), float(region.height)
    for other in area.regions:
        if other.type in ("WINDOW", "HUD", "XR") or other.width <= 1 or other.height <= 1:
            continue
        x, y = other.x - region.x, other.y - region.y
        if x >= region.width or y >= region.height or x + other.width <= 0 or y + other.height <= 0:
            continue  # beside it: this region does not overlap
        match other.alignment:
            case "LEFT":
                left = max(left, x + other.width)
            case "RIGHT":
                right = min(right, x)
            case "TOP":
                top = min(top, y)
            case "BOTTOM":
                bottom = max(bottom, y + other.height)
    return left, bottom, right, top


def camera_looked_through(context: bpy.types.Context) -> bpy.types.Object | None:
    """The camera that the view being drawn looks through; None if it looks through none."""
    space: Any = context.space_data
    view = context.region_data
    if view is None or view.view_perspective != "CAMERA":
        return None
    return space.camera if space.use_local_camera else context.scene.camera


def frame_corners(context: bpy.types.Context, camera: bpy.types.Object) -> list[tuple[float, float]] | None:
    """The camera's picture in the region: top right, bottom right, bottom left, top left; None where it is behind."""
    pose = camera.matrix_world.normalized()
    corners = [
        location_3d_to_region_2d(context.region, context.region_data, pose @ corner)
        for corner in camera.data.view_frame(scene=context.scene)
    ]
    return None if None in corners else [(corner.x, corner.y) for corner in corners]


def _areas() -> Iterator[tuple[bpy.types.Window, bpy.types.Area]]:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                yield window, area
