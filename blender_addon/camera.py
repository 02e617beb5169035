"""Cameras: one that matches the source, and sampling any Blender camera for the backend."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

from . import axes
from .errors import AddonError

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class CameraSamples:
    """A camera move as the backend takes it (OpenCV axes, world = the shot's space, pixels of ``width x height``)."""

    world_from_camera: Float64  # [N, 4, 4]
    intrinsics: Float64  # [N, 4] fx, fy, cx, cy
    source_time: Float64  # [N] source frames, 0-based
    width: int
    height: int
    name: str


def match_lens(
    camera: bpy.types.Camera,
    intrinsics: tuple[float, float, float, float],  # fx, fy, cx, cy in pixels
    *,
    width: int,
    height: int,
    near_depth: float,
) -> None:
    """Give ``camera`` the clip's lens. Clipping starts well before the scene and ends behind the mesh's border."""
    lens = axes.lens_from_intrinsics(intrinsics, width=width, height=height)
    camera.type = "PERSP"
    camera.sensor_fit = "HORIZONTAL"
    camera.sensor_width = lens.sensor_width_mm
    camera.lens_unit = "MILLIMETERS"
    camera.lens = lens.lens_mm
    camera.shift_x = lens.shift_x
    camera.shift_y = lens.shift_y
    camera.clip_start = max(near_depth * 0.01, 1e-3)
    camera.clip_end = 1000.0


def render_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """Width and height in pixels that a render of ``scene`` has."""
    render = scene.render
    share = render.resolution_percentage
    return max(int(render.resolution_x * share / 100), 1), max(int(render.resolution_y * share / 100), 1)


def sample(context: bpy.types.Context, shot: bpy.types.Object, camera: bpy.types.Object) -> CameraSamples:
    """Evaluate ``camera`` on every frame of ``shot``: constraints, parents, drivers and animated lens included.

    Frame and subframe are restored. Raises AddonError for a camera without perspective, with NaN, or not rigid.
    """
    require_perspective(camera)
    scene = context.scene
    props = shot.ex4d
    before = scene.frame_current, scene.frame_subframe
    poses, lenses, times = [], [], []
    try:
        for index in range(props.num_frames):
            scene.frame_set(props.frame_start + index)
            view = at(context.evaluated_depsgraph_get(), scene, shot, camera, index=index)
            poses.append(view.world_from_camera)
            lenses.append(view.intrinsics)
            times.append(view.source_time)
    finally:
        scene.frame_set(before[0], subframe=before[1])
    width, height = render_size(scene)
    return CameraSamples(
        np.stack(poses), np.array(lenses), np.array(times), width=width, height=height, name=camera.name
    )


@dataclass(frozen=True)
class View:
    """One camera of a move."""

    world_from_camera: Float64  # [4, 4]
    intrinsics: tuple[float, float, float, float]
    source_time: float


def at(
    depsgraph: bpy.types.Depsgraph,
    scene: bpy.types.Scene,
    shot: bpy.types.Object,
    camera: bpy.types.Object,
    *,
    index: int,
) -> View:
    """The camera as ``depsgraph`` has it, which is at frame ``index`` of the shot; size and aspect are ``scene``'s.

    Raises AddonError for a transform or lens that cannot be sent.
    """
    frame = shot.ex4d.frame_start + index
    return View(
        _pose(depsgraph, shot, camera, frame),
        _intrinsics(depsgraph, scene, camera, frame),
        _source_time(depsgraph, shot, index),
    )


def require_perspective(camera: bpy.types.Object) -> None:
    """Raise AddonError for a camera of another type."""
    if camera.data.type != "PERSP":
        raise AddonError(
            f"Camera '{camera.name}' is {camera.data.type.lower()}; set its type to Perspective for a move."
        )


def _pose(depsgraph: bpy.types.Depsgraph, shot: bpy.types.Object, camera: bpy.types.Object, frame: int) -> Float64:
    return axes.pose_from_blender(
        np.array(camera.evaluated_get(depsgraph).matrix_world, np.float64),
        np.array(shot.evaluated_get(depsgraph).matrix_world, np.float64),
        what=f"Camera '{camera.name}' at frame {frame}",
    )


def _intrinsics(
    depsgraph: bpy.types.Depsgraph, scene: bpy.types.Scene, camera: bpy.types.Object, frame: int
) -> tuple[float, float, float, float]:
    width, height = render_size(scene)
    projection = camera.evaluated_get(depsgraph).calc_matrix_camera(
        depsgraph,
        x=width,
        y=height,
        scale_x=scene.render.pixel_aspect_x,
        scale_y=scene.render.pixel_aspect_y,
    )
    found = axes.intrinsics_from_projection(np.array(projection, np.float64), width=width, height=height)
    if not np.isfinite(found).all():
        raise AddonError(f"Camera '{camera.name}' has a lens that is not finite at frame {frame}; check its lens keys.")
    return found


def _source_time(depsgraph: bpy.types.Depsgraph, shot: bpy.types.Object, index: int) -> float:
    props = shot.evaluated_get(depsgraph).ex4d
    if not props.use_source_time:
        return float(index)
    return float(np.clip(props.source_time, 0, props.num_frames - 1))
