"""Pictures as PNG, fast: one filter for a whole picture, and a deflate made for speed where there is one.

The fastest level of :mod:`ex4d.frames.deflate`: the pixels are the same with either of the two that there are.
"""

import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ex4d.frames.deflate import deflate
from ex4d_ground.errors import ShapeError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SUB, _UP = 1, 2
_LOOKED_AT = 16
"""One row in so many says which filter leaves less."""


def encode_png(pixels: NDArray[np.uint8], text: Mapping[str, str] = {}) -> bytes:  # [H, W, 3] RGB or [H, W] grey
    """The bytes of a PNG file of 8 bits a channel, with ``text`` in its metadata (Latin-1). Raises ShapeError."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)) or not pixels.size:
        raise ShapeError(f"A picture must be [H, W, 3] or [H, W] uint8, got {pixels.shape} {pixels.dtype}.")
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    data = deflate.compress(_filtered(pixels).reshape(-1).data, 1)
    parts = [_SIGNATURE, *_chunk(b"IHDR", header)]
    for key, value in text.items():
        parts += _chunk(b"tEXt", key.encode("latin-1") + b"\0" + value.encode("latin-1", "replace"))
    return b"".join([*parts, *_chunk(b"IDAT", data), *_chunk(b"IEND", b"")])


def _filtered(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:  # [H, 1 + W * C]
    """Each row less its left neighbours, or less the row above, with the filter's number before it."""
    step = pixels.shape[2] if pixels.ndim == 3 else 1
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    kind = _SUB if _roughness(rows, step) <= _roughness(rows, 0) else _UP
    out = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
    out[:, 0] = kind
    if kind == _SUB:
        out[:, 1 : 1 + step] = rows[:, :step]
        np.subtract(rows[:, step:], rows[:, :-step], out=out[:, 1 + step :])
    else:
        out[0, 1:] = rows[0]
        np.subtract(rows[1:], rows[:-1], out=out[1:, 1:])
    return out


def _roughness(rows: NDArray[np.uint8], step: int) -> float:
    """How much is left, on average, of the difference to the left (``step`` bytes away) or, for 0, to above."""
    some = rows[1::_LOOKED_AT].astype(np.int16)
    if not some.size or (step and some.shape[1] <= step):
        return float("inf") if step else 0.0
    above = rows[:-1:_LOOKED_AT][: len(some)]
    return float(np.abs(some[:, step:] - some[:, :-step] if step else some - above).mean())


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", deflate.crc32(data, deflate.crc32(kind)))
