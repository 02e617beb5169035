"""What a video's or an image's metadata says about the lens it was taken with."""

import io
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ex4d.clip.images import COLOUR_SUFFIXES, image_files
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import SettingError

FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
"""Diagonal of a 35 mm film frame, to which "35 mm equivalent" focal lengths refer."""

_EQUIVALENT_KEYS = ("com.apple.quicktime.camera.focal_length.35mm_equivalent", "camera.focal_length.35mm_equivalent")
_EXIF_IFD, _FOCAL, _EQUIVALENT, _PLANE_X, _PLANE_UNIT, _PIXELS_X = 0x8769, 0x920A, 0xA405, 0xA20E, 0xA210, 0xA002
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0}


def from_film_equivalent(width: int, height: int, focal_mm: float, source: str) -> Intrinsics:
    """Lens from a 35 mm equivalent focal length, matched on the diagonal as phones and cameras state it."""
    if not (math.isfinite(focal_mm) and focal_mm > 0):
        raise SettingError(f"A 35 mm equivalent focal length must be positive millimetres, got {focal_mm}.")
    return Intrinsics.from_focal(width, height, focal_mm * math.hypot(width, height) / FILM_DIAGONAL_MM, source)


def read_lens(source: Path | bytes, width: int, height: int) -> Intrinsics | None:
    """What a video's or an image's metadata says about its lens, for frames of this size; None if it says nothing.

    ``source`` is a video file, an image, a folder of images (the first is asked), or the bytes of a video file.
    """
    if isinstance(source, bytes):
        return _from_container(io.BytesIO(source), width, height)
    if source.is_dir():
        files = image_files(source, COLOUR_SUFFIXES)
        return _from_exif(files[0], width, height) if files else None
    if source.suffix.lower() in COLOUR_SUFFIXES:
        return _from_exif(source, width, height)
    return _from_container(str(source), width, height)


def _from_container(file: str | io.BytesIO, width: int, height: int) -> Intrinsics | None:
    import av
    from av.error import FFmpegError

    try:
        with av.open(file, options={"protocol_whitelist": "file"}) as container:
            tables: list[Mapping[str, str]] = [container.metadata, *(s.metadata for s in container.streams)]
            values = [t[k] for t in tables for k in _EQUIVALENT_KEYS if k in t]
    except (FFmpegError, OSError):
        return None  # whether the file can be read as a video is said where it is read
    for text in values:
        focal = _number(text)
        if focal:
            return from_film_equivalent(width, height, focal, f"metadata: {focal:g} mm (35 mm equivalent, QuickTime)")
    return None


def _from_exif(path: Path, width: int, height: int) -> Intrinsics | None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            tags = image.getexif()
            exif = {**dict(tags), **dict(tags.get_ifd(_EXIF_IFD))}
            stored_width = max(image.size) if width >= height else min(image.size)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
        return None
    equivalent = _number(exif.get(_EQUIVALENT))
    if equivalent:
        text = f"metadata: {equivalent:g} mm (35 mm equivalent, EXIF)"
        return from_film_equivalent(width, height, equivalent, text)
    focal, per_unit = _number(exif.get(_FOCAL)), _number(exif.get(_PLANE_X))
    unit = _MM_PER_UNIT.get(int(_number(exif.get(_PLANE_UNIT)) or 2))
    if focal and per_unit and unit:
        # resolution counts the pixels of the stored picture per unit of sensor
        sensor = (_number(exif.get(_PIXELS_X)) or stored_width) / per_unit * unit
        text = f"metadata: {focal:g} mm lens on a {sensor:.4g} mm sensor (EXIF)"
        longer = max(width, height)
        return replace(Intrinsics.from_focal(width, height, focal * longer / sensor), source=text)
    return None


def _number(value: object) -> float | None:
    """A positive finite number, or None."""
    try:
        number = float(str(value).split()[0])
    except (ValueError, IndexError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None
