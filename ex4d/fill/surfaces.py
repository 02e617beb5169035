"""The surfaces of a place and their textures: planes, and the back wall that stands behind them."""

from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.fill.kernels import PLANE, ROUND
from ex4d.fill.planes import Plane
from ex4d.fill.plate import Plate
from ex4d.fill.texture import completed, with_smaller
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8

TEXELS = 1024
"""Side of a texture."""
LEAST_HALF = 1e-6
"""Share of a plane's distance that half its texture is long at least, also where a single pixel shows it."""
SHARPEST = 0.25
"""Share of what is seen of a plane, the nearest of it, that shows what repeats there."""
OPEN = 0.15
"""Share of it from which on the plate looks through a surface."""
ROUND_TURN = 0.97
"""Share of the picture's half angle to each side that the back wall takes from the plate."""
ROUND_FOLDS = 3
"""How many times as far its texture reaches; there the plate is mirrored, and fades to what each height is like."""
FADE_TO = 0.4
"""What is left of the mirrored contrast at the texture's ends."""
SIDE = 8.0
"""Texels that a picture's sides are smoothed over before they go on."""
SIDE_REACH = 1.0
"""Share of the width of the plate's part over which they go on."""
ROUND_HEIGHT = 0.9
"""How far up and down it reaches, in terms of its radius."""
BACK_DEPTH = 0.35
"""Quantile of the depths that no plane explains at which the back wall stands."""
NEAR_BACK = 0.5
"""Share of its distance from which on what the plate shows belongs to the back wall."""
SKY = 50.0
"""Factor on the median depth from which on a depth says nothing of where the back wall stands."""


@dataclass(frozen=True)
class Surface:
    """One surface, as :func:`ex4d.fill.kernels.paint_world` takes it."""

    numbers: Float32  # [16]
    texture: UInt8  # [T, 2 * T, 4]
    openings: Bool  # [T, T]


def rays_of(plate: Plate) -> tuple[Float32, Float32]:  # [1, W], [H, 1]
    """x and y of the rays of the plate's pixels at depth 1."""
    height, width = plate.inverse.shape
    fx, fy, cx, cy = plate.lens
    x, y = (np.arange(width) + 0.5 - cx) / fx, (np.arange(height) + 0.5 - cy) / fy
    return x[None].astype(np.float32), y[:, None].astype(np.float32)


def less_rim(shown: Bool) -> Bool:  # [H, W]
    """What is shown less its rim, where colours mix with what is beside it."""
    return cv2.erode(shown.view(np.uint8), np.ones((5, 5), np.uint8)).view(np.bool_)


def plane_axes(plane: Plane, down: Float64) -> Float64:  # [3, 3]
    """Two axes in a plane, the first level, and its normal; a row each."""
    normal = plane.normal
    along = np.cross(down, normal)
    if np.linalg.norm(along) < 0.3:  # a floor or a ceiling
        along = np.array([1.0, 0.0, 0.0]) - normal[0] * normal
    first = along / np.linalg.norm(along)
    return np.stack([first, np.cross(normal, first), normal])


def plane_surface(
    plate: Plate,
    plane: Plane,
    on: Bool,  # [H, W] where the plate shows it
    down: Float64,
    rays: tuple[Float32, Float32],  # as of rays_of
) -> Surface:
    """A plane with what the plate shows of it, carried on."""
    axes = plane_axes(plane, down)
    z = 1 / plate.inverse[on]
    points = np.stack([np.broadcast_to(r, on.shape)[on] * z for r in rays] + [z], axis=1)
    places = points @ axes[:2].T
    centre = np.median(places, axis=0)
    half = float(min(1.5 * np.quantile(np.abs(places - centre), 0.95), 2 * np.median(z)))
    half = max(half, LEAST_HALF * plane.distance)
    numbers = np.zeros(16, np.float32)
    numbers[:9], numbers[9:11], numbers[11] = axes.ravel(), centre, plane.distance
    numbers[12:14], numbers[15] = half, PLANE
    at = (2 * np.arange(TEXELS) + 1) / TEXELS - 1
    p, q = np.meshgrid(centre[0] + half * at, centre[1] + half * at)
    texels = p[..., None] * axes[0] + q[..., None] * axes[1] + plane.distance * axes[2]
    colour, seen, inverse, there, known = looked_up(plate, texels, on)
    sharp = inverse > np.quantile(inverse[known], 1 - SHARPEST) if known.any() else known
    opened = (seen & (there < (1 - OPEN) * inverse)).astype(np.uint8)
    opened = cv2.morphologyEx(opened, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
    whole, trust = completed(colour, known, detail=plane.texture == "clip", sharp=sharp)
    return Surface(numbers, _as_texture(whole, trust), opened > 0)


def back_wall(plate: Plate, free: Bool, down: Float64) -> Surface:
    """The cylinder round the source camera; ``free`` is what no plane explains."""
    depth = 1 / plate.inverse
    usual = float(np.median(depth))
    far = depth[free & (depth < SKY * usual) & (depth > usual)]
    radius = float(np.quantile(far, BACK_DEPTH)) if far.size > 0.002 * depth.size else 3 * float(depth.max())
    radius = min(radius, SKY * usual)
    ahead = np.array([0.0, 0.0, 1.0]) - down[2] * down
    ahead /= np.linalg.norm(ahead)
    axes = np.stack([np.cross(down, ahead), down, ahead])
    fx, _, cx, _ = plate.lens
    half = ROUND_TURN * float(min(np.arctan(cx / fx), np.arctan((plate.inverse.shape[1] - cx) / fx)))
    numbers = np.zeros(16, np.float32)
    numbers[:9], numbers[12], numbers[13] = axes.ravel(), ROUND_FOLDS * half, ROUND_HEIGHT
    numbers[14], numbers[15] = radius, ROUND
    at = (2 * np.arange(TEXELS) + 1) / TEXELS - 1
    turn, up = np.meshgrid(ROUND_FOLDS * half * at, ROUND_HEIGHT * at)
    around = np.stack([np.sin(turn), up, np.cos(turn)], axis=-1)
    behind = less_rim(free & (depth > NEAR_BACK * radius))
    colour, _, _, _, known = looked_up(plate, radius * around @ axes, behind)
    inner = slice(TEXELS // 2 - TEXELS // (2 * ROUND_FOLDS), TEXELS // 2 + TEXELS // (2 * ROUND_FOLDS))
    whole, trust = completed(colour[:, inner], known[:, inner], level=True)
    return Surface(numbers, _as_texture(*_folded_round(whole, trust)), np.zeros((TEXELS, TEXELS), np.bool_))


def _folded_round(inner: Float32, trust: Float32) -> tuple[Float32, Float32]:  # [T, t, 3], [T, t] -> [T, T, ...]
    """The middle of a texture as all of it: what its sides are like goes on and fades to what each height is like.

    Detail is mirrored there, with ever less contrast.
    """
    count = inner.shape[1]
    at = np.arange(TEXELS) - (TEXELS - count) // 2
    folded = at % (2 * count)
    source = np.where(folded < count, folded, 2 * count - 1 - folded)
    beyond = np.clip(np.maximum(-at, at - count + 1) / count, 0, 1)[None, :, None]
    usual = inner.mean(axis=1, keepdims=True)
    smooth = np.asarray(
        cv2.GaussianBlur(inner, (0, 0), SIDE, sigmaY=SIDE / 4, borderType=cv2.BORDER_REPLICATE), np.float32
    )
    side = usual + np.exp(-beyond / SIDE_REACH) * (smooth[:, np.clip(at, 0, count - 1)] - usual)
    detail = (1 - (1 - FADE_TO) * beyond) * (inner - smooth)[:, source]
    outer = (side + detail).clip(0, 255)
    outer[:, (at >= 0) & (at < count)] = inner
    return outer.astype(np.float32), trust[:, source]


def _as_texture(colour: Float32, trust: Float32) -> UInt8:  # [T, T, 3], [T, T] -> [T, 2 * T, 4]
    return with_smaller(np.dstack([colour, 255 * trust]).astype(np.uint8))


def looked_up(plate: Plate, points: Float64, where: Bool) -> tuple[UInt8, Bool, Float32, Float32, Bool]:
    """What the plate shows of points [T, T, 3].

    Colour, whether they are in the picture, their own 1 / z, that seen there, and whether they are at a place of
    ``where`` [H, W].
    """
    height, width = plate.inverse.shape
    fx, fy, cx, cy = plate.lens
    z = points[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (points[..., 0] / z * fx + cx - 0.5).astype(np.float32)
        v = (points[..., 1] / z * fy + cy - 0.5).astype(np.float32)
    seen = (z > 1e-6) & (u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1)
    u, v = np.where(seen, u, 0), np.where(seen, v, 0)
    there = cv2.remap(plate.inverse, u, v, cv2.INTER_NEAREST).astype(np.float32)
    known = seen & (cv2.remap(where.view(np.uint8), u, v, cv2.INTER_NEAREST) > 0)
    inverse = np.where(z > 1e-6, 1 / np.maximum(z, 1e-6), 0).astype(np.float32)
    return cv2.remap(plate.colour, u, v, cv2.INTER_LINEAR).astype(np.uint8), seen, inverse, there, known
