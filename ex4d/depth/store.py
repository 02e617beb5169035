"""Depth on disk: working arrays for long clips, and ``depth.npz`` files with what their values mean.

A depth file holds ``depth`` [T, H, W] float32 and, as small entries beside it, meaning, estimator, licence, fps, the
intrinsics with their source, and how the camera moved if the estimator knew that. Nothing is pickled. Files are written
under a temporary name and renamed when complete.
"""

import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from ex4d.frames.archive import write_array_frames
from ex4d.progress import Watch, reported
from ex4d_ground import stages
from ex4d_ground.array_files import DAMAGED, read_array_header
from ex4d_ground.arrays import Float32
from ex4d_ground.camera_files import DEPTH_CAMERA
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.descriptions import Meaning
from ex4d_ground.errors import DepthError, OutputError, in_brief
from ex4d_ground.files import atomic_path
from ex4d_ground.parsing import parse_json
from ex4d_ground.source_camera import SourceCamera
from ex4d_ground.takes import source_camera_from, source_camera_record

IN_MEMORY_BYTES = 512 * 2**20
"""Working arrays above this size live in a temporary file."""


def new_values(shape: tuple[int, int, int]) -> Float32:  # [T, H, W]
    """An array for depth values: in memory if small, else memory-mapped to an unnamed temporary file.

    The file has no name once it is open, so it vanishes with the array, whatever happens to the process.
    """
    size = int(np.prod(shape)) * 4
    if size <= IN_MEMORY_BYTES:
        return np.empty(shape, np.float32)
    try:
        with tempfile.TemporaryFile(prefix="ex4d-depth-") as handle:  # the map outlives its closed file
            handle.truncate(size)
            return np.memmap(handle, np.float32, "r+", shape=shape)
    except OSError as error:
        raise OutputError(
            f"A working file of {size / 2**30:.1f} GiB cannot be made in {tempfile.gettempdir()} ({in_brief(error)}); "
            "free space there or point TMPDIR at a larger disk."
        ) from error


@dataclass(frozen=True)
class DepthFile:
    """What a depth file says beside its values."""

    depth: Float32  # [T, H, W] positive z-depth
    estimator: str = "file"
    licence: str = ""
    meaning: Meaning = "scale-free"
    """Meaning of the estimator's raw values; ``depth`` itself is always distance along the viewing axis."""
    fps: float = 15.0
    intrinsics: Intrinsics | None = None
    details: dict[str, Any] = field(default_factory=dict)
    source_camera: SourceCamera | None = None
    """How the camera moved, in the depth's unit, if the estimator knew it."""


def save_depth(path: Path, file: DepthFile, **watch: Unpack[Watch]) -> None:
    """Write ``file`` as .npz, one frame at a time. Raises OutputError, DepthError (suffix), Cancelled."""
    if path.suffix.lower() != ".npz":
        raise DepthError(f"Depth is saved as .npz, got the name {path.name}; end it in .npz.")
    facts = {key: value for key, value in asdict(file).items() if key not in ("depth", "source_camera")}
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        frames = reported(file.depth, stages.DEPTH_SAVE, len(file.depth), **watch)
        write_array_frames(archive, "depth", frames, shape=file.depth.shape, dtype="<f4")
        _write_array(archive, "facts", np.array(json.dumps(facts)))
        if file.intrinsics is not None:
            k = file.intrinsics
            _write_array(archive, "intrinsics", np.array([k.fx, k.fy, k.cx, k.cy, k.width, k.height], np.float64))
        if file.source_camera is not None:
            _write_array(archive, DEPTH_CAMERA, np.array(json.dumps(source_camera_record(file.source_camera))))


def _write_array(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w") as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)


def load_depth(path: Path) -> DepthFile:
    """Read a file that :func:`save_depth` wrote. Raises DepthError if it is missing or of another kind."""
    with _opened(path) as archive:
        if "facts.npy" not in archive.namelist():
            raise DepthError(f"{path} was not written by 'ex4d depth'; read it as plain depth values instead.")
        with archive.open("facts.npy") as stream:
            facts = parse_json(str(np.lib.format.read_array(stream, allow_pickle=False)))
        camera = None
        if f"{DEPTH_CAMERA}.npy" in archive.namelist():
            with archive.open(f"{DEPTH_CAMERA}.npy") as stream:
                camera = source_camera_from(parse_json(str(np.lib.format.read_array(stream, allow_pickle=False))))
        shape, frames = _stream_member(archive, "depth.npy", path)
        depth = new_values(shape)
        for index, frame in enumerate(frames()):
            depth[index] = frame
    k = facts.pop("intrinsics", None)
    return DepthFile(depth=depth, intrinsics=Intrinsics(**k) if k else None, source_camera=camera, **facts)


@contextmanager
def open_npz_frames(
    path: Path, key: str = "depth"
) -> Iterator[tuple[tuple[int, int, int], Callable[[], Iterator[Float32]]]]:
    """The shape [T, h, w] and the frames of array ``key``, read one at a time. Raises DepthError."""
    with _opened(path) as archive:
        yield _stream_member(archive, f"{key}.npy", path)


def read_npz_small(path: Path, key: str) -> np.ndarray | None:
    """A small array of an .npz, or None if it has no such entry. Raises DepthError."""
    with _opened(path) as archive:
        if f"{key}.npy" not in archive.namelist():
            return None
        with archive.open(f"{key}.npy") as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DAMAGED as error:
        if isinstance(error, DepthError):
            raise
        raise DepthError(f"{path} cannot be read as an .npz depth file ({in_brief(error)}); write it again.") from error


def _stream_member(
    archive: zipfile.ZipFile, member: str, path: Path
) -> tuple[tuple[int, int, int], Callable[[], Iterator[Float32]]]:
    names = archive.namelist()
    if member not in names:
        raise DepthError(f"{path} has no array {member[:-4]!r}, only {', '.join(n[:-4] for n in names) or 'nothing'}.")
    with archive.open(member) as stream:
        shape, fortran, dtype = read_array_header(stream)
    if len(shape) == 4 and shape[1] == 1:  # [T, 1, H, W] is common among depth tools
        shape = (shape[0], *shape[2:])
    if len(shape) != 3 or fortran or dtype.kind not in "fiu" or 0 in shape:
        raise DepthError(f"{path} holds {member[:-4]} of shape {shape} {dtype}; expected [T, H, W] numbers in C order.")
    count = int(shape[1] * shape[2])

    def frames() -> Iterator[Float32]:
        with archive.open(member) as stream:
            read_array_header(stream)
            for index in range(shape[0]):
                data = stream.read(count * dtype.itemsize)
                if len(data) != count * dtype.itemsize:
                    raise DepthError(f"{path} ends within frame {index + 1} of {shape[0]}; write it again.")
                yield np.frombuffer(data, dtype).reshape(shape[1:]).astype(np.float32)

    return (int(shape[0]), int(shape[1]), int(shape[2])), frames
