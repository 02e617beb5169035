"""Compiled loops of hole filling: what a hole's pixel sees along its row and column, and what it takes of that."""

import numpy as np

from ex4d.compiled.kernel import kernel
from ex4d_ground.arrays import Bool, Float32, Float64, Int32

_OUTSIDE = 6
"""Pixels over which a surface's slope is taken next to a hole."""
_SAME = 1.03
"""Ends whose depths differ by less than this factor are one surface."""
_SLOPE = 0.05
"""So are ends of which each meets the other, continued by its own slope, within this share; no farther apart than"""
_SLOPED = 1.3
_AGREE = 1.1
"""What is joined of two ends is believed where the nearest valid pixel differs by less than this factor. Ends of a
shadow differ by more."""
_WIDER, _MORE, _NARROWER = 1.15, 3, 0.5
"""A hole may be wider than its shadow by this factor and so many pixels, and narrower by this factor."""


@kernel
def find_ends(
    valid: Bool,  # [H, W]
    holes: Int32,  # [N] out: flat indices, in the picture's order
    ends: Int32,  # [4, N] out: steps to the first valid pixel to the left, right, above and below; 0 where none is
) -> None:
    """From each hole's pixel look along its row and its column."""
    height, width = valid.shape
    last = np.full(width, -1, np.int32)
    n = 0
    for i in range(height):
        left = -1
        for j in range(width):
            if valid[i, j]:
                left = j
                last[j] = i
            else:
                holes[n] = i * width + j
                ends[0, n] = j - left if left >= 0 else 0
                ends[2, n] = i - last[j] if last[j] >= 0 else 0
                n += 1
    last[:] = -1
    for i in range(height - 1, -1, -1):
        right = -1
        for j in range(width - 1, -1, -1):
            if valid[i, j]:
                right = j
                last[j] = i
            else:
                n -= 1
                ends[1, n] = right - j if right >= 0 else 0
                ends[3, n] = last[j] - i if last[j] >= 0 else 0


@kernel
def _meets(inverse: Float32, end: int, out: int, across: int, other: np.float32, near: np.float32) -> int:
    """Whether a surface, continued by its own slope over ``across`` pixels, meets ``other``: 1 yes, 0 no, -1 unknown.

    ``end`` is the surface's last pixel before a hole, ``out`` the step away from the hole; 0 where the picture ends.
    """
    if out == 0:
        return -1
    outer = inverse[end + out * _OUTSIDE]
    if outer <= 0:
        return -1
    return int(abs(inverse[end] + (inverse[end] - outer) / _OUTSIDE * across - other) <= _SLOPE * near)


@kernel
def _same_surface(inverse: Float32, at: int, before: int, after: int, stride: int, place: int, length: int) -> bool:
    """Whether the ends ``before`` and ``after`` steps away lie on one surface; ``at`` is pixel ``place`` of a line."""
    first, last = at - before * stride, at + after * stride
    a, b = inverse[first], inverse[last]
    near, far = max(a, b), min(a, b)
    if near <= far * np.float32(_SAME):
        return True
    if near > far * np.float32(_SLOPED):
        return False
    forth = _meets(inverse, first, -stride if place - before >= _OUTSIDE else 0, before + after, b, near)
    back = _meets(inverse, last, stride if place + after + _OUTSIDE < length else 0, before + after, a, near)
    return forth != 0 and back != 0 and forth + back > -2


@kernel
def _beside(inverse: Float32, ends: Int32, at: int, n: int, axis: int, stride: int, near: np.float32) -> np.float32:
    """The farthest inverse depth that is seen across a line of that axis; ``near`` where none is farther."""
    before = np.float32(inverse[at - ends[2 * axis, n] * stride]) if ends[2 * axis, n] > 0 else near
    after = np.float32(inverse[at + ends[2 * axis + 1, n] * stride]) if ends[2 * axis + 1, n] > 0 else near
    return min(near, before, after)


@kernel
def _in_shadow(
    inverse: Float32, at: int, ends: Int32, n: int, width: int, height: int, shadow: Float64
) -> np.float32:  # shadow: side, reach, rim, own pixels, own share
    """The inverse depth of a pixel that lies in a hole as wide as a shadow; 0 where it does not."""
    side = int(shadow[0])
    upright = side >= 2
    along, across = (width, 1) if upright else (1, width)
    to_near = ends[side + 1 if side % 2 == 0 else side - 1, n]
    if to_near == 0:
        return np.float32(0)
    away = -along if side % 2 == 0 else along  # from the near thing to the far surface
    near, to_far = np.float32(inverse[at - away * to_near]), ends[side, n]
    cut = to_far == 0  # the picture ends before the shadow does: what lies behind may be seen across
    if cut:
        far = _beside(inverse, ends, at, n, 0 if upright else 1, across, near)
        place, length = (at // width, height) if upright else (at % width, width)
        to_far = place + 1 if side % 2 == 0 else length - place
    else:
        far = np.float32(inverse[at + away * to_far])
    if near <= far * np.float32(_AGREE):
        return np.float32(0)
    wide = to_near + to_far - 1
    expected = shadow[1] * (near - far) + shadow[2]
    if wide > _WIDER * expected + _MORE or (wide < _NARROWER * expected - 1 and not cut):
        return np.float32(0)
    return near if to_near < shadow[3] + shadow[4] * wide + 0.5 else far


@kernel
def _on_surface(
    inverse: Float32, at: int, ends: Int32, n: int, width: int, height: int, nearest: np.float32
) -> np.float32:
    """The inverse depth of a pixel between two ends of one surface, along its row, column or both; else ``nearest``."""
    total, weight = np.float32(0), np.float32(0)
    for axis in range(2):
        before, after = ends[2 * axis, n], ends[2 * axis + 1, n]
        if before == 0 or after == 0:
            continue
        stride, place, length = (width, at // width, height) if axis else (1, at % width, width)
        if not _same_surface(inverse, at, before, after, stride, place, length):
            continue
        a, b = inverse[at - before * stride], inverse[at + after * stride]
        share = np.float32(1) / (before + after)
        joined = (a * after + b * before) * share
        if max(joined, nearest) <= min(joined, nearest) * np.float32(_AGREE):
            total += share * joined
            weight += share
    return total / weight if weight > 0 else nearest


@kernel
def fill(
    depth: Float32,  # [H*W] in and out
    inverse: Float32,  # [H*W] 0 in holes
    holes: Int32,  # [N] flat indices
    ends: Int32,  # [4, N]
    nearest: Float32,  # [N] inverse depth of the nearest valid pixel
    shadows: Float64,  # [S, 5]
    width: int,
) -> None:
    """Fill each hole's pixel: by its shadow, else by what joins two ends of one surface, else with the nearest."""
    height = len(depth) // width
    for n in range(len(holes)):
        value = np.float32(0)
        for s in range(len(shadows)):
            if value == 0:
                value = _in_shadow(inverse, holes[n], ends, n, width, height, shadows[s])
        if value == 0:
            value = _on_surface(inverse, holes[n], ends, n, width, height, nearest[n])
        depth[holes[n]] = np.float32(1) / value
