"""What live views need to know of the scene: the camera now, and its whole move, without touching the user's frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from ex4d_protocol.requests import TrajectorySpec

from . import camera, keyframes
from .errors import AddonError
from .tasks import Steps

CHUNK_S = 0.003
"""So long the move is followed at a time."""
OBJECT_CHANNELS = ("location", "rotation_euler", "rotation_quaternion", "rotation_axis_angle", "scale")
LENS_CHANNELS = ("lens", "shift_x", "shift_y", "sensor_width", "sensor_height")


@dataclass(frozen=True)
class Now:
    """What is seen at the scene's present frame. Equal ones give the same picture."""

    shot_id: str
    index: int
    """Output frame, 0-based."""
    width: int
    height: int
    trajectory: TrajectorySpec


def shot_of(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The scene's shot if it is really there."""
    props = getattr(scene, "ex4d", None)
    found = props.shot if props is not None else None
    return found if found is not None and found.name in scene.objects else None


def camera_of(scene: bpy.types.Scene, shot: bpy.types.Object) -> bpy.types.Object | None:
    """The shot's camera if it is really there."""
    found = shot.ex4d.camera
    return found if found is not None and found.name in scene.objects and found.type == "CAMERA" else None


def move_of(shot: bpy.types.Object, cam: bpy.types.Object) -> tuple[Any, ...]:
    """What decides the whole move, cheap enough to compare at every change: keys, parents, constraints, timing.

    Blender reports the camera as changed also where nothing was, as when another scene has come and gone.
    """
    owners: list[Any] = [cam, cam.data, shot]
    above = cam.parent
    while above is not None and above not in owners:
        owners.append(above)
        above = above.parent
    owners += [c.target for c in cam.constraints if getattr(c, "target", None) is not None]
    return (
        tuple(owner.name_full for owner in owners),
        tuple((c.type, c.mute, c.influence) for c in cam.constraints),
        (shot.ex4d.use_source_time, shot.ex4d.frame_start, shot.ex4d.num_frames),
        tuple(_keys(curve) for owner in owners for curve in keyframes.fcurves(owner)),
    )


def _keys(curve: bpy.types.FCurve) -> tuple[Any, ...]:
    points = curve.keyframe_points
    found = []
    for name in ("co", "handle_left", "handle_right"):
        values = np.empty(2 * len(points), np.float32)
        points.foreach_get(name, values)
        found.append(values.tobytes())
    kinds = tuple(point.interpolation for point in points)
    return (curve.data_path, curve.array_index, curve.mute, len(curve.modifiers), kinds, *found)


def now(
    depsgraph: bpy.types.Depsgraph, scene: bpy.types.Scene, shot: bpy.types.Object, cam: bpy.types.Object
) -> Now | None:
    """The camera as it is; None at a frame outside the shot. Raises AddonError for one that cannot be sent."""
    props = shot.ex4d
    index = scene.frame_current - props.frame_start
    if not 0 <= index < props.num_frames:
        return None
    camera.require_perspective(cam)
    view = camera.at(depsgraph, scene, shot, cam, index=index)
    width, height = camera.render_size(scene)
    if min(width, height) < 2:
        raise AddonError(f"The render size is {width} x {height}; set a resolution of at least 2 x 2.")
    spec = TrajectorySpec.from_arrays(
        view.world_from_camera[None], [view.intrinsics], [view.source_time], width=width, height=height, name="live"
    )
    return Now(props.shot_id, index, width, height, spec)


def follow(find: Callable[[], tuple[bpy.types.Scene, bpy.types.Object, bpy.types.Object]]) -> Steps[TrajectorySpec]:
    """The whole move, a few milliseconds at a step; ``find`` gives scene, shot and camera anew for each.

    Raises AddonError for a camera that cannot be sent.
    """
    scene, shot, cam = find()
    count = shot.ex4d.num_frames
    camera.require_perspective(cam)
    width, height = camera.render_size(scene)
    views: list[camera.View] = []
    while len(views) < count:
        scene, shot, cam = find()
        end = time.perf_counter() + CHUNK_S
        with _aside(scene, shot, cam) as aside, _kept(shot, cam):
            while len(views) < count and time.perf_counter() < end:
                views.append(_look(aside, scene, shot, cam, len(views)))
        if len(views) < count:
            yield None
    return TrajectorySpec.from_arrays(
        np.stack([v.world_from_camera for v in views]),
        np.array([v.intrinsics for v in views]),
        np.array([v.source_time for v in views]),
        width=width,
        height=height,
        name="live",
    )


def _look(
    aside: bpy.types.Scene, scene: bpy.types.Scene, shot: bpy.types.Object, cam: bpy.types.Object, index: int
) -> camera.View:
    aside.frame_set(shot.ex4d.frame_start + index)
    layer = aside.view_layers[0]
    layer.update()
    return camera.at(layer.depsgraph, scene, shot, cam, index=index)


@contextmanager
def _aside(scene: bpy.types.Scene, shot: bpy.types.Object, cam: bpy.types.Object) -> Iterator[bpy.types.Scene]:
    """A scene with the camera, the shot and what they hang from, so that nothing else is evaluated."""
    aside = bpy.data.scenes.new("EX-4D Following")
    try:
        aside.render.fps, aside.render.fps_base = scene.render.fps, scene.render.fps_base
        aside.render.frame_map_old, aside.render.frame_map_new = (
            scene.render.frame_map_old,
            scene.render.frame_map_new,
        )
        linked = set()
        for start in (cam, shot):
            above: bpy.types.Object | None = start
            while above is not None and above.name_full not in linked:
                aside.collection.objects.link(above)
                linked.add(above.name_full)
                above = above.parent
        yield aside
    finally:
        bpy.data.scenes.remove(aside)


@contextmanager
def _kept(shot: bpy.types.Object, cam: bpy.types.Object) -> Iterator[None]:
    """Put back what was changed but not keyed: without a window, evaluating another scene writes animation over it."""
    owners: list[tuple[Any, tuple[str, ...]]] = [(cam, OBJECT_CHANNELS), (cam.data, LENS_CHANNELS)]
    before = [(owner, name, _value(owner, name)) for owner, names in owners for name in names]
    before.append((shot.ex4d, "source_time", shot.ex4d.source_time))
    try:
        yield
    finally:
        for owner, name, value in before:
            if _value(owner, name) != value:
                setattr(owner, name, value)


def _value(owner: Any, name: str) -> Any:
    value = getattr(owner, name)
    return value if isinstance(value, float) else tuple(value)
