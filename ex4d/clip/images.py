"""Images as arrays; which files are a clip's frames says :mod:`ex4d_ground.sequences`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from ex4d.clip.colours import ColourChoice, Picture, scaled_to_16_bits
from ex4d.clip.film_images import DPX_MAGICS, EXR_MAGIC, decode_dpx, read_exr_plate
from ex4d.clip.left_out import of_pictures
from ex4d.clip.orientation import AS_STORED, Orientation, from_exif
from ex4d.colour import View
from ex4d.colour.view import as_signals
from ex4d_ground.arrays import UInt8
from ex4d_ground.colour import ColourSpace
from ex4d_ground.errors import ClipError, InputError

_EXIF_ORIENTATION = 0x0112
_SAMPLED = 5
"""Frames of a linear sequence that are looked at for light above white."""
_SHARE_ABOVE_WHITE = 1e-4

# Its words about damaged files would stand beside the sentence that says what to do. Newer ones have that in a module.
getattr(cv2.utils, "logging", cv2).setLogLevel(0)


def read_image(path: Path, error: type[InputError] = ClipError) -> NDArray:  # [H, W] or [H, W, 3|4], BGR(A)
    """An image file exactly as stored (8 or 16 bits, or floats). Raises ``error`` if it is no image."""
    image = _decoded(_read_bytes(path, error))
    if image is None:
        raise error(f"{path} is not an image that can be read; replace the file.")
    return image


def read_rgb(path: Path) -> UInt8:  # [H, W, 3]
    """An image file as upright 8-bit sRGB (:class:`ex4d.colour.View`); alpha is dropped. Raises ClipError."""
    stored, space = read_plate(path)
    if stored.dtype == np.uint8:
        return stored
    unnamed = space.transfer == "named"
    return View.of(structs.replace(space, transfer="srgb") if unnamed else space).shown(stored)


def read_plate(path: Path) -> tuple[NDArray, ColourSpace]:  # [H, W, 3]
    """An image file as upright RGB in its own depth, and what its numbers mean; alpha is dropped.

    8 bits are uint8, deeper whole numbers uint16 (65535 is white), floats float16 or float32. What the file is, its
    first bytes say, whatever it is called. Raises ClipError.
    """
    data = _read_bytes(path, ClipError)
    head = data[:4].tobytes()
    if head == EXR_MAGIC:
        return read_exr_plate(path)
    if head in DPX_MAGICS:
        return decode_dpx(data.tobytes(), path)
    image = _decoded(data)
    if image is None:
        raise ClipError(f"{path} is not an image that can be read; replace the file.")
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise ClipError(f"{path} has {image.dtype} samples; colour frames must have 8 or 16 bits a channel, or floats.")
    rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else np.ascontiguousarray(image[..., 2::-1])
    floating = image.dtype == np.float32
    space = ColourSpace(transfer="linear" if floating else "srgb", bits=8 * image.itemsize, floating=floating)
    return exif_orientation(path)(rgb), space


class SequenceReader:
    """Makes pictures of image files that are one clip; ``note`` is told once what people should know of the colours."""

    def __init__(self, files: Sequence[Path], choice: ColourChoice, note: Callable[[str], None]) -> None:
        self._files = files
        first, stored = read_plate(files[0])
        self._kind = first.dtype
        space = choice.of(stored)
        if space.transfer == "named" and not space.name:  # shown as it is, and said
            note(f"{files[0].name} says that its numbers are logarithmic, not by which curve; say its colour space.")
            space = structs.replace(space, transfer="srgb")
        brighter = space.transfer in ("linear", "named") and self._brighter_than_white(space)
        self.view = View.of(space, brighter=brighter)
        """What the frames mean, and how they are shown."""
        if self.view.note():
            note(self.view.note())
        for text in of_pictures(files[0]):
            note(text)

    def pictures(self) -> Iterator[Picture]:
        """Each frame. Raises ClipError."""
        for path in self._files:
            stored, space = read_plate(path)
            if self._kind == np.uint8 and self.view.as_is:  # deeper frames among those of 8 bits are shown with them
                yield Picture(stored if stored.dtype == np.uint8 else self.view.shown(stored))
                continue
            plate = self._as_first(path, stored, space)
            yield Picture(self.view.shown(plate), plate)

    def _as_first(self, path: Path, stored: NDArray, space: ColourSpace) -> NDArray:
        """A frame's numbers as the first has them. Raises ClipError where that would lose some."""
        kind = np.dtype(np.uint16) if self._kind == np.uint8 else self._kind
        if space.floating != self.view.space.floating:
            kinds = ("floats", "whole numbers") if space.floating else ("whole numbers", "floats")
            raise ClipError(f"{path} holds {kinds[0]}, the frames before it {kinds[1]}; give frames of one kind.")
        if stored.dtype == np.uint8:
            return scaled_to_16_bits(stored, 8)
        if stored.dtype == np.float32 and kind == np.float16:
            raise ClipError(f"{path} holds 32-bit floats, the frames before it half floats; give frames of one kind.")
        return stored.astype(kind, copy=False)

    def _brighter_than_white(self, space: ColourSpace) -> bool:
        """Whether any of a few frames has more than a few pixels above white."""
        step = max(1, (len(self._files) - 1) // (_SAMPLED - 1))
        named = View.of(space) if space.transfer == "named" else None
        for path in self._files[::step]:
            stored = read_plate(path)[0]
            light = as_signals(stored) if named is None else named.light(stored)
            if float((light.max(axis=-1) > 1.0 + 1e-3).mean()) > _SHARE_ABOVE_WHITE:
                return True
        return False


def exif_orientation(path: Path) -> Orientation:
    """How an image is to be turned, as its EXIF data say; as stored where they say nothing."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return from_exif(image.getexif().get(_EXIF_ORIENTATION))
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError):
        return AS_STORED  # EXIF data that cannot be read say nothing; OpenCV has read the picture


def _read_bytes(path: Path, error: type[InputError]) -> NDArray[np.uint8]:
    try:
        return np.fromfile(path, np.uint8)  # cv2.imread cannot open some non-ASCII paths on Windows
    except OSError as reason:
        raise error(f"Cannot read {path}: {reason.strerror or reason}; check the file.") from reason


def _decoded(data: NDArray[np.uint8]) -> NDArray | None:
    try:
        return cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error:  # a header that announces more pixels than OpenCV takes
        return None
