"""Keyframes as an artist would set them: ordinary, editable, on Blender's own channels."""

from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ex4d_ground.arrays import Float64
from ex4d_ground.poses import quaternion_from_rotation

POSE_PATHS = ("location", "rotation_euler")
LENS_PATHS = ("lens", "shift_x", "shift_y")
"""Of a camera's data."""


def key_poses(
    obj: bpy.types.Object,
    matrices: Float64,  # [N, 4, 4] local, rigid
    *,
    frame_start: int,
) -> None:
    """Key location and rotation (XYZ Euler, without jumps of a turn) on N frames from ``frame_start``."""
    obj.rotation_mode = "XYZ"
    previous = None
    for index, values in enumerate(matrices):
        matrix = Matrix(values.tolist())
        euler = matrix.to_euler("XYZ", previous) if previous is not None else matrix.to_euler("XYZ")
        previous = euler
        obj.location, obj.rotation_euler = matrix.translation, euler
        for path in POSE_PATHS:
            obj.keyframe_insert(path, frame=frame_start + index)


def key_quaternions(
    obj: bpy.types.Object,
    matrices: Float64,  # [N, 4, 4] local, rigid
    *,
    frame_start: int,
) -> None:
    """Key location and rotation (quaternions, without jumps of their sign) on N frames from ``frame_start``."""
    obj.rotation_mode = "QUATERNION"
    for index, (matrix, turn) in enumerate(zip(matrices, continuous_quaternions(matrices), strict=True)):
        obj.location, obj.rotation_quaternion = matrix[:3, 3], turn
        for path in ("location", "rotation_quaternion"):
            obj.keyframe_insert(path, frame=frame_start + index)


def continuous_quaternions(poses: Float64) -> Float64:  # [N, 4, 4] -> [N, 4] (w, x, y, z)
    """The poses' rotations, each with that of its two signs which is nearer to the one before."""
    turns = np.stack([quaternion_from_rotation(pose[:3, :3]) for pose in poses])
    flips = np.where((turns[1:] * turns[:-1]).sum(axis=1) < 0, -1.0, 1.0)
    turns[1:] *= np.cumprod(flips)[:, None]
    return turns


def key_values(
    owner: bpy.types.ID,
    path: str,
    values: Float64,
    *,
    frame_start: int,  # [N]
) -> None:
    """Key one number per frame; a value that never changes is set without keys."""
    setattr(owner, path, float(values[0]))
    if np.ptp(values) < 1e-9:
        return
    for index, value in enumerate(values):
        setattr(owner, path, float(value))
        owner.keyframe_insert(path, frame=frame_start + index)


def show_only_in(obj: bpy.types.Object, *, frame_start: int, num_frames: int) -> None:
    """Key viewport and render visibility so that ``obj`` exists in its own frames only."""
    for frame, hidden in ((frame_start - 1, True), (frame_start, False), (frame_start + num_frames, True)):
        obj.hide_viewport = obj.hide_render = hidden
        obj.keyframe_insert("hide_viewport", frame=frame)
        obj.keyframe_insert("hide_render", frame=frame)


def set_interpolation(owner: bpy.types.ID, kind: str, *, paths: tuple[str, ...] = ()) -> None:
    """Set "LINEAR", "BEZIER" or "CONSTANT" on all keys of ``owner`` (of ``paths`` only, if given)."""
    for curve in fcurves(owner):
        if not paths or curve.data_path in paths:
            for point in curve.keyframe_points:
                point.interpolation = kind


def clear(owner: bpy.types.ID, paths: tuple[str, ...]) -> None:
    """Remove the animation of ``paths``, and of nothing else."""
    container = _curve_owner(owner)
    for curve in list(container or ()):
        if curve.data_path in paths:
            container.remove(curve)


def has(owner: bpy.types.ID, path: str) -> bool:
    """Whether ``path`` is animated by keys."""
    return any(curve.data_path == path for curve in fcurves(owner))


def varies(owner: bpy.types.ID, path: str) -> bool:
    """Whether ``path`` changes over time, by keys or by a driver."""
    return any(curve.data_path == path for curve in (*fcurves(owner), *drivers_of(owner)))


def drivers_of(owner: bpy.types.ID) -> tuple[bpy.types.FCurve, ...]:
    """The drivers of ``owner``'s properties."""
    return tuple(owner.animation_data.drivers) if owner.animation_data else ()


def fcurves(owner: bpy.types.ID) -> Iterator[bpy.types.FCurve]:
    """The curves of what animates ``owner``, in every Blender version."""
    container = _curve_owner(owner)
    return iter(() if container is None else container)


def _curve_owner(owner: bpy.types.ID) -> Any:
    data = owner.animation_data
    action = data.action if data else None
    if action is None:
        return None
    if not hasattr(data, "action_slot"):  # before 4.4, from where an object and its data may share an action
        return action.fcurves
    slot = data.action_slot
    for layer in action.layers:
        for strip in layer.strips:
            bag = strip.channelbag(slot) if slot is not None else None
            if bag is not None:
                return bag.fcurves
    return None
