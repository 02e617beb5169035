"""Telling players that a movie holds two eyes: the ``st3d`` box of MP4 and MOV.

The box is that of Google's Spherical Video V2 description (a full box of version 0 with one byte, the layout), which
FFmpeg, YouTube and players read; it stands in the video's sample entry. FFmpeg writes none that Python could ask for,
so it is put into the finished file, whose header comes last: growing it moves no sample.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from ex4d_ground.errors import OutputError

_LEFT_RIGHT = 2
"""The layout of two eyes side by side, the left one first."""
_WITHIN = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_COUNTED = 8
"""Bytes of ``stsd`` before its entries: version, flags and their number."""


def mark_side_by_side(path: Path) -> None:
    """Say in a movie that FFmpeg has just written that both eyes are in each picture. Raises OutputError."""
    box = struct.pack(">I4sIB", 13, b"st3d", 0, _LEFT_RIGHT)
    with path.open("r+b") as file:
        start, size = _header_of(path)
        file.seek(start)
        header = bytearray(file.read(size))
        way = _way_to_video(header)
        if way is None or path.stat().st_size != start + size:
            raise OutputError(f"{path} is no movie that can be marked as stereo; choose another format.")
        end = way[-1] + _number(header, way[-1])
        header[end:end] = box
        for at in way:
            header[at : at + 4] = struct.pack(">I", _number(header, at) + len(box))
        file.seek(start)
        file.write(header)


def _header_of(path: Path) -> tuple[int, int]:
    """Where ``moov`` begins, and its bytes; 0, 0 where there is none."""
    end = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + 8 <= end:
            file.seek(at)
            size, kind = struct.unpack(">I4s", file.read(8))
            if size == 1:
                size = struct.unpack(">Q", file.read(8))[0]
            if kind == b"moov":
                return at, size
            if size < 8:
                break
            at += size
    return 0, 0


def _way_to_video(header: bytearray) -> list[int] | None:
    """Where the boxes begin from ``moov`` to the sample entry of the first video; None where there is none."""
    if len(header) < 8:
        return None
    for track in _inside(header, 0, b"trak"):
        way = [0, track]
        for kind in _WITHIN[2:]:
            found = next(_inside(header, way[-1], kind), None)
            if found is None:
                break
            way.append(found)
        handler = next(_inside(header, way[2], b"hdlr"), None) if len(way) > 2 else None
        if len(way) == len(_WITHIN) and handler is not None and header[handler + 16 : handler + 20] == b"vide":
            return [*way, way[-1] + 8 + _COUNTED]
    return None


def _inside(header: bytearray, at: int, kind: bytes) -> Iterator[int]:
    """Where boxes of a kind begin in the box at ``at``."""
    end, inner = at + _number(header, at), at + 8
    while inner + 8 <= end:
        if header[inner + 4 : inner + 8] == kind:
            yield inner
        inner += max(_number(header, inner), 8)


def _number(header: bytearray, at: int) -> int:
    return struct.unpack_from(">I", header, at)[0]
