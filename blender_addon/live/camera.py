"""What live views need to know of the scene: the camera now, and its whole move, without touching the user's frame."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from ex4d_protocol.requests import TrajectorySpec

from ..camera import keyed
from ..scene import cameras, keyframes
from ..scene.aside import LENS_CHANNELS, OBJECT_CHANNELS, depsgraph_at, is_absent, kept, scene_with
from ..scene.mesh import values_of
from ..work.errors import AddonError
from ..work.tasks import Steps

CHUNK_S = 0.003
"""So long the move is followed at a time."""


@dataclass(frozen=True)
class Now:
    """What is seen at the scene's present frame. Equal ones give the same picture."""

    shot_id: str
    index: int
    """Output frame, 0-based."""
    width: int
    height: int
    trajectory: TrajectorySpec


def shot_of(scene: bpy.types.Scene | None) -> bpy.types.Object | None:
    """The scene's shot if it is really there."""
    shot = scene.ex4d.shot if scene is not None and hasattr(scene, "ex4d") else None
    return shot if scene is not None and shot is not None and shot.name in scene.objects else None


def camera_of(scene: bpy.types.Scene, shot: bpy.types.Object) -> bpy.types.Object | None:
    """The shot's camera if it is really there."""
    cam = shot.ex4d.camera
    return cam if cam is not None and cam.name in scene.objects and cam.type == "CAMERA" else None


def is_playing() -> bool:
    """Whether any window plays the animation."""
    return any(window.screen.is_animation_playing for window in bpy.context.window_manager.windows)


def move_of(shot: bpy.types.Object, cam: bpy.types.Object) -> tuple[Any, ...]:
    """What decides the whole move, cheap enough to compare at every change: keys, parents, constraints, timing.

    Blender reports the camera as changed also where nothing was, as when another scene has come and gone.
    """
    owners = _owners(shot, cam)
    return (
        tuple(owner.name_full for owner in owners),
        tuple((c.type, c.mute, c.influence) for c in cam.constraints),
        (shot.ex4d.use_source_time, shot.ex4d.frame_start, shot.ex4d.num_frames),
        tuple(_keys(curve) for owner in owners for curve in keyframes.fcurves(owner)),
    )


def _owners(shot: bpy.types.Object, cam: bpy.types.Object) -> list[Any]:
    """What moves the camera: itself, its lens, the shot, what it hangs from and what its constraints aim at."""
    owners: list[Any] = [cam, cam.data, shot]
    above = cam.parent
    while above is not None and above not in owners:
        owners.append(above)
        above = above.parent
    return owners + [c.target for c in cam.constraints if getattr(c, "target", None) is not None]


def held_by(scene: bpy.types.Scene, shot: bpy.types.Object, cam: bpy.types.Object) -> tuple[Any, ...]:
    """What decides where a hidden camera stands now: its evaluated pose is only known once it was looked at."""
    placed = (owner for owner in _owners(shot, cam) if isinstance(owner, bpy.types.Object))
    poses = tuple(tuple(map(tuple, matrix)) for each in placed for matrix in (each.matrix_basis, each.matrix_world))
    lens = tuple(getattr(cam.data, name) for name in LENS_CHANNELS)
    return scene.frame_current, cameras.render_size(scene), move_of(shot, cam), poses, lens


def is_hidden(depsgraph: bpy.types.Depsgraph, shot: bpy.types.Object, cam: bpy.types.Object) -> bool:
    """Whether Blender may not evaluate the camera or the shot by itself: both stand still then, whatever their keys."""
    return any(is_absent(each, depsgraph.view_layer) for each in (shot, cam))


def _keys(curve: bpy.types.FCurve) -> tuple[Any, ...]:
    points = curve.keyframe_points
    arrays = [values_of(points, name, np.float32, width=2).tobytes() for name in ("co", "handle_left", "handle_right")]
    kinds = tuple(point.interpolation for point in points)
    return (curve.data_path, curve.array_index, curve.mute, len(curve.modifiers), kinds, *arrays)


def now(
    depsgraph: bpy.types.Depsgraph, scene: bpy.types.Scene, shot: bpy.types.Object, cam: bpy.types.Object
) -> Now | None:
    """The camera as it is; None at a frame outside the shot. Raises AddonError for one that cannot be sent.

    One that is hidden is looked at in a scene of its own: not to be called from Blender's handlers then.
    """
    props = shot.ex4d
    index = scene.frame_current - props.frame_start
    if not 0 <= index < props.num_frames:
        return None
    cameras.require_perspective(cam)
    if is_hidden(depsgraph, shot, cam):
        with _aside(scene, shot, cam) as aside:
            view = cameras.at(depsgraph_at(aside, scene.frame_current), scene, shot, cam, index=index)
    else:
        view = cameras.at(depsgraph, scene, shot, cam, index=index)
    width, height = cameras.render_size(scene)
    if min(width, height) < 2:
        raise AddonError(f"The render size is {width} x {height}; set a resolution of at least 2 x 2.")
    seen = keyed.exact_at(cam, shot, index, cameras.stacked([view], width, height, "live"))
    return Now(props.shot_id, index, width, height, TrajectorySpec.pack(seen))


def follow(scene_name: str) -> Steps[TrajectorySpec]:
    """The whole move of the shot in that scene, a few milliseconds at a step, whatever becomes of the scene meanwhile.

    Raises AddonError for a camera that cannot be sent, and if shot or camera go.
    """
    scene, shot, cam = _find(scene_name)
    count = shot.ex4d.num_frames
    cameras.require_perspective(cam)
    width, height = cameras.render_size(scene)
    views: list[cameras.View] = []
    while len(views) < count:
        scene, shot, cam = _find(scene_name)
        end = time.perf_counter() + CHUNK_S
        with _aside(scene, shot, cam) as aside:
            while len(views) < count and time.perf_counter() < end:
                index = len(views)
                depsgraph = depsgraph_at(aside, shot.ex4d.frame_start + index)
                views.append(cameras.at(depsgraph, scene, shot, cam, index=index))
        if len(views) < count:
            yield None
    return TrajectorySpec.pack(keyed.exact(cam, shot, cameras.stacked(views, width, height, "live")))


@contextmanager
def _aside(scene: bpy.types.Scene, shot: bpy.types.Object, cam: bpy.types.Object) -> Iterator[bpy.types.Scene]:
    """A scene with the camera and the shot, timed as ``scene``; what is not keyed of them is put back."""
    owners = ((cam, OBJECT_CHANNELS), (shot, OBJECT_CHANNELS), (cam.data, LENS_CHANNELS))
    with (
        scene_with(cam, shot, name="EX-4D Following", timed_as=scene) as aside,
        kept((*owners, (shot.ex4d, ("source_time",)))),
    ):
        yield aside


def _find(scene_name: str) -> tuple[bpy.types.Scene, bpy.types.Object, bpy.types.Object]:
    scene = bpy.data.scenes.get(scene_name)
    target = shot_of(scene)
    cam = camera_of(scene, target) if scene is not None and target is not None else None
    if scene is None or target is None or cam is None:
        raise AddonError("The shot or its camera was deleted.")
    return scene, target, cam
