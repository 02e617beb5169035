"""Arrays of changing shapes, a few for each frame, held in memory up to a size and else in a file without a name."""

import threading

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ex4d.frames import stack
from ex4d.frames.scratch import ScratchFile


class PackedFrames:
    """For each frame the same number of arrays, of any shapes. Safe to use from several threads.

    ``label`` is what messages call the content. Raises OutputError where a scratch disk is full.
    """

    def __init__(self, label: str, *, in_memory_bytes: int | None = None) -> None:
        self._label = label
        self._room = stack.IN_MEMORY_BYTES if in_memory_bytes is None else in_memory_bytes
        self._lock = threading.Lock()
        self._held: dict[int, tuple[NDArray, ...]] = {}
        self._places: dict[int, list[tuple[int, tuple[int, ...], DTypeLike]]] = {}
        self._file: ScratchFile | None = None
        self._end = 0

    def put(self, index: int, arrays: tuple[NDArray, ...]) -> None:
        """Have ``arrays`` as frame ``index``, which was not there before."""
        size = sum(each.nbytes for each in arrays)
        with self._lock:
            if size <= self._room:
                self._room -= size
                self._held[index] = arrays
                return
            if self._file is None:
                self._file = ScratchFile(size, self._label)
            begin, self._end = self._end, self._end + size
        places = []
        for each in arrays:
            self._file.write(begin, np.ascontiguousarray(each).reshape(-1).view(np.uint8).data)
            places.append((begin, each.shape, each.dtype))
            begin += each.nbytes
        self._places[index] = places

    def __getitem__(self, index: int) -> tuple[NDArray, ...]:
        """The arrays of frame ``index``. Raises KeyError for one that was not put."""
        if index in self._held:
            return self._held[index]
        out = []
        for offset, shape, dtype in self._places[index]:
            out.append(np.empty(shape, dtype))
            if out[-1].nbytes:
                assert self._file is not None
                self._file.read(offset, out[-1])
        return tuple(out)
