"""Camera moves between Blender and the protocol: presets in, sampled trajectories out."""

from __future__ import annotations

import bpy
import numpy as np

from ex4d_protocol.messages import PresetQuery, PresetReply
from ex4d_protocol.requests import TrajectorySpec

from . import axes, camera, keyframes, shot

LENS_PATHS = ("lens", "shift_x", "shift_y")


def preset_query(target: bpy.types.Object, preset: str, *, amount: float | None, easing: str) -> PresetQuery:
    """Ask for ``preset`` with the shot's length, size and source intrinsics."""
    props = target.ex4d
    return PresetQuery(
        preset=preset,
        num_frames=props.num_frames,
        width=props.width,
        height=props.height,
        intrinsics=tuple(props.intrinsics),
        near_depth=props.near_depth,
        amount=amount,
        easing=easing,
    )


def apply(context: bpy.types.Context, target: bpy.types.Object, reply: PresetReply) -> bpy.types.Object:
    """Key the preset on the shot camera, made if there is none; the scene then looks through it."""
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
    if cam is None or cam.name not in context.scene.objects:
        cam = shot.new_camera(f"{target.name} Camera", target)
        props.camera = cam
    keyframes.clear(cam, keyframes.POSE_PATHS)
    keyframes.clear(cam.data, LENS_PATHS)
    _set_lens(cam.data, intrinsics, props)
    # The keys are in the shot's space; a camera of the user's own may hang elsewhere or nowhere.
    cam.parent = target
    cam.matrix_parent_inverse.identity()
    keyframes.key_poses(cam, axes.blender_from_pose(poses), frame_start=props.frame_start)
    keyframes.set_interpolation(cam, "LINEAR", paths=keyframes.POSE_PATHS)
    _key_source_time(target, source_time)
    context.scene.camera = cam
    context.scene.frame_set(context.scene.frame_current)
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


def _set_lens(lens: bpy.types.Camera, intrinsics: np.ndarray, props: bpy.types.PropertyGroup) -> None:
    camera.match_lens(lens, tuple(intrinsics[0]), width=props.width, height=props.height, near_depth=props.near_depth)
    lenses = [axes.lens_from_intrinsics(tuple(row), width=props.width, height=props.height) for row in intrinsics]
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
