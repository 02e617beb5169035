"""Planes that fill the shot camera's frame exactly, whatever lens and shift are keyed; a wipe may cut them."""

import bpy
import numpy as np

from . import cameras
from . import shot as shots
from .drivers import Variable, drive

PLANE_DEPTH = 0.1
"""Distance of a plane from the camera, as a share of the scene's nearest depth: in front of everything."""
WIPE_PATH = "ex4d.wipe"
"""Where the scene keeps the wipe's place, 0 (left) to 1 (right)."""
WIPE_MODIFIER = "Wipe"


def add(
    scene: bpy.types.Scene,
    name: str,
    shot: bpy.types.Object,
    cam: bpy.types.Object,
    *,
    wiped: bool = False,
    nearer: float = 1.0,
) -> bpy.types.Object:
    """A unit square below ``cam`` whose scale and place follow the lens by drivers.

    ``wiped`` leaves of it what is to the left of the scene's wipe. ``nearer`` below 1 puts it before another plane.
    """
    data = bpy.data.meshes.new(name)
    corners = [(-0.5, -0.5, 0), (0.5, -0.5, 0), (0.5, 0.5, 0), (-0.5, 0.5, 0)]
    data.from_pydata(corners, [], [(0, 1, 2, 3)])
    uv = data.uv_layers.new(name="Frame", do_init=False)
    uv.data.foreach_set("uv", np.array([0, 0, 1, 0, 1, 1, 0, 1], np.float32))
    data.update()
    plane = bpy.data.objects.new(name, data)
    plane.parent = cam
    shots.collection_of(shot, scene).objects.link(plane)
    depth = max(shot.ex4d.near_depth * PLANE_DEPTH * nearer, cam.data.clip_start * 1.5 * nearer)
    plane.location = (0.0, 0.0, -depth)
    _follow_lens(scene, plane, cam.data, depth, wiped=wiped)
    return plane


def remove(plane: bpy.types.Object) -> None:
    """Delete a plane with its mesh; pictures and materials that nothing else uses go when the file is saved."""
    data = plane.data
    bpy.data.objects.remove(plane)
    if data is not None and not data.users:
        bpy.data.meshes.remove(data)


def _follow_lens(
    scene: bpy.types.Scene, plane: bpy.types.Object, lens: bpy.types.Camera, depth: float, *, wiped: bool
) -> None:
    """Drive the plane so that it fills the frame.

    Blender's frustum: one sensor size spans ``fit`` units of the frame (the width, or the height times the pixel
    aspect), so at distance d the frame is d * sensor / lens * (width, aspect * height) / fit, and shifts count in
    sensor sizes. A wiped plane is narrower by the wipe and stays at the left edge.
    """
    width, height = cameras.render_size(scene)
    aspect = scene.render.pixel_aspect_y / scene.render.pixel_aspect_x
    horizontal = lens.sensor_fit == "HORIZONTAL" or (lens.sensor_fit == "AUTO" and width >= aspect * height)
    fit = width if horizontal else aspect * height
    sensor = Variable("sensor", lens, "sensor_height" if lens.sensor_fit == "VERTICAL" else "sensor_width")
    focal = Variable("lens", lens, "lens")
    wipe = Variable("wipe", scene, WIPE_PATH)
    wide, high = depth * width / fit, depth * aspect * height / fit
    cut, cut_variables = (" * max(wipe, 0.0001)", (wipe,)) if wiped else ("", ())
    drive(plane.driver_add("scale", 0), f"{wide!r} * sensor / lens{cut}", sensor, focal, *cut_variables)
    drive(plane.driver_add("scale", 1), f"{high!r} * sensor / lens", sensor, focal)
    left = f" + {wide / 2!r} * (wipe - 1) * sensor / lens" if wiped else ""
    for axis, (path, extra) in enumerate((("shift_x", left), ("shift_y", ""))):
        shift = Variable("shift", lens, path)
        more = cut_variables if extra else ()
        place = plane.driver_add("location", axis)
        drive(place, f"{depth!r} * shift * sensor / lens{extra}", sensor, focal, shift, *more)
    if wiped:
        warp = plane.modifiers.new(WIPE_MODIFIER, "UV_WARP")
        warp.uv_layer = "Frame"
        warp.center = (0.0, 0.0)
        drive(plane.driver_add(f'modifiers["{WIPE_MODIFIER}"].scale', 0), "max(wipe, 0.0001)", wipe)
