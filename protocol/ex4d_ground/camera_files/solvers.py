"""Cameras that solvers of whole videos write beside their depth: ViPE, MegaSaM, Depth Anything 3 (read only).

ViPE (github.com/nv-tlabs/vipe, ``vipe/utils/io.py``): ``pose/NAME.npz`` has ``data`` [N, 4, 4], world_from_camera with
OpenCV axes, and ``inds`` [N], the frames; ``intrinsics/NAME.npz`` has ``data`` [N, 4] (fx, fy, cx, cy) and ``inds``,
``intrinsics/NAME_camera.txt`` a line "FRAME: PINHOLE" for each. The principal point is the picture's middle.

MegaSaM (github.com/mega-sam/mega-sam, ``camera_tracking_scripts/test_demo.py``, ``cvd_opt/cvd_opt.py``):
``NAME_droid.npz`` and ``NAME_sgd_cvd_hr.npz`` have ``cam_c2w`` [N, 4, 4] and ``intrinsic`` [3, 3] beside ``images`` and
``depths``; the folder ``reconstructions/NAME`` has ``poses.npy`` [N, 7], camera_from_world as position and quaternion
x y z w, and ``intrinsics.npy`` [N, 4]. Its pictures are scaled and then cut at the right and below to whole blocks of 8
pixels; the principal point is the middle of what was there before the cut, so it is the principal point that tells the
size of the whole picture.

Depth Anything 3 (github.com/ByteDance-Seed/Depth-Anything-3, ``utils/export/npz.py``, ``da3_streaming.py``):
``exports/npz/results.npz`` or ``mini_npz/results.npz`` has ``extrinsics`` [N, 3, 4], camera_from_world with OpenCV
axes, and ``intrinsics`` [N, 3, 3] for pictures of the size of ``depth`` [N, H, W]; ``camera_poses.txt`` has 16 numbers
a line, world_from_camera, beside ``intrinsic.txt`` with fx fy cx cy a line.

Each path has a unit of its own, and a world of its own.
"""

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ex4d_ground.array_files import DAMAGED, read_array_header
from ex4d_ground.arrays import Float64
from ex4d_ground.camera_files import poses_text
from ex4d_ground.cameras import Trajectory, from_matrices
from ex4d_ground.errors import TrajectoryError
from ex4d_ground.files import read_text, require_regular
from ex4d_ground.poses import inverse, rotation_from_quaternion

Size = tuple[int, int]
STREAMED = "camera_poses.txt"
RECONSTRUCTION = "poses.npy"
_STREAMED_LENS, _RECONSTRUCTED_LENS = "intrinsic.txt", "intrinsics.npy"
_MAX_BYTES = 64 << 20
_MIDDLE = 0.02
"""Pixels by which twice a principal point may miss a whole number and still be a picture's size."""


def members(path: Path) -> dict[str, tuple[int, ...]]:
    """The arrays of an .npz with their shapes, none of them read. Raises TrajectoryError for what is no such file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            found = {}
            for name in names:
                with archive.open(name) as stream:
                    found[name.removesuffix(".npy")] = read_array_header(stream)[0]
            return found
    except DAMAGED as error:
        raise TrajectoryError(f"{path} is not a readable .npz camera file; save the camera again.") from error


def load_archive(path: Path, held: dict[str, tuple[int, ...]], size: Size | None) -> Trajectory | None:
    """The cameras of an .npz with these members; None if it is no solver's. Raises TrajectoryError."""
    if held.keys() == {"data", "inds"}:
        return _vipe(path, size)
    if {"cam_c2w", "intrinsic"} <= held.keys():
        poses, k = _read(path, "cam_c2w"), _read(path, "intrinsic")
        shape = held.get("images", ())
        known = (shape[2], shape[1]) if len(shape) == 4 else None
        return _cameras(path, poses, _rows(path, k, len(poses)), known or size)
    if {"extrinsics", "intrinsics"} <= held.keys() and len(held["intrinsics"]) == 3:
        poses = _inverted(path, _read(path, "extrinsics"))
        rows = _rows(path, _read(path, "intrinsics"), len(poses))
        shape = held.get("depth", ())
        return _cameras(path, poses, rows, size, told=(shape[2], shape[1]) if len(shape) == 3 else None)
    return None


def load_folder(folder: Path, size: Size | None) -> Trajectory | None:
    """MegaSaM's ``reconstructions/NAME``, or ViPE's results of one video; None for another folder.

    Raises TrajectoryError.
    """
    if (folder / RECONSTRUCTION).is_file():
        table = _read_npy(folder / RECONSTRUCTION)
        if table.ndim != 2 or table.shape[1] != 7 or not len(table):
            raise TrajectoryError(f"{folder / RECONSTRUCTION} must be [N, 7] (position, quaternion), is {table.shape}.")
        camera_from_world = np.tile(np.eye(4), (len(table), 1, 1))
        camera_from_world[:, :3, 3] = table[:, :3]
        camera_from_world[:, :3, :3] = [rotation_from_quaternion(row[[6, 3, 4, 5]]) for row in table]
        lens = _read_npy(folder / _RECONSTRUCTED_LENS)
        return _cameras(folder, inverse(camera_from_world), _rows(folder, lens, len(table)), size)
    paths = sorted((folder / "pose").glob("*.npz")) if (folder / "pose").is_dir() else []
    if not paths:
        return None
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths[:4])
        raise TrajectoryError(f"{folder / 'pose'} holds the cameras of {len(paths)} videos ({names}); choose one file.")
    return load_archive(paths[0], members(paths[0]), size)


def load_streamed(path: Path, size: Size | None) -> Trajectory | None:
    """A ``camera_poses.txt`` with its lenses beside it; None if those are not there. Raises TrajectoryError."""
    lenses = path.with_name(_STREAMED_LENS)
    if not lenses.is_file():
        return None
    poses = np.array(poses_text.read_rows(path), np.float64)
    if poses.ndim != 2 or poses.shape[1] != 16:
        return None
    require_regular(lenses, _MAX_BYTES, TrajectoryError)
    return _cameras(
        path, poses.reshape(-1, 4, 4), _rows(lenses, np.array(poses_text.read_rows(lenses)), len(poses)), size
    )


def _vipe(path: Path, size: Size | None) -> Trajectory:
    poses, frames = _read(path, "data"), _read(path, "inds")
    if poses.ndim != 3:
        raise TrajectoryError(f"{path} holds no poses but {poses.shape}; ViPE's are in the folder 'pose'.")
    lens = path.parent.parent / "intrinsics" / path.name
    if not lens.is_file():
        raise TrajectoryError(f"{path} is ViPE's, whose lens is missing at {lens}; keep its folders together.")
    kinds = lens.with_name(f"{path.stem}_camera.txt")
    if kinds.is_file():
        require_regular(kinds, _MAX_BYTES, TrajectoryError)
        other = {line.rpartition(":")[2].strip() for line in read_text(kinds).splitlines() if line.strip()}
        other -= {"PINHOLE"}
        if other:
            raise TrajectoryError(f"{kinds} says {sorted(other)[0]}; only ViPE's PINHOLE cameras can be drawn with.")
    values, of = _read(lens, "data"), _read(lens, "inds")
    for what, each in ((path, frames), (lens, of)):
        missing = sorted(set(range(int(each.max(initial=-1)) + 1)) - set(each.astype(int).tolist()))
        if missing or not len(each):
            gap = missing[0] + 1 if missing else 1
            raise TrajectoryError(f"{what} lacks frame {gap}; let ViPE solve every frame.")
    order, lens_order = np.argsort(frames, kind="stable"), np.argsort(of, kind="stable")
    return _cameras(path, poses[order], _rows(lens, values[lens_order], len(poses)), size)


def _cameras(path: Path, poses: Float64, rows: Float64, size: Size | None, *, told: Size | None = None) -> Trajectory:
    """``told`` is the pictures' size where the file says it; else the principal point does, else ``size``."""
    if poses.ndim != 3 or poses.shape[1:] not in ((4, 4), (3, 4)) or not np.isfinite(poses).all():
        what = f"of shape {poses.shape}" if poses.ndim != 3 else "with NaN or infinity in them"
        raise TrajectoryError(f"{path} holds poses {what}; they must be [N, 4, 4] of finite numbers.")
    middle = np.rint(2 * rows[0, 2:])
    if told is None and middle.min() >= 2 and np.abs(2 * rows[:, 2:] - middle).max() <= _MIDDLE:
        told = int(middle[0]), int(middle[1])
    known = told or size
    if known is None:
        raise TrajectoryError(f"{path} says no picture size; pass size=(width, height).")
    return from_matrices(poses, intrinsics=rows, size=known, name=path.stem)


def _rows(path: Path, lens: NDArray, count: int) -> Float64:  # [count, 4]
    """fx, fy, cx, cy of every frame, from a matrix or a row for all, or for each. Raises TrajectoryError."""
    values = np.asarray(lens, np.float64)
    if values.shape[-2:] == (3, 3):
        values = np.stack([values[..., 0, 0], values[..., 1, 1], values[..., 0, 2], values[..., 1, 2]], axis=-1)
    if values.ndim == 1:
        values = values[None].repeat(count, axis=0)
    if values.shape != (count, 4):
        raise TrajectoryError(f"{path} holds lenses {np.shape(lens)} for {count} poses; give a lens for each.")
    return values


def _inverted(path: Path, camera_from_world: Float64) -> Float64:
    if camera_from_world.ndim != 3 or camera_from_world.shape[1:] not in ((3, 4), (4, 4)):
        raise TrajectoryError(f"{path} holds extrinsics {camera_from_world.shape}; they must be [N, 3, 4].")
    whole = np.tile(np.eye(4), (len(camera_from_world), 1, 1))
    whole[:, :3] = camera_from_world[:, :3]
    return inverse(whole)


def _read(path: Path, name: str) -> Float64:
    """One member of an .npz, if it is as small as cameras are. Raises TrajectoryError."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
            shape, _, dtype = read_array_header(stream)
            if math.prod(shape) * dtype.itemsize > _MAX_BYTES or dtype.kind not in "fiu":
                raise TrajectoryError(f"The {name} of {path} are {list(shape)} {dtype}, which no cameras are.")
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False), np.float64)
    except DAMAGED as error:
        if isinstance(error, TrajectoryError):
            raise
        raise TrajectoryError(f"The {name} of {path} cannot be read; export it again.") from error


def _read_npy(path: Path) -> Float64:
    if not path.is_file():
        raise TrajectoryError(f"There is no {path.name} in {path.parent}; keep MegaSaM's files together.")
    require_regular(path, _MAX_BYTES, TrajectoryError)
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float64)
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise TrajectoryError(f"{path} cannot be read as an array; export it again.") from error
