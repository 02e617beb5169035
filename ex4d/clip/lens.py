"""What a video's or an image's metadata says about the lens it was taken with."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ex4d.clip.container import open_container
from ex4d.lens import Lens
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import ClipError, SettingError
from ex4d_ground.files import COLOUR_SUFFIXES
from ex4d_ground.sequences import FrameFiles, find_sequence

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


def read_lens(source: Path | bytes | FrameFiles, width: int, height: int) -> Intrinsics | None:
    """What a video's or an image's metadata says about its lens, for frames of this size; None if it says nothing.

    ``source`` is a video file, an image, a sequence of images (the first is asked), or the bytes of a video file.
    """
    if isinstance(source, bytes):
        return _from_container(source, width, height)
    if isinstance(source, Path) and not source.is_file():
        source = find_sequence(source, COLOUR_SUFFIXES)
    if isinstance(source, FrameFiles):
        return _from_exif(source.paths[0], width, height) if source.paths else None
    if source.suffix.lower() in COLOUR_SUFFIXES:
        return _from_exif(source, width, height)
    return _from_container(source, width, height)


def with_pixel_aspect(
    given: Lens, known: Intrinsics | None, video: Path | bytes | FrameFiles, size: tuple[int, int], pixel_aspect: float
) -> Intrinsics:
    """The lens of frames of ``size`` (height, width): given, else ``known``, else the metadata's, else the default.

    ``pixel_aspect`` is a pixel's width over its height. Whole intrinsics have their own fx and fy; an angle or a focal
    length is the horizontal one, to which fy follows; metadata speak of the picture as it is seen.
    """
    height, width = size
    used = given.at(width, height)
    if used is not None:
        return used if given.says_fy else replace(used, fy=used.fx * pixel_aspect)
    if known is not None:
        return known.resized(width, height)
    said = read_lens(video, max(round(width * pixel_aspect), 1), height)
    if said is not None:
        return said.resized(width, height)
    default = Intrinsics.from_fov(width, height)
    return replace(default, fy=default.fx * pixel_aspect)


def _from_container(source: Path | bytes, width: int, height: int) -> Intrinsics | None:
    try:
        with open_container(source, "the video") as container:
            tables: list[Mapping[str, str]] = [container.metadata, *(s.metadata for s in container.streams)]
            values = [t[k] for t in tables for k in _EQUIVALENT_KEYS if k in t]
    except (ClipError, OSError):
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
