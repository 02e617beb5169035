"""From raw values to z-depth: disparity, scale-free and metric values, units, and passes of other programs.

Everything works frame by frame on an array that may be memory-mapped, and in place where it is told to.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ex4d.progress import CancelToken, check
from ex4d.sky import SKY_DEPTH, SKY_FROM
from ex4d_ground.arrays import FAR, Float32
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.descriptions import Meaning
from ex4d_ground.errors import DepthError, SettingError

EX4D_SCALE = 10000.0 / 3900.0
"""Depth of the nearest possible point (relative disparity 1) in EX-4D's scenes: 2.564."""
EX4D_FAR = 10000.0
EX4D_SMALLEST = 1e-5 / 3900.0
"""EX-4D guards its division at 1e-5 after scaling by 3900."""

FileKind = Literal["depth", "disparity", "inverted", "ray"]
"""A depth file's numbers: z-depth; inverse depth; "white is near" on a linear scale; distance to the camera."""


@dataclass(frozen=True)
class ConvertOptions:
    """How values become z-depth. Defaults keep metric values and put relative ones at EX-4D's distances."""

    near_depth: float = EX4D_SCALE
    """Depth of the nearest point of disparity and scale-free values."""
    far_depth: float = EX4D_FAR
    """Deepest value that relative disparity is allowed to give."""
    unit_scale: float = 1.0
    """Factor on metric values: scene units per metre (0.01 for a scene in hundreds of metres)."""

    def __post_init__(self) -> None:
        for name in ("near_depth", "far_depth", "unit_scale"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SettingError(f"{name} must be a positive number, got {value}.")
            if not 1 / FAR <= value <= FAR:
                raise SettingError(f"{name} must be between {1 / FAR:g} and {FAR:g}, got {value:g}.")
        if self.near_depth >= self.far_depth:
            raise SettingError(f"near_depth {self.near_depth} must be smaller than far_depth {self.far_depth}.")


def disparity_to_depth(
    relative: Float32,  # any shape, 0 (far) .. 1 (near)
    options: ConvertOptions = ConvertOptions(),
) -> Float32:
    """EX-4D's mapping of relative disparity: near_depth / relative, limited to far_depth.

    With the defaults it is clip(10000 / max(3900 r, 1e-5), 0.0001, 10000).
    """
    return np.minimum(options.near_depth / np.maximum(relative, EX4D_SMALLEST), options.far_depth).astype(np.float32)


def values_to_depth(
    values: Float32,  # [T, H, W], overwritten
    meaning: Meaning,
    *,
    zero_is_infinity: bool = False,
    options: ConvertOptions = ConvertOptions(),
    cancel: CancelToken | None = None,
) -> Float32:  # the same array, positive z-depth; NaN where the value is none
    """Turn an estimator's values into z-depth, in place.

    Disparity is normalised over the clip: to its range, or to its maximum where 0 is known to mean infinity (then the
    ratio of depths is kept). Scale-free depth is scaled so that its nearest point (0.1 % quantile) is at
    ``near_depth``.
    """
    if meaning == "metric":
        factor, offset = options.unit_scale, 0.0
    else:
        low, high = _range(values, cancel)
        if meaning == "disparity":
            offset = 0.0 if zero_is_infinity else low
            if high <= offset:
                raise DepthError(
                    f"The disparity is {high:g} everywhere, which says nothing about depth; use another estimator."
                )
            factor = 1.0 / (high - offset)
        else:
            factor, offset = options.near_depth / _near_quantile(values), 0.0
    for frame in values:
        check(cancel)
        scaled = (frame - np.float32(offset)) * np.float32(factor)
        frame[...] = disparity_to_depth(scaled, options) if meaning == "disparity" else scaled
        frame[~(np.isfinite(frame) & (frame > 0))] = np.nan
    return values


def length_factor(values: Float32, meaning: Meaning, options: ConvertOptions = ConvertOptions()) -> float | None:
    """What :func:`values_to_depth` multiplies lengths with; None for disparity, whose unit and shift are unknown.

    To be asked before it, as it overwrites ``values`` [T, H, W].
    """
    if meaning == "disparity":
        return None
    return options.unit_scale if meaning == "metric" else options.near_depth / _near_quantile(values)


def file_to_depth(
    values: Float32,  # [T, H, W] as read, overwritten
    kind: FileKind = "depth",
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    far_depth: float = EX4D_FAR,
    intrinsics: Intrinsics | None = None,
    cancel: CancelToken | None = None,
) -> Float32:
    """Turn the numbers of a depth file into z-depth, in place: value * scale + offset, then what ``kind`` asks for.

    "depth": already z (Blender's Depth/Z pass). "disparity": 1 / value, as Nuke's depth channel (its ScanlineRender
    writes 1/z, 0 at infinity). "inverted": largest is nearest on a linear scale, so z = max - value + min. "ray":
    distance to the camera centre, as some renderers write it; needs ``intrinsics``. What is no depth becomes NaN;
    infinity, and what renderers write for it, is sky and stays the deepest (:mod:`ex4d.sky`).
    """
    if kind not in ("depth", "disparity", "inverted", "ray"):
        raise SettingError(f"Depth kind must be depth, disparity, inverted or ray, got {kind!r}.")
    if kind == "ray" and intrinsics is None:
        raise SettingError("Ray distances need the lens to become depth; give a field of view or a focal length.")
    if not (math.isfinite(scale) and scale != 0 and math.isfinite(offset)):
        raise SettingError(f"Scale must be finite and not 0, offset finite; got {scale} and {offset}.")
    total = sum(_range(values, cancel)) * scale + 2 * offset if kind == "inverted" else 0.0
    rays = ray_lengths(intrinsics) if intrinsics is not None and kind == "ray" else None
    for frame in values:
        check(cancel)
        sky = frame >= SKY_FROM if kind in ("depth", "ray") else None
        z = frame * np.float32(scale) + np.float32(offset)
        if kind == "disparity":
            with np.errstate(divide="ignore"):
                z = np.minimum(1.0 / z, np.float32(far_depth))
        elif kind == "inverted":
            z = np.float32(total) - z
        elif rays is not None:
            z = z / rays
        z[~(np.isfinite(z) & (z > 0))] = np.nan
        if sky is not None:
            z[sky] = SKY_DEPTH
        frame[...] = z
    return values


def ray_lengths(intrinsics: Intrinsics) -> Float32:  # [H, W]
    """Length of each pixel centre's viewing ray per unit of z."""
    x = (np.arange(intrinsics.width) + 0.5 - intrinsics.cx) / intrinsics.fx
    y = (np.arange(intrinsics.height) + 0.5 - intrinsics.cy) / intrinsics.fy
    return np.sqrt(1 + x[None, :] ** 2 + y[:, None] ** 2).astype(np.float32)


def _range(values: Float32, cancel: CancelToken | None) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    for frame in values:
        check(cancel)
        finite = frame[np.isfinite(frame)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise DepthError("Depth holds no finite value in any frame; check the estimator or the file.")
    return low, high


def _near_quantile(values: Float32) -> float:
    near = [float(np.quantile(f[ok], 1e-3)) for f in values if (ok := np.isfinite(f) & (f > 0)).any()]
    if not near:
        raise DepthError("Depth holds no positive value in any frame; check the estimator or the file.")
    return min(near)
