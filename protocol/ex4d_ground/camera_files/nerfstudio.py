"""nerfstudio's transforms.json: world_from_camera with OpenGL camera axes (x right, y up, z backward).

Our world (y down, source camera of frame 0) is kept as it is; a ``ex4d`` object beside the standard keys holds the
source times and the name, which other readers ignore.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ex4d_ground.cameras import Trajectory, from_matrices
from ex4d_ground.errors import TrajectoryError
from ex4d_ground.files import atomic_path, frame_name, read_text

_OPENGL_AXES = np.array([1.0, -1.0, -1.0, 1.0])
_PINHOLE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV")
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_KEYS = ("fl_x", "fl_y", "cx", "cy")


def save(path: Path, trajectory: Trajectory) -> None:
    """Write the file; frames name ``images/frame_0001.png`` and so on. Raises OutputError."""
    document: dict[str, Any] = {"camera_model": "PINHOLE", "w": trajectory.width, "h": trajectory.height}
    rows = trajectory.intrinsics
    constant = bool((rows == rows[0]).all())
    if constant:
        document |= dict(zip(_KEYS, rows[0].tolist(), strict=True))
    document["frames"] = [
        {
            "file_path": f"images/{frame_name(i)}",
            "transform_matrix": (w * _OPENGL_AXES).tolist(),
            **({} if constant else dict(zip(_KEYS, rows[i].tolist(), strict=True))),
        }
        for i, w in enumerate(trajectory.world_from_camera)
    ]
    document["ex4d"] = {"name": trajectory.name, "source_time": trajectory.source_time.tolist()}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")


def load(path: Path) -> Trajectory:
    """Read a transforms.json of undistorted pinhole cameras, frames in the file's order.

    Raises TrajectoryError for anything else, naming the frame or key.
    """
    try:
        document = json.loads(read_text(path))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TrajectoryError(f"{path} is not a readable JSON file: {error}.") from error
    frames = document.get("frames") if isinstance(document, dict) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(f, dict) for f in frames):
        raise TrajectoryError(f"{path} has no list of frames; it is not a transforms.json.")
    try:
        return _from_document(path, document, frames)
    except (TypeError, ValueError, KeyError) as error:
        if isinstance(error, TrajectoryError):
            raise
        raise TrajectoryError(f"{path} holds a value of the wrong kind: {error}.") from error


def _from_document(path: Path, document: dict[str, Any], frames: list[dict[str, Any]]) -> Trajectory:
    for i, frame in enumerate(frames):
        _check_pinhole(path, i, {**document, **frame})
        if "transform_matrix" not in frame:
            raise TrajectoryError(f"{path}: frame {i} has no transform_matrix.")
    matrices = np.array([f["transform_matrix"] for f in frames], np.float64)
    if matrices.shape != (len(frames), 4, 4):
        raise TrajectoryError(f"{path}: every transform_matrix must be 4x4, got an array of {matrices.shape}.")
    rows = [_intrinsics(path, i, {**document, **f}) for i, f in enumerate(frames)]
    sizes = {row[4:] for row in rows}
    if len(sizes) != 1:
        raise TrajectoryError(f"{path} mixes picture sizes {sorted(sizes)}; all frames must have one size.")
    extra = document.get("ex4d", {})
    return from_matrices(
        matrices * _OPENGL_AXES,
        intrinsics=np.array([row[:4] for row in rows]),
        size=rows[0][4:],
        source_time=extra.get("source_time"),
        name=str(extra.get("name", path.stem)),
    )


def _check_pinhole(path: Path, i: int, keys: dict[str, Any]) -> None:
    model = "fisheye" if keys.get("is_fisheye") else keys.get("camera_model", "PINHOLE")
    if model not in _PINHOLE_MODELS:
        raise TrajectoryError(
            f"{path}: frame {i} uses the camera model {model}; only pinhole cameras can be used, undistort first."
        )
    bent = [key for key in _DISTORTION if float(keys.get(key) or 0.0) != 0.0]
    if bent:
        raise TrajectoryError(
            f"{path}: frame {i} has lens distortion ({bent[0]} = {keys[bent[0]]}); undistort the footage first."
        )


def _intrinsics(path: Path, i: int, keys: dict[str, Any]) -> tuple[float, float, float, float, int, int]:
    if "w" not in keys or "h" not in keys:
        raise TrajectoryError(f"{path}: frame {i} has no picture size (w, h).")
    width, height = int(keys["w"]), int(keys["h"])
    fx, fy = _focal(keys, "x", width), _focal(keys, "y", height)
    if fx is None:
        raise TrajectoryError(f"{path}: frame {i} has no focal length (fl_x or camera_angle_x).")
    fy = fx if fy is None else fy
    return fx, fy, float(keys.get("cx", width / 2)), float(keys.get("cy", height / 2)), width, height


def _focal(keys: dict[str, Any], axis: str, size: int) -> float | None:
    """Focal length in pixels along "x" or "y", as such or from the angle of view in radians; None if not said."""
    if f"fl_{axis}" in keys:
        return float(keys[f"fl_{axis}"])
    if f"camera_angle_{axis}" in keys:
        return size / 2 / math.tan(float(keys[f"camera_angle_{axis}"]) / 2)
    return None
