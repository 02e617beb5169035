"""Soft depth edges made into steps: what lies on the ramp between a near and a far surface goes to one of them.

Estimators see a reduced picture, so their depth edges are ramps a few pixels wide: in a mesh they are sheets of rubber.
True depth has steps, and a step is left alone, so hardly any harm is done where nothing is wrong. Along the steeper
axis every pixel looks for both ends of the ramp it lies on; a slope that does not end soon is a surface, not an edge.
The pixel takes the depth of the end whose disparity is nearer; near the middle, where that is a toss-up, the picture's
colours at the two ends decide. No depth arises between the two.

Measured on the example and three other Blender scenes (``tests/depth/test_sharpen.py`` holds the bars):

    depth            more than 10 % off, around edges    F-score of edge places (1 px)
    blurred by 1 px  19.4 -> 9.3 %                       0.72 -> 0.92
    blurred by 2 px  36.2 -> 28.8 %                      0.33 -> 0.69
    a quarter size   36.8 -> 28.9 %                      0.35 -> 0.62
    true             0 -> 0.10 % (0.035 % of all)        1 -> 0.998

Steps in the wrong place stay there: see :func:`ex4d.depth.align_edges`.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ex4d_ground.arrays import Bool, Float32, Float64, Int64, UInt8

_SLOPE_SHARE = 0.25
"""A ramp goes on while its slope is at least this share of the slope at the pixel."""
_TAIL_SHARE = 0.1
"""Where it falls below this share, the surface beyond has been reached."""
_LEAST_STEPS = 3
"""A ramp of fewer pixel steps is a true edge, or one whose pixels are part near and part far."""
_FLAT = 0.01
"""Relative change of disparity from pixel to pixel below which there is no edge."""
_TOSS_UP = 0.2
"""Distance from the middle of the ramp, as a share of it, within which colours may decide."""
_NOISE = 25.0
"""Difference of colours, in levels of each channel, that says as much as the place on the ramp does."""


@dataclass(frozen=True)
class _Ramps:
    """Pixels on ramps, as flat indices, with the ends of the ramp that each lies on."""

    pixels: Int64  # [N]
    steps: Int64  # [N] from one pixel to the next along the ramp: 1 or the width
    first: Int64  # [N] the end with the smaller index
    last: Int64  # [N]


def sharpen_edges(
    depth: Float32,  # [H, W] positive and finite
    image: UInt8,  # [H, W, 3]
    *,
    reach: int = 10,
    jump: float = 0.15,
) -> Float32:  # [H, W]
    """Depth without ramps of up to ``reach`` pixels at 512 px width across which it changes by more than ``jump``."""
    disparity = (1 / depth).astype(np.float32)
    ramps = _find_ramps(disparity, max(4, round(reach * depth.shape[1] / 512)))
    flat = disparity.reshape(-1)
    low, high = flat[ramps.first], flat[ramps.last]
    near, far = np.maximum(low, high), np.minimum(low, high)
    edge = near > far * (1 + jump)
    if not edge.any():
        return depth
    place = (flat[ramps.pixels] - far) / np.maximum(near - far, np.finfo(np.float32).tiny)  # 0 far .. 1 near
    colour, trust = _colour_place(image, ramps, low > high)
    trust = trust * np.clip(1 - np.abs(place - 0.5) / _TOSS_UP, 0, 1)
    is_near = (1 - trust) * (place - 0.5) + trust * (colour - 0.5) > 0
    sharp = depth.copy().reshape(-1)
    ends = np.where(is_near == (low > high), ramps.first, ramps.last)
    sharp[ramps.pixels[edge]] = depth.reshape(-1)[ends[edge]]
    return sharp.reshape(depth.shape)


def _find_ramps(disparity: Float32, reach: int) -> _Ramps:
    """The pixels strictly within a ramp that ends on both sides within ``reach`` pixels."""
    width = disparity.shape[1]
    # the slope from each pixel to the next; none across the picture's border, nor beyond it (the last entry)
    right = np.zeros_like(disparity)
    right[:, :-1] = np.diff(disparity, axis=1)
    down = np.zeros_like(disparity)
    down[:-1] = np.diff(disparity, axis=0)
    upright = np.abs(_two_sided(down, axis=0)) > np.abs(_two_sided(right, axis=1))
    steep = np.where(upright, np.abs(_two_sided(down, axis=0)), np.abs(_two_sided(right, axis=1))) > _FLAT * disparity
    pixels = np.flatnonzero(steep)
    along_y = upright.reshape(-1)[pixels]
    slopes = (np.append(right, np.float32(0)), np.append(down, np.float32(0)))
    steps = np.where(along_y, width, 1)
    before = _slope(slopes, along_y, pixels - steps)
    after = _slope(slopes, along_y, pixels)
    own = np.where(np.abs(before) > np.abs(after), before, after)
    back = _walk(slopes, along_y, pixels - steps, -steps, own, reach)
    ahead = _walk(slopes, along_y, pixels, steps, own, reach)
    inside = (back >= 1) & (ahead >= 1) & (back < reach) & (ahead < reach) & (back + ahead >= _LEAST_STEPS)
    pixels, steps, along_y, own = pixels[inside], steps[inside], along_y[inside], own[inside]
    # where the ramp has run out altogether, the surfaces begin
    back = _walk(slopes, along_y, pixels - steps, -steps, own, reach, share=_TAIL_SHARE)
    ahead = _walk(slopes, along_y, pixels, steps, own, reach, share=_TAIL_SHARE)
    return _Ramps(pixels, steps, pixels - back * steps, pixels + ahead * steps)


def _two_sided(slope: Float32, *, axis: int) -> Float32:
    """The slope over two steps, around each pixel."""
    return slope + np.roll(slope, 1, axis=axis)  # the border's slope is 0, so nothing comes round


def _slope(slopes: tuple[Float32, Float32], along_y: Bool, index: Int64) -> Float32:  # [N]
    """Slope from pixel ``index`` to its next one; 0 outside the picture."""
    index = np.where((index < 0) | (index >= slopes[0].size - 1), slopes[0].size - 1, index)
    return np.where(along_y, slopes[1][index], slopes[0][index])


def _walk(
    slopes: tuple[Float32, Float32],
    along_y: Bool,
    start: Int64,
    steps: Int64,
    own: Float32,
    reach: int,
    *,
    share: float = _SLOPE_SHARE,
) -> Int64:  # [N]
    """How many steps the ramp goes on from ``start``, at most ``reach``."""
    count = np.zeros(len(start), np.int64)
    going = np.arange(len(start))
    for k in range(reach):
        slope = _slope(slopes, along_y[going], start[going] + k * steps[going])
        goes_on = slope * np.sign(own[going]) >= np.maximum(share * np.abs(own[going]), 1e-12)
        going = going[goes_on]
        count[going] += 1
        if not going.size:
            break
    return count


def _colour_place(image: UInt8, ramps: _Ramps, first_is_near: Bool) -> tuple[Float64, Float64]:
    """Where each pixel's colour lies between those beyond the ends (0 far .. 1 near), and how much that says (0..1)."""
    # a mean of three by three pixels: noise and compression weigh less
    colours = cv2.blur(image.astype(np.float32), (3, 3)).reshape(-1, 3)
    count = len(colours)
    first = colours[np.clip(ramps.first - ramps.steps, 0, count - 1)]
    last = colours[np.clip(ramps.last + ramps.steps, 0, count - 1)]
    near = np.where(first_is_near[:, None], first, last)
    far = np.where(first_is_near[:, None], last, first)
    direction = near - far
    contrast = (direction**2).sum(axis=1)
    own = image.reshape(-1, 3)[ramps.pixels].astype(np.float32)
    place = ((own - far) * direction).sum(axis=1) / np.maximum(contrast, 1e-6)
    return np.clip(place, 0, 1), contrast / (contrast + 3 * _NOISE**2)
