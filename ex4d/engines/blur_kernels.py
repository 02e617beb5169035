"""Compiled loops of the preview's hole filling: colours blurred by how far they were carried, and spread over a grid.

All grids hold four numbers a pixel, which is what vector instructions like.
"""

from typing import Any

import numpy as np

from ex4d.compiled.kernel import borrowing, inlined, kernel
from ex4d_ground.arrays import Float32

Number = Any  # what compiled code sees as a scalar


@borrowing
def begin_levels(
    values: Float32,  # [h, w, 4] of gather_colours
    trust: Float32,  # [h, w]
    offset: Float32,  # [h, w, 2]
    most: int,
    packed: Float32,  # [h, w, 4] out: colours times trust, trust
    level: Float32,  # [h, w] out: how often to blur, -1 where there is nothing
) -> None:
    """What is blurred, and how much of it each pixel wants: about half the distance to what it continues."""
    h, w = trust.shape
    for i in range(h):
        for j in range(w):
            sure = trust[i, j]
            for c in range(3):
                packed[i, j, c] = values[i, j, c] * sure
            packed[i, j, 3] = sure
            if sure > 0:
                squared = offset[i, j, 0] ** 2 + offset[i, j, 1] ** 2
                wanted = np.float32(0.5) * np.log2(max(squared, np.float32(1.0))) - np.float32(1.0)
                level[i, j] = min(max(wanted, np.float32(0.0)), np.float32(most))
            else:
                level[i, j] = -1


@inlined
def _place(at: Number, step: Number, count: Number) -> tuple[Number, Number, Number]:
    """Pixel ``at`` on a grid ``step`` times as coarse: the two cells around, and the second's share."""
    place = max((np.float32(at) + np.float32(0.5)) * step - np.float32(0.5), np.float32(0.0))
    first = min(int(place), count - 1)
    return first, min(first + 1, count - 1), place - np.float32(first)


@borrowing
def add_level(
    packed: Float32,  # [h, w, 4] colours times weight, weight; or of a coarser grid
    level: Float32,  # [h, w] wanted blur level
    k: int,
    mixed: Float32,  # [h, w, 4] changed in place, but for the last of four
) -> None:
    """Add blur level ``k`` with the share a linear interpolation between levels gives it."""
    h, w = level.shape
    rows, columns = packed.shape[:2]
    fine = rows == h and columns == w
    step_y, step_x = np.float32(rows / h), np.float32(columns / w)
    for i in range(h):
        i0, i1, down = (i, i, np.float32(0)) if fine else _place(i, step_y, rows)
        for j in range(w):
            share = np.float32(1.0) - abs(level[i, j] - np.float32(k))
            if share <= 0 or level[i, j] < 0:
                continue
            if fine:
                red, green, blue, weight = packed[i, j, 0], packed[i, j, 1], packed[i, j, 2], packed[i, j, 3]
            else:
                j0, j1, right = _place(j, step_x, columns)
                a, b = (1 - down) * (1 - right), (1 - down) * right
                c, d = down * (1 - right), down * right
                red = a * packed[i0, j0, 0] + b * packed[i0, j1, 0] + c * packed[i1, j0, 0] + d * packed[i1, j1, 0]
                green = a * packed[i0, j0, 1] + b * packed[i0, j1, 1] + c * packed[i1, j0, 1] + d * packed[i1, j1, 1]
                blue = a * packed[i0, j0, 2] + b * packed[i0, j1, 2] + c * packed[i1, j0, 2] + d * packed[i1, j1, 2]
                weight = a * packed[i0, j0, 3] + b * packed[i0, j1, 3] + c * packed[i1, j0, 3] + d * packed[i1, j1, 3]
            if weight > 0:
                share /= max(weight, np.float32(1e-6))
                mixed[i, j, 0] += share * red
                mixed[i, j, 1] += share * green
                mixed[i, j, 2] += share * blue


@borrowing
def pull(values: Float32, weight: Float32, small: Float32, small_weight: Float32) -> None:
    """One step down a pyramid: weighted means [h, w, 4] of two by two pixels, and their weights, 1 at most."""
    h, w = weight.shape
    for i in range(small.shape[0]):
        for j in range(small.shape[1]):
            total = np.float32(0.0)
            v0, v1, v2, v3 = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for y in range(2 * i, min(2 * i + 2, h)):
                for x in range(2 * j, min(2 * j + 2, w)):
                    part = weight[y, x]
                    if part > 0:
                        v0 += part * values[y, x, 0]
                        v1 += part * values[y, x, 1]
                        v2 += part * values[y, x, 2]
                        v3 += part * values[y, x, 3]
                        total += part
            each = np.float32(1.0) / max(total, np.float32(1e-9))
            small[i, j, 0], small[i, j, 1], small[i, j, 2], small[i, j, 3] = v0 * each, v1 * each, v2 * each, v3 * each
            small_weight[i, j] = min(total, np.float32(1.0))


@inlined
def _taps(odd: Number) -> tuple[Number, Number]:
    """What the cell before and the cell behind have of a pixel: linear interpolation, then a mean of three."""
    a, b = np.float32(1 / 3), np.float32(0.25 / 3)
    return (b, a) if odd else (a, b)


@kernel
def push(small: Float32, weight: Float32, values: Float32) -> None:
    """One step back up: where the weight [h, w] is less than 1, ``values`` [h, w, 4] take the rest from the coarser."""
    h, w = weight.shape
    rows, columns = small.shape[:2]
    middle = np.float32(1.75 / 3)
    line = np.empty((columns, 4), np.float32)
    for i in range(h):
        k = i >> 1
        above, below = small[max(k - 1, 0)], small[min(k + 1, rows - 1)]
        here = small[k]
        before, behind = _taps(i & 1)
        for j in range(columns):
            for c in range(4):
                line[j, c] = before * above[j, c] + middle * here[j, c] + behind * below[j, c]
        for j in range(w):
            rest = np.float32(1.0) - weight[i, j]
            if rest <= 0:
                continue
            k = j >> 1
            left, right = max(k - 1, 0), min(k + 1, columns - 1)
            before, behind = _taps(j & 1)
            for c in range(4):
                coarse = before * line[left, c] + middle * line[k, c] + behind * line[right, c]
                values[i, j, c] = coarse + weight[i, j] * (values[i, j, c] - coarse)
