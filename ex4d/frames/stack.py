"""Collecting frames, in order or not, of a number that may not be known."""

import math
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ex4d.frames.scratch import ScratchFile, free_bytes, more_room, scratch_folder
from ex4d.frames.store import BitFrames, DiskFrames, Frames, FrameStore, bits_bytes, bounds_of
from ex4d_ground.errors import ClipError
from ex4d_ground.remedies import fewer_frames

_SHARE_OF_MEMORY = 0.6
"""An array may take this share of the machine's memory; the rest is for everything else."""
IN_MEMORY_BYTES = 64 << 20
"""Frames that take more than this together go to a scratch disk."""


def physical_memory() -> int:
    """Bytes of memory in this machine, or 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


class FrameStack:
    """Frames of one shape and type; :meth:`frames` gives them as an array, or as a store where they are many.

    Safe to use from several threads. Raises OutputError where a scratch disk is full.
    """

    def __init__(self, *, expected: int, label: str, in_memory: bool = False, path: Path | None = None) -> None:
        """``expected`` frames are reckoned with, more may come; ``label`` is what messages call them.

        ``in_memory`` is for who needs an array, however large; with ``path`` all go to that file, which stays.
        """
        self._in_memory, self._path = in_memory, path
        self._expected = max(expected, 1)
        self._label = label
        self._lock = threading.Lock()
        self._buffer: NDArray | None = None
        self._file: ScratchFile | None = None
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.uint8)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, frame: NDArray) -> None:
        """Add one frame behind the others, as :meth:`put` does."""
        self.put(self._count, frame)

    def put(self, index: int, frame: NDArray) -> None:
        """Have ``frame`` as frame ``index``, in place of the one that is there.

        Raises ClipError if its shape is not that of the others, or if there is no room for them all.
        """
        with self._lock:
            if not self._shape:
                self._begin(frame)
            elif frame.shape != self._shape:
                (h, w), (h0, w0) = frame.shape[:2], self._shape[:2]
                raise ClipError(
                    f"Frame {index + 1} of {self._label} is {w}x{h} pixels but the first is {w0}x{h0}; "
                    "give every frame the same size."
                )
            if self._buffer is not None and index >= len(self._buffer):
                self._grow(index)
            self._count = max(self._count, index + 1)
            if self._buffer is not None:
                self._buffer[index] = frame
                return
        self._write(index, frame)

    def _write(self, index: int, frame: NDArray) -> None:
        assert self._file is not None
        data = BitFrames.packed(frame) if self._packs else np.ascontiguousarray(frame, self._dtype)
        self._file.write(index * data.nbytes, data.reshape(-1).view(np.uint8).data)

    @property
    def _packs(self) -> bool:
        """Whether frames are bits in the file; one with a name is also read by others, as its type says."""
        return self._dtype == np.bool_ and self._path is None

    def __getitem__(self, index: int) -> NDArray:
        """One frame that was put, as an array of the caller's own."""
        if self._buffer is not None:
            return self._buffer[index].copy()
        return self.frames()[index]

    def frames(self) -> Frames:  # [T, ...]
        """All frames so far. What is put later may, or may not, show in them."""
        if self._buffer is not None:
            return self._buffer[: self._count]
        if self._file is None:
            return np.empty((0,), np.uint8)
        shape = (self._count, *self._shape)
        return BitFrames(self._file, shape) if self._packs else DiskFrames(self._file, shape, self._dtype)

    def _begin(self, frame: NDArray) -> None:
        needed = frame.nbytes * self._expected
        if self._in_memory:
            self._check_memory(needed, frame)
        if self._path is not None or (needed > IN_MEMORY_BYTES and not self._in_memory):
            on_disk = bits_bytes(needed) if frame.dtype == np.bool_ and self._path is None else needed
            self._check_room(on_disk, frame)
            self._file = ScratchFile(on_disk, self._label, path=self._path)
        else:
            self._buffer = np.empty((self._expected, *frame.shape), frame.dtype)
        self._shape, self._dtype = frame.shape, frame.dtype

    def _grow(self, index: int) -> None:
        """Make room for more frames than were expected, on disk if they are too many now."""
        assert self._buffer is not None
        capacity = max(index + 1, self._count + max(self._count // 2, 16))
        needed = capacity * (self._buffer.nbytes // len(self._buffer))
        if self._in_memory:
            self._check_memory(needed, self._buffer[0])
        elif needed > IN_MEMORY_BYTES:
            self._file = ScratchFile(needed, self._label)
            for i in range(self._count):
                self._write(i, self._buffer[i])
            self._buffer = None
            return
        grown = np.empty((capacity, *self._shape), self._dtype)
        grown[: self._count] = self._buffer[: self._count]
        self._buffer = grown

    def _check_room(self, needed: int, frame: NDArray) -> None:
        folder = scratch_folder(needed) if self._path is None else self._path.parent
        free = free_bytes(folder)
        if needed > free:
            height, width = frame.shape[:2]
            fitting = free // frame.nbytes
            raise ClipError(
                f"{self._label} needs {needed / 2**30:.1f} GiB of disk decoded at {width}x{height}, and {folder} has "
                f"{free / 2**30:.1f} GiB free: read fewer frames, scale it down, or {more_room()}.",
                remedy=fewer_frames(fitting) if fitting > 1 else None,
            )

    def _check_memory(self, needed: int, frame: NDArray) -> None:
        memory = physical_memory()
        if memory and needed > _SHARE_OF_MEMORY * memory:
            height, width = frame.shape[:2]
            fitting = int(_SHARE_OF_MEMORY * memory / frame.nbytes)
            raise ClipError(
                f"{self._label} needs {needed / 2**30:.1f} GiB decoded at {width}x{height}, more than this machine's "
                f"{memory / 2**30:.1f} GiB allow: read fewer frames, or scale the video down.",
                remedy=fewer_frames(fitting) if fitting > 1 else None,
            )


def frames_in(path: Path, shape: Sequence[int], dtype: DTypeLike, *, offset: int = 0) -> DiskFrames:
    """Frames of ``shape`` [T, ...] in a file from ``offset`` on, as a stack with that ``path`` keeps them.

    Raises OutputError.
    """
    return DiskFrames(ScratchFile(0, str(path), path=path, only_read=True), shape, dtype, offset=offset)


class DepthStack(FrameStack):
    """A stack of depth that knows the least and largest value of each frame."""

    def __init__(self, *, expected: int, label: str, path: Path | None = None) -> None:
        super().__init__(expected=expected, label=label, path=path)
        self._bounds: dict[int, tuple[float, float]] = {}

    def put(self, index: int, frame: NDArray) -> None:
        """As :meth:`FrameStack.put`."""
        super().put(index, frame)
        self._bounds[index] = tuple(bounds_of(frame[None])[0])

    @property
    def size(self) -> int:
        """Pixels of all frames."""
        return len(self) * math.prod(self._shape)

    @property
    def bounds(self) -> NDArray:  # [T, 2]
        """Least and largest value of each frame; NaN where one is in it."""
        return np.array([self._bounds[i] for i in range(len(self))], np.float32).reshape(-1, 2)

    def frames(self) -> Frames:  # [T, H, W]
        """As :meth:`FrameStack.frames`; a store knows the bounds."""
        frames = super().frames()
        if isinstance(frames, FrameStore):
            frames.known_bounds = self.bounds
        return frames


class LinkedDepth(DepthStack):
    """Depth that lies in a file already, as it is: nothing of it is ever put."""

    def __init__(self, store: FrameStore, bounds: Sequence[tuple[float, float]], *, label: str) -> None:
        """``bounds`` are least and largest value of each frame of ``store`` [T, H, W]."""
        super().__init__(expected=len(store), label=label)
        self._store, self._bounds = store, dict(enumerate(bounds))
        self._shape, self._count = store.shape[1:], len(store)
        store.known_bounds = self.bounds

    def put(self, index: int, frame: NDArray) -> None:
        """Refused, with TypeError."""
        raise TypeError(f"{self._label} is another's file, which is never changed")

    def frames(self) -> Frames:  # [T, H, W]
        """All frames."""
        return self._store
