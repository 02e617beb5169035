"""nerfstudio's transforms.json: world_from_camera with OpenGL camera axes (x right, y up, z backward).

Our world (y down, source camera of frame 0) is kept as it is; a ``ex4d`` object beside the standard keys holds the
source times and the name, which other readers ignore.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ex4d_ground.camera_files.axes import SOURCE, WORLD, CameraFile, named_axes
from ex4d_ground.camera_files.pictures import check_pictures
from ex4d_ground.cameras import Trajectory, from_matrices
from ex4d_ground.errors import TrajectoryError, in_brief
from ex4d_ground.files import atomic_path, frame_name, read_text
from ex4d_ground.parsing import parse_json
from ex4d_ground.sequences import natural_key

_OPENGL_AXES = np.array([1.0, -1.0, -1.0, 1.0])
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_KEYS = ("fl_x", "fl_y", "cx", "cy")
_NOT_FLAT = ("EQUIRECT", "PANORAMA", "SPHERICAL", "OMNIDIRECTIONAL", "VR180", "ORTHO")
"""What the names of camera models hold that project onto something else than a plane, or without perspective."""


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
    times = trajectory.source_time.tolist()
    document["ex4d"] = {"name": trajectory.name, "source_time": times, "axes": WORLD}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")


def load(path: Path, size: tuple[int, int] | None, note: Callable[[str], None], whole: int | None = None) -> CameraFile:
    """Read a transforms.json, frames in the order of the numbers in their ``file_path``, where all have one.

    ``size`` (width, height) is for files that say none; ``whole`` as in
    :func:`~ex4d_ground.camera_files.pictures.check_pictures`. Raises TrajectoryError naming the frame or key.
    """
    try:
        document = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise TrajectoryError(f"{path} is not a readable JSON file: {in_brief(error)}.") from error
    frames = document.get("frames") if isinstance(document, dict) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(f, dict) for f in frames):
        raise TrajectoryError(f"{path} has no list of frames; it is not a transforms.json.")
    if size is not None and (document.get("w") is None or document.get("h") is None):
        document |= {"w": size[0], "h": size[1]}
    return _from_document(path, document, frames, note, whole)


def _from_document(
    path: Path, document: dict[str, Any], frames: list[dict[str, Any]], note: Callable[[str], None], whole: int | None
) -> CameraFile:
    order = _order(frames)
    frames = [frames[i] for i in order]
    if _has_names(frames):
        check_pictures(path, [frame["file_path"] for frame in frames], note, whole)
    _require_flat(path, [document, *frames])
    bent = {_distortion({**document, **frame}) for frame in frames} - {""}
    if bent:
        note(f"The lens in {path} bends lines ({min(bent)}): its focal length and centre are used, not its distortion")
    for i, frame in enumerate(frames):
        if "transform_matrix" not in frame:
            raise TrajectoryError(f"{path}: {_name(i, frame)} has no transform_matrix.")
    matrices = np.array([f["transform_matrix"] for f in frames], np.float64)
    if matrices.shape not in ((len(frames), 4, 4), (len(frames), 3, 4)):
        raise TrajectoryError(f"{path}: every transform_matrix must be 4x4, got an array of {matrices.shape}.")
    rows = [_intrinsics(path, _name(i, f), {**document, **f}) for i, f in enumerate(frames)]
    sizes = {row[4:] for row in rows}
    if len(sizes) != 1:
        raise TrajectoryError(f"{path} mixes picture sizes {sorted(sizes)}; all frames must have one size.")
    extra = document.get("ex4d", {})
    times = extra.get("source_time")
    move = from_matrices(
        matrices[:, :4] * _OPENGL_AXES,
        intrinsics=np.array([row[:4] for row in rows]),
        size=rows[0][4:],
        source_time=None if times is None else [times[i] for i in order],
        name=str(extra.get("name", path.stem)),
    )
    return CameraFile(move, named_axes(extra.get("axes", SOURCE)) if extra else WORLD)


def _order(frames: list[dict[str, Any]]) -> list[int]:
    """Places of the frames in the order of their pictures, as the file itself has them where some name none."""
    if not _has_names(frames):
        return list(range(len(frames)))
    paths = [frame["file_path"] for frame in frames]
    names = [str(path).replace("\\", "/").rpartition("/")[2] for path in paths]
    keys = names if len(set(names)) == len(names) else [str(path) for path in paths]
    return sorted(range(len(frames)), key=lambda i: natural_key(keys[i]))


def _has_names(frames: list[dict[str, Any]]) -> bool:
    """Whether each frame names a picture of its own."""
    paths = [frame.get("file_path") for frame in frames]
    return all(isinstance(path, str) and path for path in paths) and len(set(paths)) == len(paths)


def _require_flat(path: Path, holders: list[dict[str, Any]]) -> None:
    """Refuse camera models whose pictures are no perspective of a plane. Raises TrajectoryError."""
    for model in (str(keys.get("camera_model", "")) for keys in holders):
        if any(word in model.upper() for word in _NOT_FLAT):
            raise TrajectoryError(
                f"{path}: its cameras are {model}, not perspective ones; only such can be drawn with."
            )


def _name(i: int, frame: dict[str, Any]) -> str:
    picture = frame.get("file_path")
    return f"frame {i + 1}" + (f" ({picture})" if isinstance(picture, str) else "")


def _distortion(keys: dict[str, Any]) -> str:
    """What is not a pinhole about a frame's lens, "" if it is one."""
    model = str(keys.get("camera_model", ""))
    if keys.get("is_fisheye") or "FISHEYE" in model.upper():
        return model or "fisheye"
    return next((f"{key} = {keys[key]}" for key in _DISTORTION if float(keys.get(key) or 0.0) != 0.0), "")


def _intrinsics(path: Path, name: str, keys: dict[str, Any]) -> tuple[float, float, float, float, int, int]:
    if keys.get("w") is None or keys.get("h") is None:
        raise TrajectoryError(f"{path}: {name} has no picture size (w, h).")
    width, height = int(keys["w"]), int(keys["h"])
    fx, fy = _focal(keys, "x", width), _focal(keys, "y", height)
    if fx is None:
        raise TrajectoryError(f"{path}: {name} has no focal length (fl_x or camera_angle_x).")
    fy = fx if fy is None else fy
    return fx, fy, float(keys.get("cx", width / 2)), float(keys.get("cy", height / 2)), width, height


def _focal(keys: dict[str, Any], axis: str, size: int) -> float | None:
    """Focal length in pixels along "x" or "y", as such or from the angle of view in radians; None if not said."""
    if f"fl_{axis}" in keys:
        return float(keys[f"fl_{axis}"])
    if f"camera_angle_{axis}" in keys:
        return size / 2 / math.tan(float(keys[f"camera_angle_{axis}"]) / 2)
    return None
