"""Compiled loops of the preview's hole filling: which visible pixels border a hole, and on which side of it."""

import numpy as np

from ex4d.compiled.kernel import kernel
from ex4d_ground.arrays import Bool, Float32, Int32, UInt8

SIDES = 4
"""Marches per hole pixel: towards the background, towards the foreground, and across to both sides."""

SLIVER = 5
"""Working pixels: narrower gaps are seams that open on both sides of a silhouette, and tell nothing of its sides."""


@kernel
def march(
    seed: Bool,  # [h, w] pixels whose colour may be used
    distance: Float32,  # [h, w] to the nearest seed
    away: Float32,  # [h, w, 2] unit direction in which depth grows along the source's rays
    hits: Int32,  # [SIDES, h, w] out: flat index of the first seed met, -1 for none
) -> None:
    """From every other pixel walk in four directions to the first seed, in steps as long as the distance allows."""
    h, w = seed.shape
    for i in range(h):
        for j in range(w):
            if seed[i, j]:
                continue
            for side in range(SIDES):
                dx, dy = away[i, j, 0], away[i, j, 1]
                if side == 1:
                    dx, dy = -dx, -dy
                elif side == 2:
                    dx, dy = -dy, dx
                elif side == 3:
                    dx, dy = dy, -dx
                x, y = j + np.float32(0.5), i + np.float32(0.5)
                hit = -1
                step = distance[i, j]
                while True:
                    x += dx * step
                    y += dy * step
                    if not (x >= 0 and y >= 0 and x < w and y < h):
                        break
                    xi, yi = int(x), int(y)
                    if seed[yi, xi]:
                        hit = yi * w + xi
                        break
                    # A pixel's diagonal less: the distance is measured between centres.
                    step = max(np.float32(1.0), distance[yi, xi] - np.float32(1.0))
                hits[side, i, j] = hit


@kernel
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


@kernel
def weigh_sides(
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


@kernel
def gather(
    values: Float32,  # [h, w, C] at the seeds
    hits: Int32,  # [SIDES, h, w]
    share: Float32,  # [SIDES, h, w]
    out: Float32,  # [h, w, C]
) -> None:
    """Every hole pixel's mix of its seeds' values; other pixels keep theirs in ``out``."""
    _, h, w = hits.shape
    flat = values.reshape((h * w, values.shape[2]))
    for i in range(h):
        for j in range(w):
            for side in range(SIDES):
                part = share[side, i, j]
                if part > 0:
                    for c in range(values.shape[2]):
                        out[i, j, c] += part * flat[hits[side, i, j], c]


@kernel
def add_level(
    packed: Float32,  # [h, w, 4] colours times weight, weight
    level: Float32,  # [h, w] wanted blur level
    k: int,
    mixed: Float32,  # [h, w, 3] changed in place
) -> None:
    """Add blur level ``k`` with the share a linear interpolation between levels gives it."""
    h, w = level.shape
    for i in range(h):
        for j in range(w):
            share = np.float32(1.0) - abs(level[i, j] - np.float32(k))
            if share > 0 and packed[i, j, 3] > 0:
                share /= max(packed[i, j, 3], np.float32(1e-6))
                for c in range(3):
                    mixed[i, j, c] += share * packed[i, j, c]


@kernel
def splat_depth(
    depth: Float32,  # [h, w] source z-depth
    rays: Float32,  # [h, w, 2] x/z, y/z of the source's pixels
    move: Float32,  # [3, 4] camera_from_source
    lens: Float32,  # [4] fx, fy, cx, cy of the output at the size of ``out``
    out: Float32,  # [H, W] nearest z-depth per pixel, 0 where nothing falls
) -> None:
    """Draw the source's pixels as 2x2 points into another camera, nearest first."""
    h, w = depth.shape
    height, width = out.shape
    for i in range(h):
        for j in range(w):
            z = depth[i, j]
            x, y = rays[i, j, 0] * z, rays[i, j, 1] * z
            zc = move[2, 0] * x + move[2, 1] * y + move[2, 2] * z + move[2, 3]
            if zc <= 1e-6:
                continue
            px = (move[0, 0] * x + move[0, 1] * y + move[0, 2] * z + move[0, 3]) / zc * lens[0] + lens[2]
            py = (move[1, 0] * x + move[1, 1] * y + move[1, 2] * z + move[1, 3]) / zc * lens[1] + lens[3]
            if not (px >= -1 and py >= -1 and px <= width + 1 and py <= height + 1):
                continue
            left, top = int(np.floor(px - 0.5)), int(np.floor(py - 0.5))
            for yi in range(max(top, 0), min(top + 2, height)):
                for xi in range(max(left, 0), min(left + 2, width)):
                    if out[yi, xi] == 0 or zc < out[yi, xi]:
                        out[yi, xi] = zc


@kernel
def add_texture(
    fill: Float32,  # [H, W, 3] smooth fill, changed in place where ``hole``
    colour: UInt8,  # [H, W, 3]
    near: Float32,  # [H, W, 3] mean colour around each pixel
    seen: Float32,  # [H, W] share of visible pixels around each
    hole: Bool,  # [H, W]
    visible: Bool,  # [H, W]
    offset: Float32,  # [h, w, 2] to the background's edge, in pixels of its own smaller grid
    strength: float,
    reach: float,
) -> None:
    """Mirror the background's texture at the hole's edge into the hole, fading over ``reach`` pixels.

    Texture is what a smooth fill lacks: a visible pixel less its own neighbourhood's mean.
    """
    height, width = hole.shape
    h, w = offset.shape[:2]
    sx, sy = width / w, height / h
    for i in range(height):
        for j in range(width):
            if not hole[i, j]:
                continue
            a = min(int(i / sy), h - 1)
            b = min(int(j / sx), w - 1)
            dx, dy = offset[a, b, 0] * sx, offset[a, b, 1] * sy
            if dx == 0 and dy == 0:
                continue
            x, y = int(np.rint(j + 2 * dx)), int(np.rint(i + 2 * dy))
            if x < 0 or y < 0 or x >= width or y >= height or not visible[y, x]:
                continue
            gain = np.float32(strength * np.exp(-np.sqrt(dx * dx + dy * dy) / reach))
            for c in range(3):
                mean = near[y, x, c] / max(seen[y, x], np.float32(1e-3))
                fill[i, j, c] += gain * (np.float32(colour[y, x, c]) - mean)
