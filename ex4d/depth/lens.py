"""The focal length: from metadata, a lens and sensor, a field of view or Blender's camera; and where it came from.

Order of trust in :func:`resolve_lens`: what the user gave, the file's metadata, the estimator's own estimate, a stated
default in degrees. Every result carries its origin in ``Intrinsics.source``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ex4d.clip.images import COLOUR_SUFFIXES, image_files
from ex4d.errors import SettingError
from ex4d.types import Intrinsics

FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
"""Diagonal of a 35 mm film frame, to which "35 mm equivalent" focal lengths refer."""

_EQUIVALENT_KEYS = ("com.apple.quicktime.camera.focal_length.35mm_equivalent", "camera.focal_length.35mm_equivalent")
_EXIF_IFD, _FOCAL, _EQUIVALENT, _PLANE_X, _PLANE_UNIT, _PIXELS_X = 0x8769, 0x920A, 0xA405, 0xA20E, 0xA210, 0xA002
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0}
SensorFit = Literal["AUTO", "HORIZONTAL", "VERTICAL"]


def from_film_equivalent(width: int, height: int, focal_mm: float, source: str) -> Intrinsics:
    """Lens from a 35 mm equivalent focal length, matched on the diagonal as phones and cameras state it."""
    if not (math.isfinite(focal_mm) and focal_mm > 0):
        raise SettingError(f"A 35 mm equivalent focal length must be positive millimetres, got {focal_mm}.")
    return Intrinsics.from_focal(width, height, focal_mm * math.hypot(width, height) / FILM_DIAGONAL_MM, source)


def from_lens(
    width: int, height: int, focal_mm: float, sensor_width_mm: float, *, source: str | None = None
) -> Intrinsics:
    """Lens from a focal length and the width of the sensor area that the frames show, both in millimetres."""
    if not (math.isfinite(focal_mm) and focal_mm > 0 and math.isfinite(sensor_width_mm) and sensor_width_mm > 0):
        raise SettingError(
            f"Focal length and sensor width must be positive millimetres, got {focal_mm} and {sensor_width_mm}."
        )
    text = source or f"given: {focal_mm:g} mm lens on a {sensor_width_mm:g} mm sensor"
    return Intrinsics.from_focal(width, height, focal_mm * width / sensor_width_mm, text)


def from_vertical_fov(width: int, height: int, fov_deg: float) -> Intrinsics:
    """Lens from a vertical field of view in degrees."""
    if not 0 < fov_deg < 180:
        raise SettingError(f"A vertical field of view must lie between 0 and 180 degrees, got {fov_deg}.")
    focal = 0.5 * height / math.tan(math.radians(fov_deg) / 2)
    return Intrinsics.from_focal(width, height, focal, f"given: {fov_deg:g} deg vertical")


def from_blender_camera(
    width: int,
    height: int,
    *,
    lens_mm: float = 50.0,
    sensor_width_mm: float = 36.0,
    sensor_height_mm: float = 24.0,
    sensor_fit: SensorFit = "AUTO",
    shift_x: float = 0.0,
    shift_y: float = 0.0,
    pixel_aspect: float = 1.0,
) -> Intrinsics:
    """Lens from the values of a perspective Blender camera and the render size.

    ``pixel_aspect`` is the pixel's width over its height (aspect_x / aspect_y). Shifts are shares of the side that the
    sensor is fitted to; a positive shift moves the view right and up, hence the principal point left and down.
    """
    if min(lens_mm, sensor_width_mm, sensor_height_mm, pixel_aspect) <= 0:
        raise SettingError(
            "Lens, sensor and pixel aspect of a camera must be positive, got "
            f"{lens_mm}, {sensor_width_mm} x {sensor_height_mm}, {pixel_aspect}."
        )
    if sensor_fit not in ("AUTO", "HORIZONTAL", "VERTICAL"):
        raise SettingError(f"Sensor fit must be AUTO, HORIZONTAL or VERTICAL, got {sensor_fit!r}.")
    tall = height > width * pixel_aspect
    along_height = sensor_fit == "VERTICAL" or (sensor_fit == "AUTO" and tall)
    # AUTO always measures the sensor's width, along whichever side is longer
    sensor = sensor_height_mm if sensor_fit == "VERTICAL" else sensor_width_mm
    # pixels of the x axis' size that the sensor spans
    view = height / pixel_aspect if along_height else width
    fx = lens_mm / sensor * view
    text = f"Blender camera: {lens_mm:g} mm on {sensor:g} mm"
    cx, cy = width / 2 - shift_x * view, height / 2 + shift_y * view * pixel_aspect
    return Intrinsics(fx, fx * pixel_aspect, cx, cy, width, height, text)


def read_lens(source: Path, width: int, height: int) -> Intrinsics | None:
    """What a video's or an image's metadata says about its lens, for frames of this size; None if it says nothing."""
    if source.is_dir():
        files = image_files(source, COLOUR_SUFFIXES)
        return _from_exif(files[0], width, height) if files else None
    if source.suffix.lower() in COLOUR_SUFFIXES:
        return _from_exif(source, width, height)
    return _from_container(source, width, height)


def resolve_lens(
    width: int,
    height: int,
    *,
    given: Intrinsics | None = None,
    video: Path | None = None,
    estimated: Intrinsics | None = None,
) -> Intrinsics:
    """The lens to use: given, else the metadata's, else the estimator's, else the default in degrees."""
    if given is not None:
        return given if (given.width, given.height) == (width, height) else given.resized(width, height)
    found = read_lens(video, width, height) if video is not None and video.exists() else None
    if found is not None:
        return found
    if estimated is not None:
        return estimated.resized(width, height)
    return Intrinsics.from_fov(width, height)


def lens_warning(lens: Intrinsics) -> str:
    """A sentence for the user if the lens is only assumed, else empty."""
    if not lens.source.startswith("default"):
        return ""
    return (
        f"The focal length is not known; a field of view of {lens.fov_deg:.1f} degrees is assumed. "
        "Give --fov, --focal-mm with --sensor-mm, or use an estimator that finds it."
    )


def _from_container(path: Path, width: int, height: int) -> Intrinsics | None:
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
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
