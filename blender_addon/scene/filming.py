"""Where the filming camera comes from: any animated Blender camera, or a camera file, brought to the clip's frames,
size and unit of depth."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ex4d_ground.arrays import Float64
from ex4d_ground.camera_files import load_camera
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.poses import inverse
from ex4d_ground.scale_fit import ScaleFit
from ex4d_ground.source_camera import CameraOrigin, SourceCamera
from ex4d_ground.takes import source_camera_from

from ..work.errors import AddonError
from . import aside, axes, cameras, keyframes, matchmove

_SHAPE_OFF = 0.01
"""Pictures whose sides differ by more than this share in their ratio are not the same ones at another size."""


@dataclass(frozen=True)
class Filming:
    """A filming camera with a pose for each frame of a shot's clip, at its size and in its depth's unit."""

    camera: SourceCamera
    note: str
    """Where it comes from and how far it can be relied on, in a sentence."""
    warnings: tuple[str, ...] = ()
    stood: Float64 | None = None  # [4, 4]
    """Where the camera stood at the first frame in Blender's world, if it is one of the scene."""
    scale: float = 1.0
    """What its lengths were multiplied with."""


def of_camera(
    context: bpy.types.Context, shot: bpy.types.Object, camera: bpy.types.Object, *, scale: float = 0.0
) -> Filming:
    """``camera`` as Blender evaluates it on every frame of the clip, whatever moves it.

    ``scale`` is units of the clip's depth in one of the camera's; 0 takes it from the tracked points if a solve drives
    the camera, and else the scene's own lengths. Raises AddonError for a camera that cannot be sent, or a solve that
    lacks frames; SettingError if the points do not agree on a scale.
    """
    cameras.require_perspective(camera)
    props = shot.ex4d
    solve = matchmove.solve_of(context.scene, camera)
    warnings: list[str] = []
    if solve is not None:
        matchmove.require_all_solved(solve, range(props.frame_start, props.frame_start + props.num_frames))
        warnings += matchmove.lens_notes(solve, camera)
    worlds, poses, lenses = _evaluated(context, shot, camera)
    fit = matchmove.fit(solve, shot, worlds, inverse(poses)) if solve is not None and not scale else None
    factor = scale or (fit.scale if fit is not None else 1.0)
    origin: CameraOrigin = "given" if solve is None else "tracked"
    found = SourceCamera.of(poses, lenses, size=(props.width, props.height), origin=origin).scaled(factor)
    hangs = _hangs_from(camera, shot)
    note = " ".join((camera_words(camera), scale_words(scale, fit)))
    return Filming(found, note, tuple(warnings), None if hangs else worlds[0], factor)


def of_file(shot: bpy.types.Object, path: Path, *, scale: float = 0.0) -> Filming:
    """The cameras of a file, one for each frame of the clip; ``scale`` as above, 0 being 1.

    Raises TrajectoryError for a file that cannot be read, AddonError for one of another length or picture.
    """
    props = shot.ex4d
    size = (props.width, props.height)
    notes: list[str] = []
    fx, fy, cx, cy = props.intrinsics
    lens = Intrinsics(fx, fy, cx, cy, *size)
    found = SourceCamera.of_trajectory(
        load_camera(path, size=size, lens=lens, on_note=notes.append, whole=props.num_frames)
    )
    if len(found) < props.num_frames:
        raise AddonError(
            f"{path.name} has {len(found)} cameras, the shot's clip has {props.num_frames} frames; give one with a "
            "camera for every frame."
        )
    if abs(found.width / found.height * props.height / props.width - 1) > _SHAPE_OFF:
        raise AddonError(
            f"{path.name} is for pictures of {found.width} x {found.height}, the clip's are {props.width} x "
            f"{props.height}; give one for pictures of the same shape."
        )
    camera = found.first(props.num_frames).resized(*size).scaled(scale or 1.0)
    note = " ".join((file_words(path, len(found), props.num_frames), scale_words(scale, None)))
    return Filming(camera, note, tuple(f"{each}." for each in notes))


def of_depth(shot: bpy.types.Object, path: Path) -> Filming:
    """What estimated the shot's depth says of the camera, kept at ``path``: at the depth's size, with the clip's lens.

    Raises TrajectoryError if the file is gone, AddonError for one of another length.
    """
    props = shot.ex4d
    found = SourceCamera.of_trajectory(load_camera(path), origin="estimated")
    if len(found) != props.num_frames:
        raise AddonError(
            f"{path.name} has {len(found)} cameras for a clip of {props.num_frames} frames; import the clip again."
        )
    return Filming(found.resized(props.width, props.height), depth_words(props.depth_estimator))


def of_estimate(shot: bpy.types.Object, info: dict[str, Any]) -> Filming:
    """What the backend's ``camera_info`` says of the camera. Raises AddonError, with its reason, if it found none."""
    record = info.get("camera")
    if not info.get("solved") or record is None:
        raise AddonError(str(info.get("failure") or "The backend found no camera for this clip; give one."))
    props = shot.ex4d
    camera = source_camera_from(record)
    if len(camera) != props.num_frames:
        raise AddonError(
            f"The backend sent {len(camera)} cameras for a clip of {props.num_frames} frames; import the clip again."
        )
    lost = [int(t) + 1 for t in info.get("lost", ())]
    warnings = (lost_words(lost),) if lost else ()
    told = (str(note) for note in info.get("notes", ()))
    return Filming(camera.resized(props.width, props.height), " ".join((estimate_words(), *told)), warnings)


def lost_words(frames: list[int]) -> str:
    """What is wrong with an estimate's path at these frames."""
    return f"{len(frames)} frames, first frame {frames[0]}, show too little and keep the pose of the one before."


def estimate_words() -> str:
    """Where a filming camera comes from."""
    return "Estimated from pictures and depth."


def depth_words(estimator: str) -> str:
    """Where a filming camera comes from."""
    return f"From the depth's estimator, {estimator}."


def camera_words(camera: bpy.types.Object) -> str:
    """Where a filming camera comes from."""
    return f"From the camera '{camera.name}'."


def file_words(path: Path, held: int, used: int) -> str:
    """Where a filming camera comes from."""
    return f"From the file {path.name}." if held == used else f"From the first {used} of {held} cameras of {path.name}."


def scale_words(stated: float, fit: ScaleFit | None) -> str:
    """What the lengths of a filming camera's path rest on."""
    if stated:
        return f"Its scale {stated:.4g} is as stated."
    if fit is not None:
        return f"Its scale {fit.scale:.4g} is by {fit.agree} of {fit.points} tracked points ({fit.deviation:.1%} off)."
    return "Its lengths are taken as they are."


def stand_there(shot: bpy.types.Object, filming: Filming) -> str:
    """Put the shot where its filming camera stood, as large as that makes it, so that both worlds are one.

    Returns what there is to say: why it could not be done, "" if it was.
    """
    if filming.stood is None:
        return ""
    paths = ("location", "rotation_euler", "rotation_quaternion", "scale")
    if any(keyframes.varies(shot, path) for path in paths) or shot.constraints or shot.parent is not None:
        return f"Shot '{shot.name}' is moved by keys, constraints or a parent, so it stays where it is."
    place, turn, _ = Matrix((filming.stood @ axes.BLENDER_CAMERA_FLIP).tolist()).decompose()
    shot.ex4d.scene_scale /= filming.scale
    shot.matrix_world = Matrix.LocRotScale(place, turn, (shot.ex4d.scene_scale,) * 3)
    return ""


def _hangs_from(obj: bpy.types.Object, shot: bpy.types.Object) -> bool:
    above = obj.parent
    while above is not None and above != shot:
        above = above.parent
    return above is not None


def _evaluated(
    context: bpy.types.Context, shot: bpy.types.Object, camera: bpy.types.Object
) -> tuple[Float64, Float64, Float64]:  # [T, 4, 4], [T, 4, 4], [T, 4]
    """Blender's matrices, poses in the shot's space, and lenses in the clip's pixels, on every frame of the clip."""
    scene, props = context.scene, shot.ex4d
    aspect = props.pixel_aspect
    picture = cameras.Picture(props.width, props.height, max(1 / aspect, 1.0), max(aspect, 1.0))
    worlds: list[Float64] = []
    poses: list[Float64] = []
    lenses: list[tuple[float, float, float, float]] = []
    with aside.evaluated(scene, shot, camera), aside.at_own_frame(scene):
        for frame in range(props.frame_start, props.frame_start + props.num_frames):
            scene.frame_set(frame)
            depsgraph = context.evaluated_depsgraph_get()
            worlds.append(np.array(camera.evaluated_get(depsgraph).matrix_world, np.float64))
            here = np.array(shot.evaluated_get(depsgraph).matrix_world, np.float64)
            poses.append(axes.pose_from_blender(worlds[-1], here, what=f"Camera '{camera.name}' at frame {frame}"))
            lenses.append(cameras.lens_at(depsgraph, picture, camera, frame))
    return np.stack(worlds), np.stack(poses), np.array(lenses)
