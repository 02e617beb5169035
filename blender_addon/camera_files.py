"""Camera moves as files: the project's own .npz, EX-4D's .npz, nerfstudio's transforms.json, COLMAP's text model.

The same layouts as the library's ``ex4d.trajectory.camera_files``, which the add-on must not import.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import axes, camera_colmap, files
from .camera import CameraSamples
from .errors import AddonError

FORMAT, VERSION = "ex4d-blender-camera", 1
EX4D_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""EX-4D saves view matrices (x mirrored against OpenCV's) with rows 0..2 negated: together, half a turn about x."""
NERF_KEYS = ("fl_x", "fl_y", "cx", "cy")


def save(path: Path, move: CameraSamples, *, layout: str) -> None:
    """Write ``move`` as "OURS", "EX4D", "NERFSTUDIO" or "COLMAP" (a folder). Raises AddonError."""
    if layout == "COLMAP":
        camera_colmap.save(path, move)
        return
    if layout == "NERFSTUDIO":
        files.write_whole(path, json.dumps(_nerfstudio(move), indent=1).encode())
        return
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **(_ours(move) if layout == "OURS" else _ex4d(move)))
    files.write_whole(path, buffer.getvalue())


def load(path: Path, *, width: int, height: int) -> CameraSamples:
    """Read a move of any of the layouts; ``width`` and ``height`` are for EX-4D's, which holds none.

    COLMAP's folder may also be named by its cameras.txt or images.txt. Raises AddonError if it is none of them.
    """
    folder = path.parent if path.name in ("cameras.txt", "images.txt", "points3D.txt") else path
    try:
        if folder.is_dir():
            found = camera_colmap.load(folder)
            return _checked(
                found.world_from_camera, found.intrinsics, found.source_time, found.width, found.height, found.name
            )
        if path.suffix.lower() == ".json":
            return _from_nerfstudio(json.loads(path.read_text(encoding="utf-8")), path.stem)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        return _from_arrays(arrays, path.stem, width, height)
    except (OSError, ValueError, KeyError, TypeError, IndexError, StopIteration, EOFError, zipfile.BadZipFile) as error:
        raise AddonError(
            f"{path.name} is not a camera file this add-on reads; use .npz, a nerfstudio transforms.json, "
            "or the folder of a COLMAP text model.",
            str(error),
        ) from error


def _ours(move: CameraSamples) -> dict[str, Any]:
    return {
        "format": np.array(FORMAT),
        "version": np.array(VERSION),
        "name": np.array(move.name),
        "world_from_camera": move.world_from_camera,
        "intrinsics": move.intrinsics,
        "source_time": move.source_time,
        "width": np.array(move.width),
        "height": np.array(move.height),
    }


def _ex4d(move: CameraSamples) -> dict[str, Any]:
    if np.ptp(move.intrinsics, axis=0).max() > 1e-6:
        raise AddonError("EX-4D's camera file holds one lens for the whole move, but this one changes; use .npz.")
    fx, fy, cx, cy = move.intrinsics[0]
    view = np.linalg.inv(move.world_from_camera)
    return {
        "extrinsics": (EX4D_FLIP @ view).astype(np.float32),
        "intrinsics": np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32),
    }


def _nerfstudio(move: CameraSamples) -> dict[str, Any]:
    frames = [
        {
            "file_path": f"images/{files.frame_name(index)}",
            "transform_matrix": (pose @ axes.BLENDER_CAMERA_FLIP).tolist(),
            **dict(zip(NERF_KEYS, lens.tolist(), strict=True)),
        }
        for index, (pose, lens) in enumerate(zip(move.world_from_camera, move.intrinsics, strict=True))
    ]
    return {
        "camera_model": "PINHOLE",
        "w": move.width,
        "h": move.height,
        "frames": frames,
        "ex4d": {"name": move.name, "source_time": move.source_time.tolist()},
    }


def _from_arrays(arrays: dict[str, NDArray[Any]], name: str, width: int, height: int) -> CameraSamples:
    if "world_from_camera" in arrays:
        return _checked(
            arrays["world_from_camera"],
            arrays["intrinsics"],
            arrays["source_time"],
            int(arrays["width"]),
            int(arrays["height"]),
            name,
        )
    views = EX4D_FLIP @ np.asarray(arrays["extrinsics"], np.float64)
    k = np.asarray(arrays["intrinsics"], np.float64)
    count = len(views)
    lenses = np.tile([k[0, 0], k[1, 1], k[0, 2], k[1, 2]], (count, 1))
    return _checked(np.linalg.inv(views), lenses, np.arange(count), width, height, name)


def _from_nerfstudio(document: dict[str, Any], name: str) -> CameraSamples:
    frames = document["frames"]
    poses = np.array([frame["transform_matrix"] for frame in frames], np.float64) @ axes.BLENDER_CAMERA_FLIP
    lenses = np.array([[frame.get(key, document.get(key)) for key in NERF_KEYS] for frame in frames], np.float64)
    times = document.get("ex4d", {}).get("source_time", list(range(len(frames))))
    return _checked(poses, lenses, np.array(times), int(document["w"]), int(document["h"]), name)


def _checked(poses: Any, lenses: Any, times: Any, width: int, height: int, name: str) -> CameraSamples:
    poses, lenses, times = (np.asarray(values, np.float64) for values in (poses, lenses, times))
    count = len(poses)
    if not count or poses.shape != (count, 4, 4) or lenses.shape != (count, 4) or times.shape != (count,):
        raise ValueError(f"poses {poses.shape}, lenses {lenses.shape}, times {times.shape}")
    rigid = np.stack([axes.rigid(pose, what=f"Frame {index + 1} of {name}") for index, pose in enumerate(poses)])
    return CameraSamples(rigid, lenses, times, width=width, height=height, name=name)
