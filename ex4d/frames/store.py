"""Frames that are read when they are asked for, with the look of an array [T, H, W] or [T, H, W, C].

``shape``, ``dtype``, ``ndim``, ``size``, ``nbytes``, ``len``, iteration and indices are those of an array: ``[i]`` is
one frame as an array, ``[a:b]`` is a part that is not read yet, ``[[3, 5]]`` and ``[a:b, rows, columns]`` are arrays.
``numpy.asarray`` reads everything. A frame may be shared with others who ask for it: never write into one.
"""

import operator
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ex4d.frames.scratch import ScratchFile
from ex4d_ground.errors import ShapeError

KEPT_BYTES = 24 << 20
"""Frames that a store read last are kept up to this size, two at least: several parts of a step ask for the same."""


class FrameStore:
    """Base of all stores; safe to use from several threads. A subclass says what one frame is (:meth:`_load`)."""

    def __init__(self, shape: Sequence[int], dtype: DTypeLike) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.dtype = np.dtype(dtype)
        self.known_bounds: NDArray[Any] | None = None
        """What ``bounds`` are, where whoever made the frames knows."""

    def _load(self, index: int) -> NDArray[Any]:
        """Frame ``index``, 0 or more and below the length."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """Axes, the frames' own among them."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Numbers in all frames."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """What all frames would take as an array."""
        return self.size * self.dtype.itemsize

    @property
    def held_bytes(self) -> int:
        """What of them is in memory at most."""
        return 0

    @property
    def bounds(self) -> NDArray[Any]:  # [T, 2]
        """Least and largest value of each frame; NaN where one is in it. Looked for once."""
        if self.known_bounds is None:
            self.known_bounds = _bounds(self)
        return self.known_bounds

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self._load(i) for i in range(len(self)))

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, key: slice) -> "FrameStore": ...
    @overload
    def __getitem__(self, key: Any) -> Any: ...
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            chosen = range(len(self))[key]
            return self if chosen == range(len(self)) else PickedFrames(self, chosen)
        if isinstance(key, tuple):
            first, *rest = key
            if isinstance(first, int | np.integer):
                return self[first][tuple(rest)]
            frames = [self._load(i)[tuple(rest)] for i in self._chosen(first)]
            return np.stack(frames) if frames else np.empty((0,), self.dtype)
        if isinstance(key, int | np.integer):
            return self._load(self._checked(operator.index(key)))
        return np.stack([self._load(i) for i in self._chosen(key)])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("frames of a store become an array only by being read")
        out = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for i, frame in enumerate(self):
            out[i] = frame
        return out

    def _chosen(self, key: Any) -> list[int]:
        if isinstance(key, slice):
            return list(range(len(self))[key])
        return [self._checked(int(i)) for i in np.arange(len(self))[np.asarray(key)]]

    def _checked(self, index: int) -> int:
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        return at


Frames: TypeAlias = NDArray[Any] | FrameStore
"""What takes either: an array, or a store."""


class KeepingFrames(FrameStore):
    """A store that keeps the frames it read last."""

    def __init__(self, shape: Sequence[int], dtype: DTypeLike) -> None:
        super().__init__(shape, dtype)
        frame_bytes = self.nbytes // max(len(self), 1)
        self._most = max(2, KEPT_BYTES // max(frame_bytes, 1))
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def _read(self, index: int) -> NDArray[Any]:
        raise NotImplementedError

    def _load(self, index: int) -> NDArray[Any]:
        with self._lock:
            kept = self._kept.get(index)
            if kept is not None:
                self._kept.move_to_end(index)
                return kept
        frame = self._read(index)
        with self._lock:
            self._kept[index] = frame
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return frame

    @property
    def held_bytes(self) -> int:
        """What of them is in memory at most."""
        return min(self._most, len(self)) * (self.nbytes // max(len(self), 1))


class DiskFrames(KeepingFrames):
    """Frames in a file, one after the other as they are in memory."""

    def __init__(self, file: ScratchFile, shape: Sequence[int], dtype: DTypeLike, *, offset: int = 0) -> None:
        super().__init__(shape, dtype)
        self._file, self.offset = file, offset

    def _read(self, index: int) -> NDArray[Any]:
        frame = np.empty(self.shape[1:], self.dtype)
        self._file.read(self.offset + index * frame.nbytes, frame)
        return frame


def bits_bytes(count: int) -> int:
    """Bytes of so many bits."""
    return (count + 7) // 8


class BitFrames(KeepingFrames):
    """Masks in a file, one after the other, each as :meth:`packed` has it: an eighth of what they take in memory."""

    def __init__(self, file: ScratchFile, shape: Sequence[int]) -> None:
        super().__init__(shape, np.bool_)
        self._file = file

    @staticmethod
    def packed(frame: NDArray[Any]) -> NDArray[Any]:  # of bool -> [bytes] uint8
        """The bits of a mask, in its order; the last byte is filled up with zeros."""
        return np.packbits(frame)

    def _read(self, index: int) -> NDArray[Any]:
        count = int(np.prod(self.shape[1:], dtype=np.int64))
        bits = np.empty(bits_bytes(count), np.uint8)
        self._file.read(index * bits.nbytes, bits)
        return np.unpackbits(bits, count=count).view(np.bool_).reshape(self.shape[1:])


class PickedFrames(FrameStore):
    """Frames of another store, or of an array, by their indices there; in any order, repeats allowed."""

    def __init__(self, source: Frames, indices: Sequence[int]) -> None:
        super().__init__((len(indices), *source.shape[1:]), source.dtype)
        self._source, self._indices = source, indices

    def _load(self, index: int) -> NDArray[Any]:
        return self._source[int(self._indices[index])]


class SomeFrames(FrameStore):
    """Frames of which only some were kept; asking for another raises IndexError."""

    def __init__(self, source: Frames, kept: Collection[int], count: int) -> None:
        """``source`` has the kept ones, one after the other, of ``count`` that there were."""
        super().__init__((count, *source.shape[1:]), source.dtype)
        self._source, self._places = source, {index: place for place, index in enumerate(sorted(kept))}

    def _load(self, index: int) -> NDArray[Any]:
        if index not in self._places:
            raise IndexError(f"frame {index} was not kept")
        return self._source[self._places[index]]


class MappedFrames(KeepingFrames):
    """Another's frames, each changed by a function that keeps shape and type when it is asked for."""

    def __init__(self, source: Frames, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        super().__init__(source.shape, source.dtype)
        self._source, self._change = source, change

    def _read(self, index: int) -> NDArray[Any]:
        return self._change(self._source[index])


class JoinedFrames(FrameStore):
    """Two clips' frames side by side. Raises ShapeError where they differ in shape."""

    def __init__(self, left: Frames, right: Frames) -> None:
        if left.shape != right.shape:
            raise ShapeError(f"Frames side by side must have one shape, got {left.shape} and {right.shape}.")
        count, height, width, *rest = left.shape
        super().__init__((count, height, 2 * width, *rest), left.dtype)
        self._left, self._right = left, right

    def _load(self, index: int) -> NDArray[Any]:
        return np.concatenate([self._left[index], self._right[index]], axis=1)


class Bounded(Protocol):
    """What knows the bounds of its frames."""

    @property
    def bounds(self) -> NDArray[Any]:  # [T, 2]
        """Least and largest value of each frame; NaN where one is in it."""
        ...


def held_bytes(frames: Frames) -> int:
    """What frames take in memory, at most."""
    return frames.nbytes if isinstance(frames, np.ndarray) else frames.held_bytes


def bounds_of(frames: NDArray[Any] | Bounded) -> NDArray[Any]:  # [T, 2]
    """Least and largest value of each frame; NaN where one is in it. A store looks once."""
    return _bounds(frames) if isinstance(frames, np.ndarray) else frames.bounds


def _bounds(frames: Iterable[NDArray[Any]]) -> NDArray[Any]:
    with np.errstate(invalid="ignore"):
        found = [(frame.min(), frame.max()) for frame in frames]
    return np.array(found).reshape(-1, 2)
