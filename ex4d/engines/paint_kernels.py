"""Compiled loops of the hole filling at full size; each looks at the pixels of holes, and hardly at others."""

from typing import Any

import numpy as np

from ex4d.compiled.kernel import borrowing, inlined
from ex4d_ground.arrays import Bool, Float32, UInt8

Number = Any  # what compiled code sees as a scalar
_HOLE = 0.98
"""A place between pixels is a hole if they all are, nearly."""
_HALF = np.float32(0.5)


@inlined
def _cells(at: Number, step: Number, count: Number) -> tuple[Number, Number, Number]:
    """The two cells of a grid around a full-size pixel, and the second's share; ``step`` is cells per pixel."""
    place = max((np.float32(at) + _HALF) * step - _HALF, np.float32(0.0))
    first = min(int(place), count - 1)
    return first, min(first + 1, count - 1), place - np.float32(first)


@borrowing
def fill_holes(
    values: Float32,  # [h, w, 4] smooth colours on the working grid, and 1 / depth
    colour: UInt8,  # [H, W, 3]
    mask: Bool,  # [H, W]
    core: Bool,  # [H, W] visible pixels whose texture may be used
    near: Float32,  # [h, w, 4] sums of the colours around and how many there are; [0, 0, 0] for no texture
    offset: Float32,  # [h, w, 2] to the background's edge, in pixels of the working grid
    strength: float,
    reach: float,
    painted: Float32,  # [H, W, 3] out: the picture with its holes filled
    first: int,
    last: int,
) -> None:
    """Draw the smooth fill at full size and mirror the background's texture at the hole's edge into the hole.

    Texture is what a smooth fill lacks: a visible pixel less its own neighbourhood's mean. It fades over ``reach``
    pixels. Only rows ``first..last-1``.
    """
    height, width = mask.shape
    h, w = values.shape[:2]
    step_y, step_x = np.float32(h / height), np.float32(w / width)
    scale_y, scale_x = np.float32(height / h), np.float32(width / w)
    textured = near.size > 0
    for i in range(first, last):
        i0, i1, down = _cells(i, step_y, h)
        a = min(int((i + _HALF) * step_y), h - 1)
        for j in range(width):
            if mask[i, j]:
                for c in range(3):
                    painted[i, j, c] = colour[i, j, c]
                continue
            j0, j1, right = _cells(j, step_x, w)
            p, q = (1 - down) * (1 - right), (1 - down) * right
            r, s = down * (1 - right), down * right
            gain, y, x = np.float32(0.0), 0, 0
            if textured:
                b = min(int((j + _HALF) * step_x), w - 1)
                dx, dy = offset[a, b, 0] * scale_x, offset[a, b, 1] * scale_y
                if dx != 0 or dy != 0:
                    x, y = int(np.rint(j + 2 * dx)), int(np.rint(i + 2 * dy))
                    if x >= 0 and y >= 0 and x < width and y < height and core[y, x]:
                        gain = np.float32(strength * np.exp(-np.sqrt(dx * dx + dy * dy) / reach))
            v, u = min(int((y + _HALF) * step_y), h - 1), min(int((x + _HALF) * step_x), w - 1)
            for c in range(3):
                value = p * values[i0, j0, c] + q * values[i0, j1, c] + r * values[i1, j0, c] + s * values[i1, j1, c]
                if gain > 0:
                    mean = near[v, u, c] / max(near[v, u, 3], np.float32(1e-3))
                    value += gain * (np.float32(colour[y, x, c]) - mean)
                painted[i, j, c] = min(max(value, np.float32(0.0)), np.float32(255.0))


@borrowing
def mix_in(
    share: Float32,  # [H, W]
    colour: Float32,  # [H, W, 3]
    painted: Float32,  # [H, W, 3] changed in place
    first: int,
    last: int,
) -> None:
    """Mix a share of other colours into what is painted, in rows ``first..last-1``."""
    for i in range(first, last):
        for j in range(share.shape[1]):
            if share[i, j] > 0:
                for c in range(3):
                    painted[i, j, c] += share[i, j] * (colour[i, j, c] - painted[i, j, c])


@borrowing
def carry_on(
    values: Float32,  # [h, w, 4] the last is 1 / depth of the background, also in holes
    mask: Bool,  # [H, W]
    move: Float32,  # [3, 4] the last frame's camera from this one's
    lens: Float32,  # [2, 4] fx, fy, cx, cy in full-size pixels: this frame's, the last one's
    last_painted: Float32,  # [H, W, 3]
    last_mask: Bool,  # [H, W]
    last_real: Float32,  # [H, W] 1 where the colour is the source's own, fading as it is carried on
    last_depth: Float32,  # [h, w] of what was visible
    last_things: Float32,  # [h, w] 1 / depth of what was painted before the background, 0 where nothing was
    shares: Float32,  # [3] kept of any fill, kept of the source's own colours, tolerance of the depth
    painted: Float32,  # [H, W, 3] changed in place
    real: Float32,  # [H, W] out
) -> None:
    """Blend each hole pixel with what the background behind it looked like in the last frame.

    That can be trusted where a hole was then, too, in which nothing stood before it, and where the source showed just
    that surface.
    """
    height, width = mask.shape
    h, w = values.shape[:2]
    step_y, step_x = np.float32(h / height), np.float32(w / width)
    fx, fy, cx, cy = lens[0, 0], lens[0, 1], lens[0, 2], lens[0, 3]
    gx, gy, kx, ky = lens[1, 0], lens[1, 1], lens[1, 2] - _HALF, lens[1, 3] - _HALF
    any_fill, own, tolerance = shares[0], shares[1], shares[2]
    for i in range(height):
        i0, i1, down = _cells(i, step_y, h)
        y = (np.float32(i) + _HALF - cy) / fy
        for j in range(width):
            if mask[i, j]:
                real[i, j] = 1
                continue
            real[i, j] = 0
            j0, j1, right = _cells(j, step_x, w)
            upper = (1 - right) * values[i0, j0, 3] + right * values[i0, j1, 3]
            lower = (1 - right) * values[i1, j0, 3] + right * values[i1, j1, 3]
            inverse = (1 - down) * upper + down * lower
            x = (np.float32(j) + _HALF - cx) / fx
            # Everything divided by the depth, so that infinitely far points (inverse depth 0) need no special case.
            pz = move[2, 0] * x + move[2, 1] * y + move[2, 2] + move[2, 3] * inverse
            if pz <= 1e-6:
                continue
            at_x = (move[0, 0] * x + move[0, 1] * y + move[0, 2] + move[0, 3] * inverse) / pz * gx + kx
            at_y = (move[1, 0] * x + move[1, 1] * y + move[1, 2] + move[1, 3] * inverse) / pz * gy + ky
            if not (at_x >= 0 and at_y >= 0 and at_x <= width - 1 and at_y <= height - 1):
                continue
            m0, n0 = int(at_y), int(at_x)
            m1, n1 = min(m0 + 1, height - 1), min(n0 + 1, width - 1)
            v, u = at_y - np.float32(m0), at_x - np.float32(n0)
            p, q, r, s = (1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u
            seen = p * last_mask[m0, n0] + q * last_mask[m0, n1] + r * last_mask[m1, n0] + s * last_mask[m1, n1]
            b, a = min(int((at_y + _HALF) * step_y), h - 1), min(int((at_x + _HALF) * step_x), w - 1)
            there = pz / max(inverse, np.float32(1e-9))
            if last_things[b, a] * there > 1 + tolerance:
                continue
            if seen > 1 - _HOLE:
                if seen <= _HALF:
                    continue
                if not abs(last_depth[b, a] - there) < tolerance * there:
                    continue
            was = p * last_real[m0, n0] + q * last_real[m0, n1] + r * last_real[m1, n0] + s * last_real[m1, n1]
            keep = any_fill + (own - any_fill) * was
            real[i, j] = was * own
            for c in range(3):
                before = p * last_painted[m0, n0, c] + q * last_painted[m0, n1, c]
                before += r * last_painted[m1, n0, c] + s * last_painted[m1, n1, c]
                painted[i, j, c] += keep * (before - painted[i, j, c])


@borrowing
def finish(
    colour: UInt8,  # [H, W, 3]
    mask: Bool,  # [H, W]
    painted: Float32,  # [H, W, 3]
    tint: Float32,  # [4] a colour, and its share in every pixel of a hole
    out: UInt8,  # [H, W, 3] out
) -> None:
    """The picture: the source's pixels where it shows them, the tinted fill elsewhere."""
    height, width = mask.shape
    for i in range(height):
        for j in range(width):
            seen = mask[i, j]
            for c in range(3):
                value = painted[i, j, c] + tint[3] * (tint[c] - painted[i, j, c])
                out[i, j, c] = colour[i, j, c] if seen else np.uint8(np.rint(value))
