"""Poses as plain text, without a lens: TUM's trajectories, KITTI's rows, 7-Scenes' folders of a matrix per frame.

All are world_from_camera with our axes (x right, y down, z forward).
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ex4d_ground.arrays import Float64
from ex4d_ground.camera_files.pictures import check_pictures
from ex4d_ground.cameras import Intrinsics, Trajectory, from_matrices
from ex4d_ground.errors import TrajectoryError
from ex4d_ground.files import read_text, require_regular
from ex4d_ground.poses import rotation_from_quaternion
from ex4d_ground.sequences import find_sequence, natural_key

SUFFIXES = (".txt", ".tum", ".pose", ".csv")
_COLUMNS = {8: "TUM: time, position, quaternion x y z w", 12: "KITTI: 3x4", 16: "4x4"}
_ASSUMED_SIZE = (512, 512)
_MAX_POSE_BYTES = 1 << 16
_LENGTH_OFF = 0.01
"""By so much a quaternion's length may differ from one: that of one written with two digits does."""
_TUM = (1, 2, 3, 7, 4, 5, 6)
"""Where the position and the quaternion w, x, y, z stand in a line."""


def load(path: Path, size: tuple[int, int] | None, lens: Intrinsics | None, note: Callable[[str], None]) -> Trajectory:
    """Read a file with a pose per line, in the order of its times (TUM) or lines (KITTI). Raises TrajectoryError."""
    rows = read_rows(path)
    widths = {len(row) for row in rows}
    if len(widths) != 1 or widths.isdisjoint(_COLUMNS):
        found = "nothing" if not rows else f"lines of {', '.join(map(str, sorted(widths)))} numbers"
        raise TrajectoryError(
            f"{path} holds {found}; a file of poses has 8 numbers a line ({_COLUMNS[8]}) or 12 ({_COLUMNS[12]})."
        )
    table = np.array(rows, np.float64)
    if table.shape[1] == 8:
        table = table[np.argsort(table[:, 0], kind="stable")]
        named = _columns(path)
        matrices = _timed_poses(path, table[:, named or _TUM])
        if named is None and abs(table[0, 4]) > 1 - _LENGTH_OFF:  # half a turn about x: nobody's first camera
            note(
                f"The quaternions in {path} seem to have w first, and are read as x y z w; if so, name the columns in "
                "a first line: # time tx ty tz qw qx qy qz"
            )
    else:
        matrices = table.reshape(len(table), -1, 4)
    return _trajectory(path, matrices, size, lens, note)


def load_folder(
    folder: Path,
    size: tuple[int, int] | None,
    lens: Intrinsics | None,
    note: Callable[[str], None],
    whole: int | None = None,
) -> Trajectory:
    """Read a folder of a 4x4 matrix per frame (``frame-000000.pose.txt``), in the order of their numbers.

    ``whole`` as in :func:`~ex4d_ground.camera_files.pictures.check_pictures`. Raises TrajectoryError.
    """
    files = _pose_files(folder)
    if not files:
        raise TrajectoryError(
            f"The folder {folder} holds no cameras: neither COLMAP's model (cameras and images, .bin or .txt), nor a "
            "transforms.json, nor a .pose.txt per frame."
        )
    matrices = []
    for file in files:
        require_regular(file, _MAX_POSE_BYTES, TrajectoryError)
        numbers = [value for row in read_rows(file) for value in row]
        if len(numbers) not in (12, 16):
            raise TrajectoryError(f"{file} holds {len(numbers)} numbers; a pose is a matrix of 4x4.")
        matrices.append(np.array(numbers).reshape(-1, 4)[:3])
    lost = [file.name for file, matrix in zip(files, matrices, strict=True) if not np.isfinite(matrix).all()]
    if lost:
        raise TrajectoryError(f"{folder}: {lost[0]} holds no pose (NaN or infinity; {len(lost)} such files).")
    check_pictures(folder, [file.name for file in files], note, whole)
    return _trajectory(folder, np.stack(matrices), size, lens, note)


def _timed_poses(path: Path, table: Float64) -> Float64:  # [N, 7] position, quaternion w x y z -> [N, 4, 4]
    """The poses of a trajectory's lines. Raises TrajectoryError for a rotation that is none."""
    lengths = np.linalg.norm(table[:, 3:], axis=1)
    off = np.flatnonzero(np.abs(lengths - 1) > _LENGTH_OFF)
    if off.size:
        raise TrajectoryError(
            f"{path}: the rotation of line {off[0] + 1} is no quaternion, since its length is {lengths[off[0]]:.4g} "
            f"instead of 1; 8 numbers a line are {_COLUMNS[8]}."
        )
    poses = np.tile(np.eye(4), (len(table), 1, 1))
    poses[:, :3, 3] = table[:, :3]
    poses[:, :3, :3] = [rotation_from_quaternion(row[3:]) for row in table]
    return poses


def _columns(path: Path) -> tuple[int, ...] | None:
    """Where position and quaternion stand by the names of the columns; None if no comment or first line has them."""
    return next(filter(None, map(_named_columns, read_text(path).splitlines())), None)


def _named_columns(line: str) -> tuple[int, ...] | None:
    """Where x, y, z of the position and w, x, y, z of the quaternion stand; None if the line does not say."""
    if "q" not in line.lower():
        return None
    text = line.strip().lstrip("#").strip()
    names = [
        re.sub(r"\[.*?\]", "", name).strip().lower() for name in re.split(r"[,;]" if "," in text else r"\s+", text)
    ]
    turns = {name[-1]: i for i, name in enumerate(names) if i and name.startswith("q")}
    places = {name[-1]: i for i, name in enumerate(names) if i and name and not name.startswith("q")}
    if len(names) != 8 or turns.keys() != set("wxyz") or places.keys() != set("xyz"):
        return None
    return (*(places[k] for k in "xyz"), *(turns[k] for k in "wxyz"))


def _pose_files(folder: Path) -> list[Path]:
    """The folder's ``*.pose.txt``, or its text files where they are numbered alone (``0.txt``, ``1.txt``)."""
    named = [p for p in folder.glob("*.pose.txt") if not p.name.startswith(".")]
    if named:
        return sorted(named, key=lambda path: natural_key(path.name))
    found = find_sequence(folder, (".txt",), TrajectoryError)
    return list(found.paths) if found.stamps is not None else []


def read_rows(path: Path) -> list[list[float]]:
    """The numbers of every line; commas may part them. Lines that start with #, or name columns, hold none."""
    try:
        lines = read_text(path).splitlines()
    except UnicodeDecodeError as error:
        raise TrajectoryError(f"{path} is no text file; a file of poses is plain text.") from error
    rows = []
    for i, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#") or _named_columns(line):
            continue
        try:
            rows.append([float(part) for part in line.replace(",", " ").split()])
        except ValueError as error:
            raise TrajectoryError(f"{path}: line {i + 1} is no line of numbers: {line.strip()[:60]!r}.") from error
    return rows


def _trajectory(
    path: Path, matrices: Float64, size: tuple[int, int] | None, lens: Intrinsics | None, note: Callable[[str], None]
) -> Trajectory:
    used = lens or Intrinsics.from_fov(*(size or _ASSUMED_SIZE))
    if lens is None:
        note(f"{path} holds poses but no lens; a field of view of {used.fov_deg:.1f} degrees is assumed")
    elif size is not None and (lens.width, lens.height) != size:
        used = lens.resized(*size)
    return from_matrices(matrices, intrinsics=used, name=path.stem)
