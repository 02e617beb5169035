"""Folders of numbered images: which files, in which order, as which arrays."""

import re
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import ClipError, InputError

COLOUR_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


def natural_key(path: Path) -> list[int | str]:
    """Sort key by which frame_9.png comes before frame_10.png."""
    return [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", path.name)]


def image_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """The folder's files with one of ``suffixes``, naturally sorted; hidden files are not frames."""
    wanted = set(suffixes)
    files = (p for p in folder.iterdir() if p.suffix.lower() in wanted and not p.name.startswith("."))
    return sorted((p for p in files if p.is_file()), key=natural_key)


def read_image(path: Path, error: type[InputError] = ClipError) -> NDArray:  # [H, W] or [H, W, 3|4], BGR(A)
    """An image file exactly as stored (8 or 16 bits). Raises ``error`` if it is no image."""
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open some non-ASCII paths on Windows
    except OSError as reason:
        raise error(f"Cannot read {path}: {reason.strerror or reason}; check the file.") from reason
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        raise error(f"{path} is not an image that can be read; replace the file.")
    return image


def read_rgb(path: Path) -> UInt8:  # [H, W, 3]
    """An image file as 8-bit RGB; alpha is dropped, 16 bits become 8. Raises ClipError."""
    image = read_image(path)
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ClipError(f"{path} has {image.dtype} samples; colour frames must have 8 or 16 bits a channel.")
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image[..., 2::-1])
