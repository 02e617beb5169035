"""What may be known of a clip besides its depth: how its camera moved, and how thick the things in it are."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ex4d.types import Clip
from ex4d_ground.arrays import Float32
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import InputError, ShapeError, TrajectoryError

SAME_LENS = 0.02
"""Share by which focal lengths may differ and be one lens."""


def with_source_camera(clip: Clip, camera: Trajectory, *, longer: bool = False) -> Clip:
    """The clip with the motion of the camera that filmed it: one pose per frame, in any world, in the depth's unit.

    A camera ``longer`` than the clip is cut where that is expected, because the clip is the beginning of what it
    filmed. Moves of new cameras stay relative to the source camera of the same moment. A clip whose lens was assumed
    takes the camera's. Raises TrajectoryError for another number of poses, a retimed move or another lens than the
    clip's.
    """
    count = clip.num_frames
    if len(camera) < count or (len(camera) > count and not longer):
        raise TrajectoryError(
            f"The source camera has {len(camera)} poses but the clip {count} frames; give the camera of exactly these "
            "frames."
        )
    if np.abs(camera.source_time - np.arange(len(camera))).max() > 1e-6:
        raise TrajectoryError(
            f"The source camera '{camera.name}' is retimed; give one with a pose for each frame of the clip, in order."
        )
    ours = clip.intrinsics
    focal = camera.intrinsics[:count, 0] * ours.width / camera.width
    if ours.is_assumed and abs(focal[0] / ours.fx - 1) > SAME_LENS:  # else the camera's may be the clip's own
        ours = replace(camera.frame_intrinsics(0).resized(ours.width, ours.height), source=f"given: {camera.name}")
    worst = int(np.argmax(np.abs(focal / ours.fx - 1)))
    if abs(focal[worst] / ours.fx - 1) > SAME_LENS:
        raise TrajectoryError(
            f"The source camera has a focal length of {focal[worst]:.1f} px in frame {worst + 1}, the clip "
            f"{ours.fx:.1f} px; give the clip its lens, or another camera file."
        )
    poses = np.ascontiguousarray(camera.world_from_camera[:count], np.float64)
    return replace(clip, intrinsics=ours, world_from_camera=poses)


def read_thickness_map(path: Path) -> Float32:  # [H, W] or [T, H, W]
    """Read an .npy, or an .npz with the key "thickness" or one array; NaN says nothing of a pixel.

    Raises InputError or ShapeError with the file's name.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            with np.load(path, allow_pickle=False) as archive:
                names = archive.files
                key = "thickness" if "thickness" in names else names[0] if len(names) == 1 else ""
                if not key:
                    raise InputError(f"{path} has no array 'thickness'; it has: {', '.join(names) or 'nothing'}.")
                values = archive[key]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise InputError(f"{path} is no thickness map that can be read (.npy or .npz): {error}.") from error
    if values.ndim not in (2, 3) or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise ShapeError(f"{path} must hold numbers of [H, W] or [T, H, W], got {values.shape} {values.dtype}.")
    return np.ascontiguousarray(values, np.float32)
