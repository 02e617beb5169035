"""Images as arrays; which files are a clip's frames says :mod:`ex4d_ground.sequences`."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ex4d.clip.film_images import DPX_MAGICS, EXR_MAGIC, decode_dpx, read_exr_rgb
from ex4d.clip.orientation import AS_STORED, Orientation, from_exif
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import ClipError, InputError

_EXIF_ORIENTATION = 0x0112


def read_image(path: Path, error: type[InputError] = ClipError) -> NDArray:  # [H, W] or [H, W, 3|4], BGR(A)
    """An image file exactly as stored (8 or 16 bits, or floats). Raises ``error`` if it is no image."""
    image = _decoded(_read_bytes(path, error))
    if image is None:
        raise error(f"{path} is not an image that can be read; replace the file.")
    return image


def read_rgb(path: Path) -> UInt8:  # [H, W, 3]
    """An image file as upright 8-bit RGB: alpha is dropped, 16 bits become 8, linear EXR becomes sRGB.

    What the file is, its first bytes say, whatever it is called. Raises ClipError.
    """
    data = _read_bytes(path, ClipError)
    head = data[:4].tobytes()
    if head == EXR_MAGIC:
        return read_exr_rgb(path)
    if head in DPX_MAGICS:
        return decode_dpx(data.tobytes(), path)
    image = _decoded(data)
    if image is None:
        raise ClipError(f"{path} is not an image that can be read; replace the file.")
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ClipError(f"{path} has {image.dtype} samples; colour frames must have 8 or 16 bits a channel.")
    rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else np.ascontiguousarray(image[..., 2::-1])
    return exif_orientation(path)(rgb)


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
