"""Collecting frames of unknown number into one array, without holding them twice."""

import os

import numpy as np
from numpy.typing import NDArray

from ex4d_ground.errors import ClipError
from ex4d_ground.remedies import fewer_frames

_SHARE_OF_MEMORY = 0.6
"""A clip may take this share of the machine's memory; the rest is for the mesh, the guides and everybody else."""


def physical_memory() -> int:
    """Bytes of memory in this machine, or 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


class FrameStack:
    """Frames appended one by one; :meth:`array` gives them as [T, ...] of the first frame's shape and dtype."""

    def __init__(self, *, expected: int, label: str) -> None:
        self._expected = max(expected, 1)
        self._label = label
        self._buffer: NDArray | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, frame: NDArray) -> None:
        """Add one frame. Raises ClipError if its shape differs or if the clip would not fit into memory."""
        if self._buffer is None:
            self._check_memory(frame.nbytes * self._expected, frame)
            self._buffer = np.empty((self._expected, *frame.shape), frame.dtype)
        elif frame.shape != self._buffer.shape[1:]:
            (h, w), (h0, w0) = frame.shape[:2], self._buffer.shape[1:3]
            raise ClipError(
                f"Frame {self._count + 1} of {self._label} is {w}x{h} pixels but the first is {w0}x{h0}; "
                "give every frame the same size."
            )
        elif self._count == len(self._buffer):
            capacity = self._count + max(self._count // 2, 16)
            self._check_memory(frame.nbytes * capacity, frame)
            grown = np.empty((capacity, *frame.shape), frame.dtype)
            grown[: self._count] = self._buffer
            self._buffer = grown
        self._buffer[self._count] = frame
        self._count += 1

    def array(self) -> NDArray:
        """All frames so far, [T, ...], contiguous."""
        if self._buffer is None:
            return np.empty((0,), np.uint8)
        return self._buffer[: self._count]

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
