"""OpenEXR files: their channels by full name, as pictures of their display window."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ex4d_ground.colour import Chromaticities
from ex4d_ground.errors import InputError

_LARGEST_SIDE = 32768
"""Pixels: a display window beyond this is a damaged header, not a picture."""


@dataclass(frozen=True)
class ExrChannel:
    """One channel of one part."""

    name: str
    """As people choose it: with the part's name before it where a file has several."""
    part: int
    """Index of the part that holds it."""
    key: str
    """Its name within the part."""
    view: str = ""
    """Which eye of a stereo file it shows, where the file says so."""


@dataclass(frozen=True)
class Exr:
    """An open file: its channels, and their pixels on request."""

    channels: tuple[ExrChannel, ...]
    _parts: list[Any]

    def size(self, channel: ExrChannel) -> tuple[int, int]:
        """Height and width of the channel's display window."""
        (left, top), (right, bottom) = _window(self._parts[channel.part], "displayWindow")
        return bottom - top + 1, right - left + 1

    def pixel_aspect(self, channel: ExrChannel) -> float:
        """Width of a pixel over its height."""
        return float(self._parts[channel.part].header.get("pixelAspectRatio", 1.0))

    def chromaticities(self, channel: ExrChannel) -> Chromaticities | None:
        """x and y of red, green, blue and white of the channel's part; None where it does not say them."""
        said = self._parts[channel.part].header.get("chromaticities")
        return None if said is None else tuple(float(value) for value in said)  # type: ignore[return-value]

    def header(self, channel: ExrChannel) -> dict[str, Any]:
        """All attributes of the channel's part."""
        return dict(self._parts[channel.part].header)

    def picture(self, channel: ExrChannel, *, outside: float) -> NDArray:  # [H, W]
        """The channel in its display window; what the data window leaves out has the value ``outside``."""
        part = self._parts[channel.part]
        pixels = np.asarray(part.channels[channel.key].pixels)
        if pixels.dtype == object or pixels.ndim != 2:
            raise ValueError(f"the channel {channel.name} is deep or subsampled")
        display, data = _window(part, "displayWindow"), _window(part, "dataWindow")
        if pixels.shape != (data[1][1] - data[0][1] + 1, data[1][0] - data[0][0] + 1):
            raise ValueError(f"the channel {channel.name} is subsampled")
        if display == data:
            return np.array(pixels)
        height, width = self.size(channel)
        kind = pixels.dtype if pixels.dtype.kind == "f" else np.dtype(np.float32)
        picture = np.full((height, width), outside, kind)
        left, top = (data[0][i] - display[0][i] for i in (0, 1))
        rows = slice(max(top, 0), min(top + pixels.shape[0], height))
        columns = slice(max(left, 0), min(left + pixels.shape[1], width))
        if rows.start < rows.stop and columns.start < columns.stop:
            picture[rows, columns] = pixels[
                rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
            ]
        return picture


@contextmanager
def open_exr(path: Path, error: type[InputError]) -> Iterator[Exr]:
    """Open a file. Raises ``error``, also for what goes wrong in the block, if it is none that can be read."""
    import OpenEXR

    try:
        # Read as a stream: the library opens paths by the C locale's name, which fails for some on Windows.
        with path.open("rb") as stream:
            with OpenEXR.File(stream, separate_channels=True, header_only=True) as file:
                count = len(file.parts)
                for part in file.parts:
                    _check_window(part)
            stream.seek(0)
            with OpenEXR.File(stream, separate_channels=True) as file:
                parts = list(file.parts)
                if not 0 < count == len(parts):  # the library leaves out what it cannot decode
                    raise ValueError("its pixels are damaged or cut short")
                yield Exr(tuple(_channels(parts)), parts)
    except InputError:
        raise
    except (RuntimeError, OSError, ValueError, TypeError, KeyError) as reason:
        text = f"{path} is not an EXR file that can be read ({reason}); render or export it again."
        raise error(text) from reason


def _channels(parts: list[Any]) -> Iterator[ExrChannel]:
    for index, part in enumerate(parts):
        name = part.name() or ""
        views = [str(view) for view in part.header.get("multiView", ())]
        for key in part.channels:
            full = key
            if len(parts) > 1 and name and not key.lower().startswith(f"{name.lower()}."):
                full = f"{name}.{key}"
            view = str(part.header.get("view", "")) or _view(key, views)
            yield ExrChannel(full, index, key, view)


def _view(key: str, views: list[str]) -> str:
    """The eye of a channel: the last component before its own name, else the file's first."""
    components = key.split(".")
    named = components[-2] if len(components) > 1 else ""
    return named if named in views else (views[0] if views else "")


def _window(part: Any, name: str) -> tuple[tuple[int, int], tuple[int, int]]:
    (left, top), (right, bottom) = part.header[name]
    return (int(left), int(top)), (int(right), int(bottom))


def _check_window(part: Any) -> None:
    (left, top), (right, bottom) = _window(part, "displayWindow")
    if not (0 <= right - left < _LARGEST_SIDE and 0 <= bottom - top < _LARGEST_SIDE):
        raise ValueError(f"its display window is {right - left + 1}x{bottom - top + 1}")
