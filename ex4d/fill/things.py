"""Things that the clip shows in part: each goes on beyond the picture's edge in a plane, with its own texture.

The plane faces the camera more or less, as a stage's flat does; its texture is what is seen of the thing, mirrored at
the cut, within the outline of :mod:`ex4d.fill.outlines`. It is made once for a clip, of what stands still in it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.fill.kernels import PLANE
from ex4d.fill.outlines import CutThing, cut_things
from ex4d.fill.planes import Plane
from ex4d.fill.plate import Plate
from ex4d.fill.surfaces import LEAST_HALF, less_rim, looked_up, plane_axes
from ex4d.fill.texture import mirrored_on, with_smaller
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8

TEXELS = 512
"""Side of a thing's texture."""
WORKING = 512
"""Pixels along the longer side of the picture in which they are looked for."""
FAR = 0.5
"""Share of the back wall's distance from which on a thing is part of it, and goes on as that does."""

_SHIFT = 4
"""Bits of a texel that an outline's corners are told by."""


@dataclass(frozen=True)
class Things:
    """The planes of things that go on, as :func:`ex4d.fill.kernels.paint_world` takes them."""

    numbers: Float32  # [K, 16]
    textures: UInt8  # [K, t, 2 * t, 4]
    outlines: Bool  # [K, t, t] where the thing is

    @staticmethod
    def none() -> "Things":
        """A place's that has none."""
        return Things(np.zeros((0, 16), np.float32), np.zeros((0, 8, 16, 4), np.uint8), np.zeros((0, 8, 8), np.bool_))


@dataclass(frozen=True)
class Sight:
    """What a plate shows, as large as things are looked for."""

    inverse: Float32  # [h, w] 1 / z
    lens: Float64  # [4]

    @staticmethod
    def of(plate: Plate) -> "Sight":
        """Of the plate, not more than ``WORKING`` pixels long."""
        height, width = plate.inverse.shape
        scale = max(1.0, max(height, width) / WORKING)
        size = max(1, round(width / scale)), max(1, round(height / scale))
        inverse = cv2.resize(plate.inverse, size, interpolation=cv2.INTER_NEAREST)
        return Sight(np.asarray(inverse, np.float32), plate.lens * np.array([size[0] / width, size[1] / height] * 2))


def things_of(plate: Plate, sight: Sight, behind: Float32, wall: float, down: Float64) -> Things:
    """The things that the edge of ``plate`` cuts, as they may go on.

    ``sight`` is that of the plate, ``behind`` [h, w] 1 / z of the place that it would show without them, ``wall`` the
    back wall's distance.
    """
    near = np.maximum(behind, np.float32(1 / (FAR * wall)))
    found = cut_things(sight.inverse, near, sight.lens, down)
    if not found:
        return Things.none()
    made = [_thing(plate, thing, sight.lens, down) for thing in found]
    return Things(*(np.stack(each) for each in zip(*made, strict=True)))


def _thing(plate: Plate, thing: CutThing, lens: Float64, down: Float64) -> tuple[Float32, UInt8, Bool]:
    plane = Plane(thing.slope, 0.0, 0.0)
    axes = plane_axes(plane, down)

    def places(rays: Float64) -> Float64:  # [n, 2] -> [n, 2] in the plane
        whole = np.column_stack([rays, np.ones(len(rays))])
        return (whole / (whole @ thing.slope)[:, None]) @ axes[:2].T

    outline = places(thing.outline)
    y, x = np.nonzero(thing.near)
    seen = places((np.column_stack([x, y]) + 0.5 - lens[2:]) / lens[:2])
    corners = np.concatenate([outline, seen])
    low, high = corners.min(axis=0), corners.max(axis=0)
    centre, half = (low + high) / 2, np.maximum((high - low) / 2 * (1 + 4 / TEXELS), LEAST_HALF * plane.distance)
    numbers = np.zeros(16, np.float32)
    numbers[:9], numbers[9:11], numbers[11] = axes.ravel(), centre, plane.distance
    numbers[12:14], numbers[15] = half, PLANE
    at = (2 * np.arange(TEXELS) + 1) / TEXELS - 1
    p, q = np.meshgrid(centre[0] + half[0] * at, centre[1] + half[1] * at)
    texels = p[..., None] * axes[0] + q[..., None] * axes[1] + plane.distance * axes[2]
    own, near = (_enlarged(each, plate) for each in (thing.own, thing.near))
    colour, *_, known = looked_up(plate, texels, less_rim(own))
    _, inside, *_, beside = looked_up(plate, texels, near)
    there = np.zeros(beside.shape, np.uint8)
    corners = (((outline - centre) / half + 1) / 2 * TEXELS - 0.5) * 2**_SHIFT
    cv2.fillPoly(there, [np.rint(corners).astype(np.int32)], (1,), cv2.LINE_8, _SHIFT)
    texture = np.dstack([mirrored_on(colour, known), np.full(known.shape, 255, np.uint8)])
    return numbers, with_smaller(texture), beside | (there > 0) & ~inside


def _enlarged(small: Bool, plate: Plate) -> Bool:  # [h, w] -> [H, W]
    size = plate.inverse.shape[::-1]
    return cv2.resize(small.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
