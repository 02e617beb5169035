"""Camera moves between Blender and the protocol: presets in, sampled trajectories out."""

import bpy
import numpy as np

from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import InputError
from ex4d_ground.takes import TakeInfo
from ex4d_protocol.requests import TrajectorySpec

from ..scene import axes, cameras, keyframes, linked, shot
from ..work import files, pc2
from ..work.errors import AddonError

LENS_PATHS = ("lens", "shift_x", "shift_y")


ORBIT_MARGIN = 0.15
"""A preset turns around a point this far behind the near depth it is given (EX-4D's own margin)."""


def centre_depth(context: bpy.types.Context, target: bpy.types.Object, centre: str) -> float:
    """The near depth to ask a preset with, so that it turns around "NEAREST", "MEDIAN" or "CURSOR".

    Raises AddonError if the 3D cursor is not in front of the source camera.
    """
    near = float(target.ex4d.near_depth)
    if centre == "NEAREST":
        return near
    if centre == "MEDIAN":
        first = pc2.read_pc2(shot.folder_of(target) / files.CACHE_FILE)[0]
        inner = first.reshape(target.ex4d.height, target.ex4d.width, 3)[1:-1, 1:-1, 2]
        return max(float(np.median(inner)) - ORBIT_MARGIN, near * 0.1)
    cursor = target.matrix_world.inverted() @ context.scene.cursor.location
    if cursor.z <= ORBIT_MARGIN:
        raise AddonError(
            f"The 3D cursor lies {cursor.z:.2f} in front of the source camera; put it on what the move turns around."
        )
    return float(cursor.z) - ORBIT_MARGIN


def of_take(info: TakeInfo, name: str) -> Trajectory:
    """The move that a take's ``take.json`` records. Raises AddonError if it records none that can be read."""
    try:
        if info.camera is not None:
            return info.camera.trajectory
        why = "it has none"
    except InputError as error:
        why = str(error)
    raise AddonError(f"{name} holds no camera move that can be read; restore the settings without the camera.", why)


def apply(
    scene: bpy.types.Scene, target: bpy.types.Object, move: Trajectory, *, onto_new: bool = False
) -> bpy.types.Object:
    """Key the move on the shot camera, made if there is none; the scene then looks through it.

    ``onto_new`` makes a camera for it and leaves the present one as it is.
    """
    linked.require_changeable(target)
    props = target.ex4d
    cam = props.camera
    if onto_new or cam is None or cam.name not in scene.objects:
        cam = shot.new_camera(f"{target.name} Camera", target)
        props.camera = cam
    keyframes.clear(cam, keyframes.POSE_PATHS)
    keyframes.clear(cam.data, LENS_PATHS)
    cameras.key_lens(cam.data, move, near_depth=props.near_depth, frame_start=props.frame_start)
    # The keys are in the shot's space; a camera of the user's own may hang elsewhere or nowhere.
    cam.parent = target
    cam.matrix_parent_inverse.identity()
    keyframes.key_poses(cam, axes.blender_from_pose(move.world_from_camera), frame_start=props.frame_start)
    keyframes.set_interpolation(cam, "LINEAR", paths=keyframes.POSE_PATHS)
    _key_source_time(target, move.source_time)
    scene.camera = cam
    scene.frame_set(scene.frame_current)
    return cam


def trajectory(context: bpy.types.Context, target: bpy.types.Object) -> TrajectorySpec:
    """The shot camera's move, sampled on every frame of the shot. Raises AddonError."""
    return TrajectorySpec.pack(cameras.sample(context, target, shot.shot_camera(target, context.scene)))


def _key_source_time(target: bpy.types.Object, source_time: np.ndarray) -> None:
    props = target.ex4d
    keyframes.clear(target, ("ex4d.source_time",))
    props.use_source_time = bool(np.abs(source_time - np.arange(len(source_time))).max() > 1e-6)
    if props.use_source_time:
        for index, value in enumerate(source_time):
            props.source_time = float(value)
            target.keyframe_insert("ex4d.source_time", frame=props.frame_start + index)
