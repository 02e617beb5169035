"""Camera moves between Blender and the protocol: presets in, sampled trajectories out."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ex4d_protocol.messages import PresetQuery, PresetReply
from ex4d_protocol.requests import TrajectorySpec

from . import axes, camera, files, keyframes, linked, pc2, shot
from .errors import AddonError

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


def preset_query(
    target: bpy.types.Object, preset: str, *, amount: float | None, easing: str, near_depth: float
) -> PresetQuery:
    """Ask for ``preset`` with the shot's length, size and source intrinsics."""
    props = target.ex4d
    return PresetQuery(
        preset=preset,
        num_frames=props.num_frames,
        width=props.width,
        height=props.height,
        intrinsics=tuple(props.intrinsics),
        near_depth=near_depth,
        amount=amount,
        easing=easing,
    )


def as_reply(found: camera.CameraSamples) -> PresetReply:
    """A move from a file or a take goes the way of one from the backend."""
    return PresetReply(
        preset=found.name[:128],
        num_frames=len(found.source_time),
        width=found.width,
        height=found.height,
        world_from_camera=found.world_from_camera.tobytes(),
        intrinsics=found.intrinsics.tobytes(),
        source_time=found.source_time.tobytes(),
    )


def of_take(document: dict[str, object], name: str) -> camera.CameraSamples:
    """The move that a take's ``take.json`` records. Raises AddonError if it records none that can be read."""
    try:
        found: Any = document["camera"]
        poses, lenses, times = (
            np.array(found[key], np.float64) for key in ("world_from_camera", "intrinsics", "source_time")
        )
        count = len(times)
        if poses.shape != (count, 4, 4) or lenses.shape != (count, 4) or not np.isfinite(poses).all():
            raise ValueError(f"poses {poses.shape}, lenses {lenses.shape}, times {times.shape}")
        return camera.CameraSamples(
            poses, lenses, times, width=int(found["width"]), height=int(found["height"]), name=str(found["name"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AddonError(
            f"{name} holds no camera move that can be read; restore the settings without the camera.", str(error)
        ) from error


def apply(
    scene: bpy.types.Scene, target: bpy.types.Object, reply: PresetReply, *, onto_new: bool = False
) -> bpy.types.Object:
    """Key the move on the shot camera, made if there is none; the scene then looks through it.

    ``onto_new`` makes a camera for it and leaves the present one as it is.
    """
    linked.require_changeable(target)
    props = target.ex4d
    poses, intrinsics, source_time = TrajectorySpec(
        num_frames=reply.num_frames,
        width=reply.width,
        height=reply.height,
        world_from_camera=reply.world_from_camera,
        intrinsics=reply.intrinsics,
        source_time=reply.source_time,
    ).arrays()
    cam = props.camera
    if onto_new or cam is None or cam.name not in scene.objects:
        cam = shot.new_camera(f"{target.name} Camera", target)
        props.camera = cam
    keyframes.clear(cam, keyframes.POSE_PATHS)
    keyframes.clear(cam.data, LENS_PATHS)
    _set_lens(cam.data, intrinsics, props, size=(reply.width, reply.height))
    # The keys are in the shot's space; a camera of the user's own may hang elsewhere or nowhere.
    cam.parent = target
    cam.matrix_parent_inverse.identity()
    keyframes.key_poses(cam, axes.blender_from_pose(poses), frame_start=props.frame_start)
    keyframes.set_interpolation(cam, "LINEAR", paths=keyframes.POSE_PATHS)
    _key_source_time(target, source_time)
    scene.camera = cam
    scene.frame_set(scene.frame_current)
    return cam


def trajectory(context: bpy.types.Context, target: bpy.types.Object) -> TrajectorySpec:
    """The shot camera's move, sampled on every frame of the shot. Raises AddonError."""
    found = camera.sample(context, target, shot.shot_camera(target, context.scene))
    return TrajectorySpec.from_arrays(
        found.world_from_camera,
        found.intrinsics,
        found.source_time,
        width=found.width,
        height=found.height,
        name=found.name[:128],
    )


def _set_lens(
    lens: bpy.types.Camera, intrinsics: np.ndarray, props: bpy.types.PropertyGroup, *, size: tuple[int, int]
) -> None:
    width, height = size  # in whose pixels the intrinsics are
    camera.match_lens(lens, tuple(intrinsics[0]), width=width, height=height, near_depth=props.near_depth)
    lenses = [axes.lens_from_intrinsics(tuple(row), width=width, height=height) for row in intrinsics]
    for path, values in (
        ("lens", [found.lens_mm for found in lenses]),
        ("shift_x", [found.shift_x for found in lenses]),
        ("shift_y", [found.shift_y for found in lenses]),
    ):
        keyframes.key_values(lens, path, np.array(values), frame_start=props.frame_start)


def _key_source_time(target: bpy.types.Object, source_time: np.ndarray) -> None:
    props = target.ex4d
    keyframes.clear(target, ("ex4d.source_time",))
    props.use_source_time = bool(np.abs(source_time - np.arange(len(source_time))).max() > 1e-6)
    if props.use_source_time:
        for index, value in enumerate(source_time):
            props.source_time = float(value)
            target.keyframe_insert("ex4d.source_time", frame=props.frame_start + index)
