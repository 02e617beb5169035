"""Cameras: one that matches the source, and sampling any Blender camera for the backend."""

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.cameras import Trajectory

from ..work.errors import AddonError
from . import aside, axes, keyframes


def match_lens(
    camera: bpy.types.Camera,
    intrinsics: tuple[float, float, float, float],  # fx, fy, cx, cy in pixels
    *,
    width: int,
    height: int,
) -> None:
    """Give ``camera`` the clip's lens."""
    lens = axes.lens_from_intrinsics(intrinsics, width=width, height=height)
    camera.type = "PERSP"
    camera.sensor_fit = "HORIZONTAL"
    camera.sensor_width = lens.sensor_width_mm
    camera.lens_unit = "MILLIMETERS"
    camera.lens = lens.lens_mm
    camera.shift_x = lens.shift_x
    camera.shift_y = lens.shift_y


def start_lens(camera: bpy.types.Camera, *, near_depth: float) -> None:
    """What a new camera of a shot begins with: it sees from well before the scene to behind the mesh's border."""
    camera.clip_start = max(near_depth * 0.01, 1e-3)
    camera.clip_end = 1000.0


def key_lens(camera: bpy.types.Camera, move: Trajectory, *, frame_start: int) -> None:
    """Give ``camera`` the lens of a move, keyed on every frame where it changes."""
    width, height = move.width, move.height  # in whose pixels the intrinsics are
    rows = [tuple(row) for row in move.intrinsics]
    match_lens(camera, rows[0], width=width, height=height)
    lenses = [axes.lens_from_intrinsics(row, width=width, height=height) for row in rows]
    for name, path in (("lens_mm", "lens"), ("shift_x", "shift_x"), ("shift_y", "shift_y")):
        values = np.array([getattr(lens, name) for lens in lenses])
        keyframes.key_values(camera, path, values, frame_start=frame_start)


def render_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """Width and height in pixels that a render of ``scene`` has."""
    render = scene.render
    share = render.resolution_percentage
    return max(int(render.resolution_x * share / 100), 1), max(int(render.resolution_y * share / 100), 1)


def sample(context: bpy.types.Context, shot: bpy.types.Object, camera: bpy.types.Object) -> Trajectory:
    """Evaluate ``camera`` on every frame of ``shot``: constraints, parents, drivers and animated lens included.

    The move is in the shot's space and in pixels of the scene's picture. It does not matter whether camera and shot are
    hidden. Frame, subframe and the scene's camera are restored. Raises AddonError for a camera without perspective,
    with NaN, or not rigid.
    """
    require_perspective(camera)
    scene = context.scene
    props = shot.ex4d
    views: list[View] = []
    with aside.evaluated(scene, shot, camera), aside.at_own_frame(scene):
        for index in range(props.num_frames):
            scene.frame_set(props.frame_start + index)
            views.append(at(context.evaluated_depsgraph_get(), scene, shot, camera, index=index))
    return stacked(views, *render_size(scene), camera.name)


@dataclass(frozen=True)
class View:
    """One camera of a move."""

    world_from_camera: Float64  # [4, 4]
    intrinsics: tuple[float, float, float, float]
    source_time: float


def stacked(views: Sequence[View], width: int, height: int, name: str) -> Trajectory:
    """The cameras of all frames as a move. Raises TrajectoryError or ShapeError for one that cannot be sent."""
    return Trajectory(
        np.stack([view.world_from_camera for view in views]),
        np.array([view.intrinsics for view in views]),
        np.array([view.source_time for view in views]),
        width,
        height,
        name,
    )


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
    frame, shown = shot.ex4d.frame_start + index, shot.evaluated_get(depsgraph)
    pose = axes.pose_from_blender(
        np.array(camera.evaluated_get(depsgraph).matrix_world, np.float64),
        np.array(shown.matrix_world, np.float64),
        what=f"Camera '{camera.name}' at frame {frame}",
    )
    time = np.clip(shown.ex4d.source_time, 0, shown.ex4d.num_frames - 1) if shown.ex4d.use_source_time else index
    return View(pose, lens_at(depsgraph, Picture.of(scene), camera, frame), float(time))


def require_perspective(camera: bpy.types.Object) -> None:
    """Raise AddonError for a camera of another type."""
    if camera.data.type != "PERSP":
        raise AddonError(
            f"Camera '{camera.name}' is {camera.data.type.lower()}; set its type to Perspective for a move."
        )


@dataclass(frozen=True)
class Picture:
    """What a camera's lens fills: pixels, and how wide and high each is."""

    width: int
    height: int
    pixel_width: float = 1.0
    pixel_height: float = 1.0

    @classmethod
    def of(cls, scene: bpy.types.Scene) -> "Picture":
        """A render of ``scene``."""
        return cls(*render_size(scene), scene.render.pixel_aspect_x, scene.render.pixel_aspect_y)


def lens_at(
    depsgraph: bpy.types.Depsgraph, picture: Picture, camera: bpy.types.Object, frame: int
) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in pixels of ``picture``. Raises AddonError, naming ``frame``, for a lens that is not finite."""
    width, height = picture.width, picture.height
    projection = camera.evaluated_get(depsgraph).calc_matrix_camera(
        depsgraph, x=width, y=height, scale_x=picture.pixel_width, scale_y=picture.pixel_height
    )
    intrinsics = axes.intrinsics_from_projection(np.array(projection, np.float64), width=width, height=height)
    if not np.isfinite(intrinsics).all():
        raise AddonError(f"Camera '{camera.name}' has a lens that is not finite at frame {frame}; check its lens keys.")
    return intrinsics
