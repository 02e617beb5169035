"""The source rig: an Empty between a shot and what was filmed, keyed with how the filming camera moved.

The shot's Empty is the steady world, whose axes are those of the filming camera at its first frame (OpenCV's). The mesh
and the source camera hang from the rig and go where that camera went; the shot's own cameras hang from the Empty and
stand still. A shot whose camera stood still, or of which nobody knows, has no rig.

What travels to the backend is the source camera as it was given, to the last bit; the keys show it in single precision
and are checked against it, so that what is drawn is what is seen.
"""

from functools import lru_cache

import bpy
import msgspec
import numpy as np
from mathutils import Matrix

from ex4d_ground.arrays import Float32, Float64
from ex4d_ground.errors import InputError
from ex4d_ground.source_camera import CameraOrigin, SourceCamera
from ex4d_protocol.requests import TrajectorySpec

from ..work.errors import AddonError
from . import cameras, keyframes
from .drivers import Variable, drive

HANDLE_SIZE = 1e-4
"""Length of the axes of a shot's Empty and of its rig: they stand where the camera does, over the footage."""
POSE_PATHS = ("location", "rotation_quaternion")
_ROUNDING = 1e-6
"""How far a key may be from the pose it was made of: single precision, and a quaternion's own rounding."""


class Kept(msgspec.Struct, frozen=True):
    """A source camera as the shot's property holds it."""

    camera: TrajectorySpec
    origin: CameraOrigin


def filmed_by(shot: bpy.types.Object) -> SourceCamera | None:
    """How the camera moved that filmed the shot's clip; None if it stood still or nobody knows. Raises AddonError."""
    text = shot.ex4d.filmed_by
    return _read(text) if text else None


@lru_cache(maxsize=8)
def _read(text: str) -> SourceCamera:
    try:
        kept = msgspec.json.decode(text, type=Kept)
        return SourceCamera.of_trajectory(kept.camera.unpack(), origin=kept.origin)
    except (msgspec.MsgspecError, InputError) as error:
        raise AddonError(
            "How this shot's clip was filmed cannot be read; choose again where the filming camera comes from.",
            str(error),
        ) from error


def as_filmed(shot: bpy.types.Object) -> SourceCamera | None:
    """The same for what is sent: only while the rig shows it. Raises AddonError if it was moved by hand or is gone."""
    camera = filmed_by(shot)
    if camera is None:
        return None
    rig = shot.ex4d.rig
    if rig is None:
        raise AddonError(
            f"The source rig of shot '{shot.name}' was deleted; undo that, or choose again where the filming camera "
            "comes from."
        )
    if not _shows(rig, shot, camera):
        raise AddonError(
            f"The source rig '{rig.name}' was moved by hand and does not show any more how the clip was filmed; undo "
            "that, or take the camera that hangs from it by From Camera."
        )
    return camera


def lens_of(shot: bpy.types.Object) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy of the clip's first frame in pixels: the source camera's if there is one."""
    camera = filmed_by(shot)
    fx, fy, cx, cy = (float(value) for value in (shot.ex4d.intrinsics if camera is None else camera.intrinsics[0]))
    return fx, fy, cx, cy


def put(shot: bpy.types.Object, camera: SourceCamera, collection: bpy.types.Collection) -> bpy.types.Object:
    """Have what was filmed go where ``camera`` went, which has a pose for every frame of the clip, at its size.

    An earlier rig is keyed anew. What an artist hung from it stays there. Raises AddonError for a mesh that is gone.
    """
    props = shot.ex4d
    if props.mesh is None or props.source_camera is None:
        raise AddonError(f"Shot '{shot.name}' has lost its mesh or its source camera; import the clip again.")
    rig = props.rig
    if rig is None:
        rig = bpy.data.objects.new(f"{shot.name} Source Rig", None)
        rig.empty_display_type, rig.empty_display_size = "PLAIN_AXES", HANDLE_SIZE
        rig.parent = shot
        collection.objects.link(rig)
        props.rig = rig
    unfollow(shot)
    keyframes.clear(rig, POSE_PATHS)
    keyframes.clear(props.source_camera.data, keyframes.LENS_PATHS)
    keyframes.key_quaternions(rig, camera.world_from_camera, frame_start=props.frame_start)
    keyframes.set_interpolation(rig, "LINEAR", paths=POSE_PATHS)
    cameras.key_lens(props.source_camera.data, camera.as_trajectory(), frame_start=props.frame_start)
    keyframes.set_interpolation(props.source_camera.data, "LINEAR", paths=keyframes.LENS_PATHS)
    for obj in (props.mesh, props.source_camera):
        if obj.parent == shot:
            obj.parent = rig
    props.filmed_by = msgspec.json.encode(Kept(TrajectorySpec.pack(camera.as_trajectory()), camera.origin)).decode()
    follow(shot)
    return rig


def take_off(shot: bpy.types.Object) -> None:
    """Have the filming camera stand still again: all of what hung from the rig hangs from the shot's Empty."""
    props = shot.ex4d
    rig = props.rig
    props.filmed_by = ""
    if props.source_camera is not None:
        unfollow(shot)
        lens = props.source_camera.data
        keyframes.clear(lens, keyframes.LENS_PATHS)
        cameras.match_lens(lens, tuple(props.intrinsics), width=props.width, height=props.height)
    if rig is None:
        return
    for child in list(rig.children):
        child.parent = shot
    props.rig = None
    action = rig.animation_data.action if rig.animation_data is not None else None
    bpy.data.objects.remove(rig)
    if action is not None and not action.users:
        bpy.data.actions.remove(action)


def follow(shot: bpy.types.Object) -> None:
    """Have rig and lens show the source frame that the shot shows: its Source Frame where it is retimed.

    A driver's own curve holds the same keys; it maps the source frame to their values and overrules them.
    """
    props = shot.ex4d
    unfollow(shot)
    if props.rig is None or not props.use_source_time:
        return
    frame = f"min(max(floor(time + 0.5), 0), {props.num_frames - 1}) + {props.frame_start}"
    for owner, paths in _keyed(shot):
        for curve in list(keyframes.fcurves(owner)):
            if curve.data_path not in paths:
                continue
            several = curve.data_path in POSE_PATHS
            driven = owner.driver_add(curve.data_path, *((curve.array_index,) if several else ()))
            for modifier in list(driven.modifiers):
                driven.modifiers.remove(modifier)  # it would show the frame's number
            _copy_keys(curve, driven)
            drive(driven, frame, Variable("time", shot, "ex4d.source_time"))


def unfollow(shot: bpy.types.Object) -> None:
    """Have rig and lens play their keys along the timeline."""
    for owner, paths in _keyed(shot):
        for curve in keyframes.drivers_of(owner):
            if curve.data_path in paths:
                several = curve.data_path in POSE_PATHS
                owner.driver_remove(curve.data_path, *((curve.array_index,) if several else ()))


def _keyed(shot: bpy.types.Object) -> list[tuple[bpy.types.ID, tuple[str, ...]]]:
    props = shot.ex4d
    found: list[tuple[bpy.types.ID, tuple[str, ...]]] = []
    if props.rig is not None:
        found.append((props.rig, POSE_PATHS))
    if props.source_camera is not None:
        found.append((props.source_camera.data, keyframes.LENS_PATHS))
    return found


def _copy_keys(curve: bpy.types.FCurve, driven: bpy.types.FCurve) -> None:
    places = _points(curve)
    while len(driven.keyframe_points):
        driven.keyframe_points.remove(driven.keyframe_points[0], fast=True)
    driven.keyframe_points.add(len(places))
    driven.keyframe_points.foreach_set("co", places.ravel())
    for point in driven.keyframe_points:
        point.interpolation = "LINEAR"
    driven.update()


def _points(curve: bpy.types.FCurve) -> Float32:  # [K, 2] frame and value
    values = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", values)
    return values.reshape(-1, 2)


@lru_cache(maxsize=8)
def _values(text: str) -> dict[tuple[str, int], Float64]:  # [T] each
    """What the rig's channels have at every frame; panels ask with every redraw."""
    poses = _read(text).world_from_camera
    turns = keyframes.continuous_quaternions(poses)
    places = {("location", i): poses[:, i, 3].copy() for i in range(3)}
    return places | {("rotation_quaternion", i): turns[:, i].copy() for i in range(4)}


def _shows(rig: bpy.types.Object, shot: bpy.types.Object, camera: SourceCamera) -> bool:
    """Whether the rig's keys are those of ``camera`` and nothing else moves it."""
    still = rig.parent == shot and not rig.constraints and rig.matrix_parent_inverse == Matrix()
    rest = np.allclose(rig.scale, 1) and not any(rig.delta_location)
    wanted = _values(shot.ex4d.filmed_by)
    found = {(curve.data_path, curve.array_index): _points(curve) for curve in keyframes.fcurves(rig)}
    frames = shot.ex4d.frame_start + np.arange(len(camera))
    return (
        still
        and rest
        and wanted.keys() <= found.keys()
        and all(
            len(found[key]) == len(values)
            and np.array_equal(found[key][:, 0], frames)
            and np.abs(found[key][:, 1] - values).max() <= _ROUNDING * max(np.abs(values).max(), 1)
            for key, values in wanted.items()
        )
    )
