"""Cameras as .npz: the project's own file and EX-4D's ``camera_*.npz``."""

import io
import zipfile
from pathlib import Path

import numpy as np

from ex4d_ground.array_files import DAMAGED
from ex4d_ground.camera_files.axes import SOURCE, WORLD, CameraFile, named_axes
from ex4d_ground.cameras import Trajectory, from_matrices
from ex4d_ground.errors import TrajectoryError
from ex4d_ground.files import atomic_path
from ex4d_ground.parsing import parse_json
from ex4d_ground.poses import poses_from_saved, saved_extrinsics
from ex4d_ground.takes import source_camera_from

DEPTH_CAMERA = "camera"
"""Name of the entry of a depth file that says how the camera moved, as the JSON of a take's source camera."""
_FORMAT = "ex4d-blender-camera"
_VERSION = 1
_MAX_UNPACKED = 64 << 20


def save(path: Path, trajectory: Trajectory) -> None:
    """Write our own file, which holds everything of a move. Raises OutputError."""
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            format=np.array(_FORMAT),
            version=np.array(_VERSION),
            axes=np.array(WORLD),
            name=np.array(trajectory.name),
            world_from_camera=trajectory.world_from_camera,
            intrinsics=trajectory.intrinsics,
            source_time=trajectory.source_time,
            width=np.array(trajectory.width),
            height=np.array(trajectory.height),
        )


def save_ex4d(path: Path, trajectory: Trajectory) -> None:
    """EX-4D's layout: float32 ``extrinsics`` [N, 4, 4] and one ``intrinsics`` [3, 3]; no source time, no size."""
    if np.ptp(trajectory.intrinsics, axis=0).max() > 1e-6:
        raise TrajectoryError(
            "EX-4D's camera file holds one lens for the whole move, but this one changes; save as .npz of ours."
        )
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            extrinsics=saved_extrinsics(trajectory.world_from_camera).astype(np.float32),
            intrinsics=trajectory.frame_intrinsics(0).matrix.astype(np.float32),
        )


def load(path: Path, size: tuple[int, int] | None) -> CameraFile:
    """Read our file or EX-4D's, told apart by their arrays. Raises TrajectoryError."""
    try:
        _require_small(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (*DAMAGED, MemoryError) as error:
        if isinstance(error, TrajectoryError):
            raise
        raise TrajectoryError(f"{path} is not a readable .npz camera file; save the camera again.") from error
    if "world_from_camera" in arrays:
        return CameraFile(_read_ours(path, arrays), named_axes(arrays.get("axes", SOURCE)))
    if {"extrinsics", "intrinsics"} <= set(arrays):
        return CameraFile(_read_ex4d(path, arrays, size), SOURCE)
    raise TrajectoryError(
        f"{path} holds neither our cameras (world_from_camera) nor EX-4D's (extrinsics, intrinsics); "
        f"it has: {', '.join(sorted(arrays)) or 'nothing'}."
    )


def load_of_depth(path: Path) -> Trajectory:
    """The camera that a depth file's estimator found. Raises TrajectoryError."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{DEPTH_CAMERA}.npy") as stream:
            text = stream.read(_MAX_UNPACKED + 1)
            if len(text) > _MAX_UNPACKED:
                raise TrajectoryError(f"The camera in {path} is larger than cameras are.")
        record = parse_json(str(np.load(io.BytesIO(text), allow_pickle=False)))
    except (*DAMAGED, MemoryError) as error:
        if isinstance(error, TrajectoryError):
            raise
        raise TrajectoryError(f"The camera in {path} cannot be read; estimate the depth again.") from error
    return source_camera_from(record).as_trajectory(path.stem)


def _require_small(path: Path) -> None:
    """Refuse an archive that would unpack to much more than cameras are. Raises TrajectoryError, zipfile.BadZipFile."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(info.file_size for info in archive.infolist())
    if unpacked > _MAX_UNPACKED:
        raise TrajectoryError(f"{path} unpacks to {unpacked / 2**20:.0f} MiB, which is more than cameras take.")


def _read_ours(path: Path, arrays: dict[str, np.ndarray]) -> Trajectory:
    needed = ("format", "version", "intrinsics", "source_time", "width", "height")
    missing = [key for key in needed if key not in arrays]
    if missing:
        raise TrajectoryError(f"{path} lacks {', '.join(missing)}; save the camera again.")
    version = int(arrays["version"])
    if str(arrays["format"]) != _FORMAT or version > _VERSION:
        raise TrajectoryError(
            f"{path} is a camera file of format {arrays['format']} {version}, this program reads up to "
            f"{_FORMAT} {_VERSION}; update the program."
        )
    return Trajectory(
        np.asarray(arrays["world_from_camera"], np.float64),
        np.asarray(arrays["intrinsics"], np.float64),
        np.asarray(arrays["source_time"], np.float64),
        int(arrays["width"]),
        int(arrays["height"]),
        str(arrays.get("name", path.stem)),
    )


def _read_ex4d(path: Path, arrays: dict[str, np.ndarray], size: tuple[int, int] | None) -> Trajectory:
    extrinsics, k = arrays["extrinsics"], arrays["intrinsics"]
    if extrinsics.ndim != 3 or extrinsics.shape[1:] != (4, 4) or k.shape != (3, 3):
        raise TrajectoryError(
            f"{path} must hold extrinsics [N, 4, 4] and intrinsics [3, 3], got {extrinsics.shape} and {k.shape}."
        )
    if size is None:
        size = (round(2 * float(k[0, 2])), round(2 * float(k[1, 2])))
    if min(size) < 2:
        raise TrajectoryError(
            f"{path} holds no picture size (principal point {k[0, 2]:g}, {k[1, 2]:g}); pass size=(width, height)."
        )
    if not np.isfinite(extrinsics).all():
        raise TrajectoryError(f"{path} holds NaN or infinity in its extrinsics; export it again.")
    row = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]], np.float64)
    name = path.stem.removeprefix("camera_")
    return from_matrices(poses_from_saved(extrinsics), intrinsics=row, size=size, name=name)
