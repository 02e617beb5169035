"""PC2 point caches, written frame by frame as vertices arrive.

Layout (little endian): 12 bytes ``POINTCACHE2\\0``, int32 version 1, int32 points, float32 start frame, float32
sample rate, int32 samples, then samples x points x 3 float32. Random access by sample is what makes a frame step
in Blender independent of the clip's length.
"""

import contextlib
import struct
from pathlib import Path

import numpy as np

from ex4d_ground.arrays import Float32

from . import files
from .errors import AddonError
from .frame_files import FrameFile

MAGIC = b"POINTCACHE2\0"
HEADER = struct.Struct("<12siiffi")


class Pc2Writer(FrameFile):
    """Write one cache to a temporary file beside ``path`` and put it in place when complete.

    Samples may arrive in any order. Leaving the ``with`` block without :meth:`close` removes the temporary file.
    """

    def __init__(self, path: Path, *, points: int, samples: int):
        self.path = path
        self._points, self._samples = points, samples
        self._missing = set(range(samples))
        super().__init__(path.with_name(path.name + ".part"), header_bytes=HEADER.size)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._path.unlink(missing_ok=True)

    def write(self, sample: int, vertices: Float32) -> None:  # [points, 3]
        """Store one sample. Raises AddonError for another vertex count, an unknown sample; StorageError."""
        if vertices.shape != (self._points, 3):
            raise AddonError(
                f"Frame {sample + 1} of the mesh has shape {tuple(vertices.shape)}, expected ({self._points}, 3); "
                "import the clip again."
            )
        if sample not in self._missing:
            raise AddonError(f"The mesh cache has no free place for frame {sample + 1}; import the clip again.")
        self._put(sample, vertices)
        self._missing.discard(sample)

    def close(self) -> None:
        """Put the finished cache in place. Raises AddonError if a sample is missing or the disk is full."""
        if self._missing:
            raise AddonError(f"{len(self._missing)} mesh frames never arrived; import the clip again.")
        self._end(HEADER.pack(MAGIC, 1, self._points, 0.0, 1.0, self._samples))
        with self._writing():
            self._path.replace(self.path)

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return files.writing(self.path, what="the mesh cache ")


def read_pc2(path: Path) -> Float32:  # [samples, points, 3], memory-mapped
    """Open a cache for reading. Raises AddonError if the file is no PC2 cache or is cut short."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER.size)
    except OSError as error:
        reason = error.strerror or error
        raise AddonError(f"Cannot read the mesh cache {path}: {reason}; import the clip again.") from error
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise AddonError(f"{path} is not a PC2 mesh cache; import the clip again.")
    _, _, points, _, _, samples = HEADER.unpack(head)
    if path.stat().st_size != HEADER.size + points * samples * 12:
        raise AddonError(f"The mesh cache {path} is cut short; import the clip again.")
    return np.memmap(path, "<f4", "r", offset=HEADER.size, shape=(samples, points, 3))
