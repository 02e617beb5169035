"""One small turn of the 3D view after an import: what looks like a video is seen to have depth.

The view leaves its camera for a place that shows the same, turns about the middle of what it sees and comes back. All
of it is the view's own state; a hand on the view ends it at once and keeps the place that the hand chose.
"""

import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Quaternion, Vector

from . import mesh, viewing
from .viewing import Place

ANGLE_DEG = 5.0
TURN_S, SLIDE_S = 1.8, 0.4
STEP_S = 1 / 60
SENSOR_MM = 36.0
"""The sensor that Blender's perspective views have, of twice the region's longer side."""

Moments = Generator[None, None, None]


def start(place: Place | None, target: bpy.types.Object) -> None:
    """Turn the view once, through what ``viewing.look_at_footage`` has set. Does nothing without a view."""
    global _moments
    stop()
    found = place.find() if place is not None else None
    if place is None or found is None:
        return
    _moments = _turn(place, _aim(found[1], target))
    bpy.app.timers.register(_step, first_interval=STEP_S)


def stop() -> None:
    """End the turn; the view then looks through its camera again, unless a hand has moved it."""
    global _moments
    if _moments is not None:
        _moments.close()
        _moments = None
    if bpy.app.timers.is_registered(_step):
        bpy.app.timers.unregister(_step)


def under_way() -> bool:
    """Whether a view is turning."""
    return _moments is not None


_moments: Moments | None = None


def _step() -> float | None:
    global _moments
    try:
        if _moments is not None:
            next(_moments)
            return STEP_S
    except StopIteration:
        _moments = None
    return None


@dataclass(frozen=True)
class _Aim:
    """Where the view turns, and what it comes back to."""

    centre: Vector
    facing: Quaternion
    distance: float
    lens_mm: float
    middle: tuple[float, float]
    """The camera's offset at which its picture is where the perspective view has it."""
    rests_at: tuple[float, float]


def _aim(area: bpy.types.Area, target: bpy.types.Object) -> _Aim:
    space: Any = area.spaces.active
    camera = target.ex4d.source_camera
    region = next(each for each in area.regions if each.type == "WINDOW")
    pose = camera.matrix_world.normalized()
    distance = float(np.median(mesh.positions(target.ex4d.mesh.data)[:, 2])) * target.matrix_world.to_scale().z
    factor = viewing.zoom_factor(space.region_3d)
    lens: Any = camera.data
    side = max(region.width, region.height)
    return _Aim(
        centre=pose @ Vector((0, 0, -distance)),
        facing=pose.to_quaternion(),
        distance=distance,
        lens_mm=2 * SENSOR_MM * factor * region.width * lens.lens / lens.sensor_width / side,
        middle=(-lens.shift_x / 2, -lens.shift_y * region.width / region.height / 2),
        rests_at=tuple(space.region_3d.view_camera_offset),
    )


def _turn(place: Place, aim: _Aim) -> Moments:
    """Set the view at every moment until it is back, or until somebody else has set it."""
    found = place.find()
    if found is None:
        return
    space: Any = found[1].spaces.active
    view = space.region_3d
    before = space.lens, view.view_location.copy(), view.view_rotation.copy(), view.view_distance
    view.view_perspective, space.lens = "PERSP", aim.lens_mm
    view.view_location, view.view_distance, view.view_rotation = aim.centre, aim.distance, aim.facing
    untouched = True
    try:
        for share in _shares(TURN_S):
            turned = aim.facing @ Quaternion((0, 1, 0), math.radians(ANGLE_DEG) * math.sin(2 * math.pi * share))
            view.view_rotation = turned
            yield
            if place.find() is None:
                untouched = False
                return
            untouched = view.view_perspective == "PERSP" and _same(view.view_rotation, turned)
            if not untouched:
                return
    finally:
        if place.find() is not None:
            space.lens = before[0]
            if untouched:
                view.view_perspective, view.view_camera_offset = "CAMERA", aim.rests_at
                view.view_location, view.view_rotation, view.view_distance = before[1:]
    yield from _slide(place, view, aim)


def _slide(place: Place, view: Any, aim: _Aim) -> Moments:
    """From the middle of the region to where the frame is clear of the sidebar."""
    for share in _shares(SLIDE_S):
        eased = share * share * (3 - 2 * share)
        at = [a + (b - a) * eased for a, b in zip(aim.middle, aim.rests_at, strict=True)]
        view.view_camera_offset = at
        yield
        if place.find() is None or max(abs(a - b) for a, b in zip(view.view_camera_offset, at, strict=True)) > 1e-4:
            return
    view.view_camera_offset = aim.rests_at


def _shares(seconds: float) -> Generator[float, None, None]:
    """From 0 to just below 1 as time passes."""
    begun = time.monotonic()
    while (share := (time.monotonic() - begun) / seconds) < 1:
        yield share


def _same(a: Quaternion, b: Quaternion) -> bool:
    return abs(a.rotation_difference(b).angle) < 1e-3
