"""Turning pictures upright: the eight orientations of containers' display matrices and of EXIF."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Orientation:
    """Rows and columns exchanged first, then turned over."""

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def __call__(self, picture: NDArray) -> NDArray:  # [H, W, ...]
        """The picture as it is to be seen, contiguous."""
        if self.transposed:
            picture = picture.swapaxes(0, 1)
        if self.flip_x:
            picture = picture[:, ::-1]
        if self.flip_y:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)


AS_STORED = Orientation()
_EXIF = {
    1: AS_STORED,
    2: Orientation(flip_x=True),
    3: Orientation(flip_x=True, flip_y=True),
    4: Orientation(flip_y=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, flip_x=True),
    7: Orientation(transposed=True, flip_x=True, flip_y=True),
    8: Orientation(transposed=True, flip_y=True),
}
"""CIPA DC-008 (EXIF), tag 0x0112: where the picture's first row and first column are seen."""


def from_exif(value: object) -> Orientation:
    """The orientation of an EXIF tag's value; as stored for anything that is none."""
    return _EXIF.get(value, AS_STORED) if isinstance(value, int) else AS_STORED


def from_matrix(matrix: bytes) -> Orientation:
    """The nearest of the eight to a display matrix (ISO/IEC 14496-12, 8.3.2): nine 32-bit numbers a b u, c d v, x y w.

    A stored point (p, q) is seen at (a p + c q, b p + d q), apart from a shift.
    """
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def of_frame(frame: Any) -> Orientation:
    """The orientation of a decoded frame, from its display matrix if it has one."""
    from av.sidedata.sidedata import Type

    data = frame.side_data.get(Type.DISPLAYMATRIX)
    return AS_STORED if data is None else from_matrix(bytes(data))


class OrientationReader:
    """The orientation of one frame after the other of a stream.

    Side data is asked for only where the angle that a frame is turned by is not that of the frame before: PyAV's side
    data and its frame refer to each other, so that every frame asked for it would stay in memory until Python looks for
    such circles, which may be hundreds of frames later.
    """

    def __init__(self) -> None:
        self._angle: float | None = None
        self._last = AS_STORED

    def __call__(self, frame: Any) -> Orientation:
        """The orientation of the next frame."""
        angle = frame.rotation
        if angle != self._angle:
            self._angle, self._last = angle, of_frame(frame)
        return self._last
