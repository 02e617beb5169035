"""Blender's own tracker: a camera that its solver drives, and how large its path is beside the clip's depth.

A solve has no unit. Its tracked points have a place in its world and one in each picture, where the shot's mesh says
how far away they are: the scale is that by which both agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import bpy
import numpy as np

from ex4d_ground.arrays import Float32, Float64, Int64
from ex4d_ground.scale_fit import ScaleFit, fit_scale

from ..work import files, pc2
from ..work.errors import AddonError
from . import shot as shots

_STEEP = 1.1
"""Where depth beside a point differs by more, the point lies on an edge and its depth may be another thing's."""


@dataclass(frozen=True)
class Solve:
    """A solved camera of the Movie Clip editor. Holds Blender's data: not to be kept."""

    clip: bpy.types.MovieClip
    tracked: bpy.types.MovieTrackingObject
    """The camera's tracks and its reconstruction."""

    def clip_frame(self, scene_frame: int) -> int:
        """The clip's frame that a scene's frame shows."""
        return scene_frame - self.clip.frame_start + 1

    def matrix(self, scene_frame: int) -> Float64 | None:  # [4, 4] in the solve's world
        """The solved camera (Blender's axes) at a scene's frame; None where it is not solved."""
        found = self.tracked.reconstruction.cameras.find_frame(frame=self.clip_frame(scene_frame))
        return None if found is None else np.array(found.matrix, np.float64)


def solve_of(scene: bpy.types.Scene, camera: bpy.types.Object) -> Solve | None:
    """The solve that drives ``camera`` by a Camera Solver constraint; None if none does.

    Raises AddonError if there is such a constraint and its clip is missing or not solved.
    """
    constraint = next((each for each in camera.constraints if each.type == "CAMERA_SOLVER" and not each.mute), None)
    if constraint is None:
        return None
    clip = scene.active_clip if constraint.use_active_clip else constraint.clip
    if clip is None:
        raise AddonError(f"The Camera Solver of '{camera.name}' has no movie clip; choose one in the constraint.")
    tracked = next(each for each in clip.tracking.objects if each.is_camera)
    if not tracked.reconstruction.is_valid:
        raise AddonError(
            f"The movie clip '{clip.name}' that '{camera.name}' follows is not solved; press Solve Camera Motion in "
            "the Movie Clip editor."
        )
    return Solve(clip, tracked)


def require_all_solved(solve: Solve, frames: range) -> None:
    """Raise AddonError, naming the first one, if the solve has no camera at one of the scene's ``frames``."""
    missing = [frame for frame in frames if solve.matrix(frame) is None]
    if missing:
        raise AddonError(
            f"The solve of '{solve.clip.name}' has no camera at {len(missing)} of the shot's {len(frames)} frames, "
            f"first at scene frame {missing[0]}; track on to there and solve again, or import fewer frames."
        )


def lens_notes(solve: Solve, camera: bpy.types.Object) -> Iterator[str]:
    """What of the solve's lens the camera does not have, in sentences."""
    lens, own = solve.clip.tracking.camera, camera.data
    if abs(own.lens / own.sensor_width * lens.sensor_width / lens.focal_length - 1) > 0.005:
        yield (
            f"The solve found a lens of {lens.focal_length:.1f} mm on a sensor of {lens.sensor_width:.1f} mm; that of "
            f"'{camera.name}' is used, {own.lens:.1f} mm on {own.sensor_width:.1f} mm."
        )
    if any(abs(getattr(lens, name)) > 1e-4 for name in ("k1", "k2", "k3")):
        yield "The solve's lens bends lines, which shots do not; undistort the clip for an exact match."


def fit(
    solve: Solve,
    shot: bpy.types.Object,
    cameras_in_world: Float64,  # [T, 4, 4] Blender's matrices of the camera, as evaluated
    camera_from_world: Float64,  # [T, 4, 4] OpenCV axes, lengths of the shot's space
) -> ScaleFit | None:
    """How large the path is beside the depth, by the tracked points; None if there are none.

    Raises SettingError if the points do not agree.
    """
    tracks = [track for track in solve.tracked.tracks if track.has_bundle]
    if not tracks:
        return None
    bundles = np.array([[*track.bundle, 1.0] for track in tracks])
    depths = pc2.read_pc2(shots.folder_of(shot) / files.CACHE_FILE)
    grid = shots.grid_of(shot)
    solved: list[Float64] = []
    seen: list[Float64] = []
    for t, (world, view) in enumerate(zip(cameras_in_world, camera_from_world, strict=True)):
        frame = shot.ex4d.frame_start + t
        which, where = _markers(tracks, solve.clip_frame(frame))
        matrix = solve.matrix(frame)
        if not len(which) or matrix is None:
            continue
        placed = np.linalg.inv(np.array(shot.matrix_world)) @ world @ np.linalg.inv(matrix) @ bundles[which].T
        picture = depths[t, :, 2].reshape(grid.height, grid.width)
        seen.append(_depth_at(picture, grid.columns, grid.rows, where * (shot.ex4d.width, shot.ex4d.height)))
        solved.append((view @ placed)[2])
    return fit_scale(np.concatenate(solved), np.concatenate(seen)) if solved else None


def _markers(tracks: list[bpy.types.MovieTrackingTrack], frame: int) -> tuple[Int64, Float64]:  # [M], [M, 2]
    """Which tracks are seen at the clip's frame, and where: shares of the picture from its top left corner."""
    which: list[int] = []
    where: list[tuple[float, float]] = []
    for index, track in enumerate(tracks):
        marker = track.markers.find_frame(frame, exact=True)
        if marker is not None and not marker.mute:
            which.append(index)
            where.append((marker.co[0], 1 - marker.co[1]))
    return np.array(which, np.int64), np.array(where, np.float64).reshape(-1, 2)


def _depth_at(depth: Float32, columns: Int64, rows: Int64, pixels: Float64) -> Float64:  # [H, W], ..., [M, 2] -> [M]
    """Depth at continuous pixels; NaN outside, at the mesh's border and where it is steep."""
    i, j = (_nearest(lines, at) for lines, at in ((rows, pixels[:, 1]), (columns, pixels[:, 0])))
    height, width = depth.shape
    inside = (i >= 2) & (i < height - 2) & (j >= 2) & (j < width - 2)
    i, j = np.clip(i, 1, height - 2), np.clip(j, 1, width - 2)
    around = np.stack([depth[i + di, j + dj] for di in (-1, 0, 1) for dj in (-1, 0, 1)])
    flat = around.max(axis=0) <= _STEEP * around.min(axis=0)
    return np.where(inside & flat, depth[i, j], np.nan).astype(np.float64)


def _nearest(lines: Int64, at: Float64) -> Int64:  # [L] pixels, [M] continuous -> [M]
    return np.abs(lines[None] + 0.5 - at[:, None]).argmin(axis=1)
