"""The focal length: from metadata, a lens and sensor, a field of view or Blender's camera; and where it came from.

Order of trust in :func:`resolve_lens`: what the user gave, the file's metadata, the estimator's own estimate, a stated
default in degrees. Every result carries its origin in ``Intrinsics.source``.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ex4d.clip.lens import read_lens
from ex4d.lens import Lens
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import SettingError
from ex4d_ground.sequences import is_named

SensorFit = Literal["AUTO", "HORIZONTAL", "VERTICAL"]


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
    source: str | None = None,
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
    text = source or f"given: Blender camera, {lens_mm:g} mm on {sensor:g} mm"
    cx, cy = width / 2 - shift_x * view, height / 2 + shift_y * view * pixel_aspect
    return Intrinsics(fx, fx * pixel_aspect, cx, cy, width, height, text)


def resolve_lens(
    width: int,
    height: int,
    *,
    given: Lens | None = None,
    video: Path | None = None,
    estimated: Intrinsics | None = None,
    pixel_aspect: float = 1.0,
) -> Intrinsics:
    """The lens to use: given, else the metadata's, else the estimator's, else the default in degrees.

    ``pixel_aspect`` is a pixel's width over its height: fy of an angle or a focal length follows it.
    """
    known = given.at(width, height) if given is not None else None
    if known is None and video is not None and is_named(video):
        seen = read_lens(video, max(round(width * pixel_aspect), 1), height)
        if seen is not None:
            return seen.resized(width, height)
    if known is None and estimated is not None:
        return estimated.resized(width, height)
    if known is not None and given is not None and given.says_fy:
        return known
    known = known or Intrinsics.from_fov(width, height)
    return replace(known, fy=known.fx * pixel_aspect)


def lens_warning(lens: Intrinsics) -> str:
    """A sentence for the user if the lens is only assumed, else empty."""
    if not lens.is_assumed:
        return ""
    return (
        f"The focal length is not known; a field of view of {lens.fov_deg:.1f} degrees is assumed. "
        "Give the lens, or use an estimator that finds it."
    )
