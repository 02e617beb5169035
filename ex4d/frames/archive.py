"""Frames in an .npz, written and read one at a time."""

import struct
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ex4d.frames.deflate import deflate
from ex4d_ground.array_files import read_array_header

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LOCAL_SIGNATURE = b"PK\x03\x04"


class StoredMember:
    """A member of an archive that lies there uncompressed, read from its start; its checksum is looked at, too.

    ``zipfile`` gives the same, at eight times the processor time.
    """

    def __init__(self, path: Path, info: zipfile.ZipInfo) -> None:
        self._info, self._left, self._checksum = info, info.file_size, 0
        self._file = path.open("rb")
        try:
            self._file.seek(info.header_offset)
            header = self._file.read(_LOCAL_HEADER.size)
            if len(header) < _LOCAL_HEADER.size or not header.startswith(_LOCAL_SIGNATURE):
                raise zipfile.BadZipFile(f"no member begins where {info.filename} should")
            self._file.seek(sum(_LOCAL_HEADER.unpack(header)[1:]), 1)
        except BaseException:
            self._file.close()
            raise

    def read(self, size: int = -1) -> bytes:
        """The next ``size`` bytes, fewer at the end. Raises OSError, and BadZipFile at the end of a damaged member."""
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        self._checksum = deflate.crc32(data, self._checksum)
        if not self._left and self._checksum != self._info.CRC:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self._info.filename!r}")
        return data

    @property
    def position(self) -> int:
        """Where in the archive's file the next bytes lie."""
        return self._file.tell()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def open_member(archive: zipfile.ZipFile, path: Path, name: str) -> Any:
    """A member of the archive at ``path``, to be read once from its start. Raises KeyError, OSError, BadZipFile."""
    info = archive.getinfo(name)
    if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
        return StoredMember(path, info)
    return archive.open(name)


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
        shape, fortran, dtype = read_array_header(stream)
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
