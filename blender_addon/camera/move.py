"""Camera moves between Blender and the protocol: presets in, sampled trajectories out."""

from dataclasses import dataclass, replace
from typing import Literal

import bpy
import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import InputError
from ex4d_ground.poses import inverse
from ex4d_ground.takes import TakeInfo
from ex4d_protocol.requests import TrajectorySpec

from ..scene import axes, cameras, keyframes, linked, rig, shot
from ..scene.retime import SOURCE_TIME
from ..work import files, pc2
from ..work.errors import AddonError
from ..work.hooks import Hook
from . import keyed

camera_made = Hook()
"""Called with scene, shot and camera when a shot gets a new camera."""

ORBIT_MARGIN = 0.15
"""A preset turns around a point this far behind the near depth it is given (EX-4D's own margin)."""


def centre_depth(context: bpy.types.Context, target: bpy.types.Object, centre: str) -> float:
    """The near depth to ask a preset with, so that it turns around "NEAREST", "MEDIAN", "CURSOR" or "OWN".

    Raises AddonError if the 3D cursor is not in front of the source camera.
    """
    near = float(target.ex4d.near_depth)
    if centre in ("NEAREST", "POINT"):
        return near
    if centre == "MEDIAN":
        first = pc2.read_pc2(shot.folder_of(target) / files.CACHE_FILE)[0]
        grid = shot.grid_of(target)
        inner = first.reshape(grid.height, grid.width, 3)[1:-1, 1:-1, 2]
        return max(float(np.median(inner)) - ORBIT_MARGIN, near * 0.1)
    if centre == "OWN":
        return max(float(context.scene.ex4d.own_depth) - ORBIT_MARGIN, near * 0.01)
    return world_point(context, target)[2] - ORBIT_MARGIN


def world_point(context: bpy.types.Context, target: bpy.types.Object) -> tuple[float, float, float]:
    """The 3D cursor in the axes of the camera that filmed the first frame shown (OpenCV's, the shot's units).

    Raises AddonError if it is not in front of that camera.
    """
    cursor = np.array(target.matrix_world.inverted() @ context.scene.cursor.location, np.float64)
    x, y, z = (float(value) for value in (inverse(_start(target)) @ (*cursor, 1.0))[:3])
    if z <= ORBIT_MARGIN:
        raise AddonError(
            f"The 3D cursor lies {z:.2f} in front of the source camera; put it on what the move turns around."
        )
    return x, y, z


def from_source(target: bpy.types.Object, preset: Trajectory) -> Trajectory:
    """A preset's move, told from where it starts, from where the clip's first shown frame was filmed. AddonError."""
    start = _start(target)
    if (start == np.eye(4)).all():
        return preset
    return replace(preset, world_from_camera=start @ preset.world_from_camera)


def _start(target: bpy.types.Object) -> Float64:  # [4, 4]
    """Where the clip's first shown frame was filmed, in the world. Raises AddonError."""
    filmed = rig.as_filmed(target)
    return np.eye(4) if filmed is None else filmed.world_from_camera[_first_shown(target)]


def _first_shown(target: bpy.types.Object) -> int:
    """The source frame that the shot's first frame shows."""
    props = target.ex4d
    curve = next((each for each in keyframes.fcurves(target) if each.data_path == SOURCE_TIME), None)
    if not props.use_source_time:
        return 0
    time = props.source_time if curve is None else curve.evaluate(props.frame_start)
    return int(np.clip(np.floor(time + 0.5), 0, props.num_frames - 1))


def of_take(info: TakeInfo, name: str) -> Trajectory:
    """The move that a take's ``take.json`` records. Raises AddonError if it records none that can be read."""
    try:
        if info.camera is not None:
            return info.camera.trajectory
        why = "it has none"
    except InputError as error:
        why = str(error)
    raise AddonError(f"{name} holds no camera move that can be read; restore the settings without the camera.", why)


@dataclass(frozen=True)
class Applied:
    """Where a move was keyed."""

    camera: bpy.types.Object
    done: str
    """The end of a sentence: on which camera, and what of the artist's stays as it was."""


def apply(
    scene: bpy.types.Scene,
    target: bpy.types.Object,
    move: Trajectory,
    *,
    replaces: bool = False,
    whose: Literal["OURS", "ANY"] = "OURS",
    timed: bool = False,
) -> Applied:
    """Key the move on a new camera, which the shot and the scene then look through.

    ``replaces`` keys the shot's camera again if a move made all its keys and nobody has changed them. Nothing that an
    artist made is replaced: not a camera, its keys, lens or parent, nor the shot's Retime keys. Where the artist has
    asked for just that (``whose`` "ANY"), the earlier keys stay in an action of their own. ``timed``: the shot has the
    move's timing already.
    """
    linked.require_changeable(target)
    props, before = target.ex4d, target.ex4d.camera
    cam, stays = before, ""
    fits = replaces and before is not None and before.name in scene.objects
    untouched = fits and keyed.is_untouched(before)
    if fits and (untouched or whose == "ANY"):
        stays = "" if untouched else _put_aside(before)
        cam.parent = target
        cam.matrix_parent_inverse.identity()
        keyframes.clear(cam, keyframes.POSE_PATHS)
        keyframes.clear(cam.data, keyframes.LENS_PATHS)
    else:
        stays = _why_it_stays(before, asked=replaces)
        cam = shot.new_camera(f"{target.name} Camera", target, scene=scene)
        cameras.start_lens(cam.data, near_depth=props.near_depth)
    cameras.key_lens(cam.data, move, frame_start=props.frame_start)
    keyframes.key_poses(cam, axes.blender_from_pose(move.world_from_camera), frame_start=props.frame_start)
    keyframes.set_interpolation(cam, "LINEAR", paths=keyframes.POSE_PATHS)
    timing = "" if timed else _key_source_time(target, move.source_time)
    keyed.remember(cam, move)
    look_through(scene, target, cam)
    new = "new " if cam != before else ""
    return Applied(cam, f"{new}camera '{cam.name}', {len(move)} frames{stays}{timing}")


def look_through(scene: bpy.types.Scene, target: bpy.types.Object, cam: bpy.types.Object) -> None:
    """Make ``cam`` the shot's camera, which the scene looks through."""
    if cam != target.ex4d.camera:
        target.ex4d.camera = cam
        camera_made(scene, target, cam)
    scene.camera = cam
    scene.frame_set(scene.frame_current, subframe=scene.frame_subframe)
    _select(scene, cam)


def sampled(context: bpy.types.Context, target: bpy.types.Object) -> Trajectory:
    """The shot camera's move on every frame of the shot, to the bit where it is one that was keyed. AddonError."""
    cam = shot.shot_camera(target, context.scene)
    return keyed.exact(cam, target, cameras.sample(context, target, cam))


def trajectory(context: bpy.types.Context, target: bpy.types.Object) -> TrajectorySpec:
    """The same, as it travels. Raises AddonError."""
    return TrajectorySpec.pack(sampled(context, target))


def _put_aside(cam: bpy.types.Object) -> str:
    """Keep the keys of ``cam`` in an action of their own. Returns what there is to say of it."""
    kept: list[str] = []
    for data in (cam.animation_data, cam.data.animation_data):
        action = data.action if data is not None else None
        if data is not None and action is not None:
            action.use_fake_user = True  # saved though nothing uses it
            data.action = None
            kept.append(f"'{action.name}'")
    return f"; its earlier keys are kept in the action {' and '.join(dict.fromkeys(kept))}" if kept else ""


def _why_it_stays(before: bpy.types.Object | None, *, asked: bool) -> str:
    if before is None:
        return ""
    if asked:
        return f"; '{before.name}' was changed by hand or is your own, so it stays as it was"
    return f"; '{before.name}' stays as it was"


def _select(scene: bpy.types.Scene, cam: bpy.types.Object) -> None:
    """Make the camera the one that is selected and active: so its keys are seen."""
    layer = bpy.context.view_layer
    if bpy.context.scene != scene or cam.name not in layer.objects:
        return
    for obj in layer.objects:
        if obj.select_get():
            obj.select_set(False)
    cam.select_set(True)
    layer.objects.active = cam


def _key_source_time(target: bpy.types.Object, source_time: np.ndarray) -> str:
    """Retime the shot as the move does; the artist's own timing is kept. Returns what there is to say of it."""
    props = target.ex4d
    plain = bool(np.abs(source_time - np.arange(len(source_time))).max() <= 1e-6)
    if keyframes.varies(target, SOURCE_TIME) or props.use_source_time:
        return "; Retime stays as it was" if plain else "; Retime stays as it was, without the move's own timing"
    if not plain:
        props.use_source_time = True
        key_source_time(target, source_time)
    return ""


def is_timed_as(target: bpy.types.Object, source_time: np.ndarray) -> bool:
    """Whether the shot's keys show these source frames on its frames."""
    curve = next((each for each in keyframes.fcurves(target) if each.data_path == SOURCE_TIME), None)
    if curve is None or not target.ex4d.use_source_time:
        return False
    shown = [curve.evaluate(target.ex4d.frame_start + index) for index in range(len(source_time))]
    return bool(np.allclose(shown, source_time, atol=1e-5))


def key_source_time(target: bpy.types.Object, source_time: np.ndarray) -> None:
    """Key the source frame of every frame of the shot, in place of what was keyed."""
    keyframes.clear(target, (SOURCE_TIME,))
    for index, value in enumerate(source_time):
        target.ex4d.source_time = float(value)
        target.keyframe_insert(SOURCE_TIME, frame=target.ex4d.frame_start + index)
