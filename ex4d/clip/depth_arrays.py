"""Depth in numpy's files: what they hold is known from their header, and frames are read one at a time."""

import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from ex4d.frames.archive import StoredMember, open_member
from ex4d_ground.array_files import DAMAGED, read_array_header
from ex4d_ground.errors import DepthError, in_brief

ReadFrame = Callable[[int], tuple[NDArray, str]]


def open_array(path: Path) -> tuple[int, tuple[int, int], np.dtype, ReadFrame]:
    """Count, size and type of an .npy's or .npz's frames, and a function that gives one of them, in order.

    An .npz's frames are read from first to last; an .npy is memory-mapped. Raises DepthError.
    """
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".npy"):
        raise DepthError(
            f"{path} is no depth file that can be read; give an .npz, an .npy, or a folder of 16-bit PNGs or of EXRs."
        )
    if suffix == ".npy":
        array = _guarded(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
        if not isinstance(array, np.ndarray):
            raise DepthError(f"{path} is not a readable .npy file (it is an archive); name it .npz.")
        frames = _frames_of(array, path)
        return len(frames), (frames.shape[1], frames.shape[2]), frames.dtype, lambda index: (frames[index], str(path))
    name, shape, fortran, dtype = _guarded(path, lambda: _npz_header(path))
    squeezed = _without_channel(shape, path)
    if fortran or dtype.kind not in "fui":
        whole = _frames_of(_guarded(path, lambda: _npz_array(path, name)), path)
        return len(whole), (whole.shape[1], whole.shape[2]), whole.dtype, lambda index: (whole[index], str(path))
    stream = _NpzFrames(path, name, squeezed, dtype)
    return squeezed[0], (squeezed[1], squeezed[2]), dtype, lambda index: (stream.frame(index), str(path))


def place_in_archive(path: Path) -> int | None:
    """Where in an .npz the values begin that :func:`open_array` reads, if they lie there as they are, in C order.

    Raises DepthError.
    """
    return _guarded(path, lambda: _place_in_archive(path))


def _place_in_archive(path: Path) -> int | None:
    name, _, fortran, _ = _npz_header(path)
    with zipfile.ZipFile(path) as archive:
        stream: Any = open_member(archive, path, f"{name}.npy")
        with closing(stream):
            if fortran or not isinstance(stream, StoredMember):
                return None
            read_array_header(cast(IO[bytes], stream))
            return stream.position


class _NpzFrames:
    """The frames of one array of an archive, in order; asking for an earlier one begins again."""

    def __init__(self, path: Path, name: str, shape: tuple[int, int, int], dtype: np.dtype):
        self._path, self._name, self._shape, self._dtype = path, name, shape, dtype
        self._next = 0
        self._archive: zipfile.ZipFile | None = None
        self._stream: Any = None

    def frame(self, index: int) -> NDArray:
        return _guarded(self._path, lambda: self._read(index))

    def _read(self, index: int) -> NDArray:
        if self._stream is None or index < self._next:
            self.close()
            self._archive = zipfile.ZipFile(self._path)
            self._stream, self._next = open_member(self._archive, self._path, f"{self._name}.npy"), 0
            read_array_header(self._stream)
        count = self._shape[1] * self._shape[2] * self._dtype.itemsize
        while True:
            data = self._stream.read(count)
            if len(data) != count:
                raise DepthError(
                    f"{self._path} ends within frame {self._next + 1} of {self._shape[0]}; write it again."
                )
            self._next += 1
            if self._next == self._shape[0]:
                self.close()
            if self._next > index:
                return np.frombuffer(data, self._dtype).reshape(self._shape[1:])

    def close(self) -> None:
        for each in (self._stream, self._archive):
            if each is not None:
                each.close()
        self._stream = self._archive = None

    def __del__(self) -> None:
        self.close()


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    """What ``read`` gives; numpy's and zipfile's many errors as one sentence."""
    try:
        return read()
    except DepthError:
        raise
    except DAMAGED as error:
        text = f"{path} is not a readable {path.suffix} file ({in_brief(error)}); write it again with numpy."
        raise DepthError(text) from error


def _npz_header(path: Path) -> tuple[str, tuple[int, ...], bool, np.dtype]:
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if "depth" not in names and len(names) != 1:
            raise DepthError(
                f"{path} holds {len(names)} arrays ({', '.join(names) or 'none'}) and none is called 'depth'; "
                "save the depth under that name."
            )
        name = "depth" if "depth" in names else names[0]
        with archive.open(f"{name}.npy") as stream:
            shape, fortran, dtype = read_array_header(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return name, shape, fortran, dtype


def _npz_array(path: Path, name: str) -> NDArray:
    with np.load(path, allow_pickle=False) as archive:
        return archive[name]


def _without_channel(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    """[T, H, W] of a shape that may have a channel axis of length 1. Raises DepthError."""
    if len(shape) == 4 and 1 in (shape[1], shape[3]):
        shape = (shape[0], *shape[2:]) if shape[1] == 1 else shape[:3]
    if len(shape) != 3:
        raise DepthError(f"Depth must be [frames, height, width], but {path} holds an array of shape {shape}.")
    return shape[0], shape[1], shape[2]


def _frames_of(array: NDArray, path: Path) -> NDArray:
    return array.reshape(_without_channel(array.shape, path))
