"""Frames in an .npz, written and read one at a time."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def write_array_frames(
    archive: zipfile.ZipFile, name: str, frames: Iterable[NDArray[Any]], *, shape: Sequence[int], dtype: DTypeLike
) -> None:
    """Add an array of ``shape`` [T, ...] to an open archive, as numpy reads it. Raises OSError."""
    kind = np.dtype(dtype)
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": tuple(shape)}
        np.lib.format.write_array_header_1_0(stream, header)  # pyright: ignore[reportArgumentType]
        for frame in frames:
            stream.write(np.ascontiguousarray(frame, kind).reshape(-1).view(np.uint8).data)


@contextmanager
def open_array_frames(path: Path, name: str) -> Iterator[tuple[tuple[int, ...], np.dtype[Any], Iterator[NDArray[Any]]]]:
    """Shape [T, ...], type and frames of an array that lies in C order.

    Raises OSError, ValueError, KeyError, EOFError or zipfile.BadZipFile for a file that is no such archive or ends
    early; so does the iterator.
    """
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        if fortran or dtype.hasobject or len(shape) < 2:
            raise ValueError(f"{name} lies in another order or holds no frames")
        size = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize

        def frames() -> Iterator[NDArray[Any]]:
            for _ in range(shape[0]):
                data = stream.read(size)
                if len(data) != size:
                    raise EOFError(f"{name} ends early")
                yield np.frombuffer(data, dtype).reshape(shape[1:])

        yield shape, dtype, frames()
