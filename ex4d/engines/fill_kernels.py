"""Compiled loops of the preview's hole filling: which visible pixels border a hole, and on which side of it."""

from typing import Any

import numpy as np

from ex4d.compiled.kernel import borrowing, inlined
from ex4d_ground.arrays import Bool, Float32, Int32, UInt8

Number = Any  # what compiled code sees as a scalar

SIDES = 4
"""Marches per hole pixel: towards the background, towards the foreground, and across to both sides."""

SLIVER = 5
"""Working pixels: narrower gaps are seams that open on both sides of a silhouette, and tell nothing of its sides."""


FAR = 8.0
"""Working pixels: farther than this from all that is visible, four pixels march as one."""


@borrowing
def sum_visible(
    colour: UInt8,  # [H, W, 3]
    core: Bool,  # [H, W]
    sums: Float32,  # [h, w, 4] out: colours that may be used, summed over two by two pixels, and how many they are
    seed: Bool,  # [h, w] out: whether there is any
) -> None:
    """The picture on the working grid. Of an odd size the last row or column of the grid has half as many pixels."""
    height, width = core.shape
    for i in range(seed.shape[0]):
        for j in range(seed.shape[1]):
            red, green, blue, count = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
            for y in range(2 * i, min(2 * i + 2, height)):
                for x in range(2 * j, min(2 * j + 2, width)):
                    if core[y, x]:
                        red += np.int32(colour[y, x, 0])
                        green += np.int32(colour[y, x, 1])
                        blue += np.int32(colour[y, x, 2])
                        count += np.int32(1)
            sums[i, j, 0], sums[i, j, 1], sums[i, j, 2], sums[i, j, 3] = red, green, blue, count
            seed[i, j] = count > 0


@inlined
def _walk(i: Number, j: Number, dx: Number, dy: Number, distance: Float32) -> Number:
    """The first seed in a direction, -1 for none, in steps as long as the distance allows."""
    h, w = distance.shape
    x, y = np.float32(j) + np.float32(0.5), np.float32(i) + np.float32(0.5)
    step = distance[i, j]
    while True:
        x += dx * step
        y += dy * step
        if not (x >= 0 and y >= 0 and x < w and y < h):
            return -1
        xi, yi = int(x), int(y)
        here = distance[yi, xi]
        if here == 0:
            return yi * w + xi
        # A pixel's diagonal less: the distance is measured between centres.
        step = max(np.float32(1.0), here - np.float32(1.0))


@borrowing
def march(
    distance: Float32,  # [h, w] to the nearest pixel whose colour may be used, the seeds; 0 for these
    away: Float32,  # [h, w, 2] unit direction in which depth grows along the source's rays
    hits: Int32,  # [SIDES, h, w] out: flat index of the first seed met, -1 for none; seeds' own are left alone
    first: int,
    last: int,
) -> None:
    """From every other pixel walk in four directions to the first seed; far from them one pixel walks for four.

    The other three take what it met, as far beside it as they are beside the one. Only rows ``first..last-1``, of which
    the first is even.
    """
    h, w = distance.shape
    for i in range(first, last):
        for j in range(w):
            if distance[i, j] == 0:
                continue
            across, along = away[i, j, 0], away[i, j, 1]
            one_i, one_j = i & ~1, j & ~1
            alone = distance[one_i, one_j] <= FAR or (one_i == i and one_j == j)
            level = abs(across) >= abs(along)
            for side in range(SIDES):
                if not alone:
                    hit = hits[side, one_i, one_j]
                    beside = (i - one_i) * w if level == (side < 2) else j - one_j
                    if hit >= 0 and beside:
                        to = hit + beside
                        if to < h * w and to // w - hit // w == beside // w and distance[to // w, to % w] == 0:
                            hit = to
                    hits[side, i, j] = hit
                    continue
                dx, dy = across, along
                if side == 1:
                    dx, dy = -dx, -dy
                elif side == 2:
                    dx, dy = -dy, dx
                elif side == 3:
                    dx, dy = dy, -dx
                hits[side, i, j] = _walk(i, j, dx, dy, distance)


@borrowing
def vote(
    hits: Int32,  # [SIDES, h, w]
    behind: Float32,  # [h, w] out: votes for "lies behind the hole"
    front: Float32,  # [h, w] out: votes for "lies in front of it"
) -> None:
    """Without depth: of two seeds on both sides along the source's rays, the one away from its camera is behind.

    Wide holes have more to say than narrow ones.
    """
    _, h, w = hits.shape
    flat_behind, flat_front = behind.reshape(-1), front.reshape(-1)
    for i in range(h):
        for j in range(w):
            a, b = hits[0, i, j], hits[1, i, j]
            if a >= 0 and b >= 0:
                gap = max(abs(a % w - b % w), abs(a // w - b // w))
                if gap > SLIVER:
                    flat_behind[a] += gap
                    flat_front[b] += gap


@borrowing
def farthest_met(
    seed: Bool,  # [h, w]
    hits: Int32,  # [SIDES, h, w]
    depth: Float32,  # [h, w]
    met: Float32,  # [N] out
) -> int:
    """The farthest depth that each hole pixel meets, where it meets any; returns how many there are."""
    _, h, w = hits.shape
    flat, count = depth.reshape(-1), 0
    for i in range(h):
        for j in range(w):
            if seed[i, j]:
                continue
            far = np.float32(0.0)
            for side in range(SIDES):
                hit = hits[side, i, j]
                if hit >= 0:
                    far = max(far, flat[hit])
            if far > 0:
                met[count] = far
                count += 1
    return count


@borrowing
def weigh_sides(
    seed: Bool,  # [h, w]
    hits: Int32,  # [SIDES, h, w]
    depth: Float32,  # [h, w], or [0, 0] if unknown
    behind: Float32,  # [h, w] how far a seed counts as background, for when depth is unknown
    nearer_share: float,
    usual_depth: float,
    share: Float32,  # [SIDES, h, w] out: share of each seed in the pixel, summing to 1 (or 0 if there is none)
    trust: Float32,  # [h, w] out: 0..1, how sure the pixel's seeds are
    offset: Float32,  # [h, w, 2] out: x, y steps to the nearest background seed, 0 if there is none
) -> None:
    """Decide for every hole pixel which seeds it takes its colour from: sure ones, by 1 / distance squared.

    With depth, seeds nearer than ``nearer_share`` of the farthest one met are foreground. A pixel that does not lie
    between two seeds along the source's rays, and meets only what is nearer than ``usual_depth`` (an object with
    nothing known behind it), has none.
    """
    _, h, w = hits.shape
    flat_depth, flat_behind = depth.reshape(-1), behind.reshape(-1)
    known = depth.size > 0
    for i in range(h):
        for j in range(w):
            if seed[i, j]:
                continue
            far = np.float32(0.0)
            if known:
                for side in range(SIDES):
                    hit = hits[side, i, j]
                    if hit >= 0:
                        far = max(far, flat_depth[hit])
            a, b = hits[0, i, j], hits[1, i, j]
            paired = a >= 0 and b >= 0 and max(abs(a % w - b % w), abs(a // w - b // w)) > SLIVER
            hopeless = known and not paired and far < nearer_share * usual_depth
            total, best, nearest = np.float32(0.0), np.float32(0.0), np.float32(np.inf)
            for side in range(SIDES):
                hit = hits[side, i, j]
                if hit < 0 or hopeless:
                    continue
                dx, dy = np.float32(hit % w - j), np.float32(hit // w - i)
                squared = dx * dx + dy * dy
                if known:
                    sure = np.float32(1.0 if flat_depth[hit] >= nearer_share * far else 0.0)
                elif paired and side < 2:
                    sure = np.float32(1.0 - side)
                else:
                    sure = flat_behind[hit]
                if sure < 0.4:
                    continue
                if squared < nearest:
                    nearest = squared
                    offset[i, j, 0], offset[i, j, 1] = dx, dy
                best = max(best, sure)
                part = sure**4 / squared
                share[side, i, j] = part
                total += part
            trust[i, j] = best
            if total > 0:
                for side in range(SIDES):
                    share[side, i, j] /= total


@borrowing
def gather(
    values: Float32,  # [h, w, 4] at the seeds
    seed: Bool,  # [h, w]
    hits: Int32,  # [SIDES, h, w]
    share: Float32,  # [SIDES, h, w]
    out: Float32,  # [h, w, 4] out at all pixels but seeds
) -> None:
    """Every hole pixel's mix of its seeds' values."""
    _, h, w = hits.shape
    flat = values.reshape((h * w, 4))
    for i in range(h):
        for j in range(w):
            if seed[i, j]:
                continue
            for c in range(4):
                out[i, j, c] = 0
            for side in range(SIDES):
                part = share[side, i, j]
                if part > 0:
                    hit = hits[side, i, j]
                    for c in range(4):
                        out[i, j, c] += part * flat[hit, c]


@borrowing
def gather_colours(
    sums: Float32,  # [h, w, 4] of sum_visible
    depth: Float32,  # [h, w], or [0, 0] if unknown
    seed: Bool,  # [h, w]
    hits: Int32,  # [SIDES, h, w]
    share: Float32,  # [SIDES, h, w]
    out: Float32,  # [h, w, 4] out: colour, and 1 / depth of the background (0 where unknown); 0 at seeds
) -> None:
    """As :func:`gather`, of the seeds' mean colours and their depths."""
    _, h, w = hits.shape
    flat, flat_depth, known = sums.reshape((h * w, 4)), depth.reshape(-1), depth.size > 0
    for i in range(h):
        for j in range(w):
            red, green, blue, near = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            if not seed[i, j]:
                for side in range(SIDES):
                    part = share[side, i, j]
                    if part > 0:
                        hit = hits[side, i, j]
                        each = part / flat[hit, 3]
                        red += each * flat[hit, 0]
                        green += each * flat[hit, 1]
                        blue += each * flat[hit, 2]
                        if known and flat_depth[hit] > 0:
                            near += part / flat_depth[hit]
            out[i, j, 0], out[i, j, 1], out[i, j, 2], out[i, j, 3] = red, green, blue, near
