"""The page's video: colour, disparity and the solid mesh's verdict as tiles of one picture.

    colour             coarse disparity
    fine disparity     verdict: thickness | nearest bridges
                                kinds     | farthest bridges
    frame number

Only luma carries numbers: 4:2:0 halves what colour channels hold, and no codec keeps the high and the low byte of a
number apart. Coarse disparity is the whole range; fine disparity is a triangle wave over it, without jumps that a codec
would blur, whose segment the coarse one tells. The frame number is a row of sixteen black or white fields: whoever
shows a picture knows which it is.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.clip.colours import luma_weights
from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.errors import ShapeError

SEGMENTS = 8
"""Rising and falling parts of the triangle wave over the range of disparity."""
SHOWN, GUESSED, HIDDEN = 0, 1, 2
LAYERS = 2
"""Bridges that are kept of several behind one another: the nearest and the farthest."""
KINDS = float((HIDDEN + 1) * (LAYERS + 1) - 1)
"""Levels between black and white of what a pixel is: ``LAYERS + 1`` times its kind, and how many bridges it has."""
FIELDS = 16
"""Fields of the frame number, from the lowest bit on."""
MAX_FRAMES = 1 << FIELDS
BLOCK = 16
"""Pixels along each side of what the codec predicts at once: no block belongs to two tiles."""
LEAST = 2 * BLOCK
"""Pixels of a picture along each side, at least."""
LARGEST = (2048, 1136)
"""Width and height of a tile: four of them and the frame number are the largest picture of H.264's levels that players
know (5.1)."""
_BLACK, _RANGE, _GREY, _CHROMA_RANGE = 16, 219, 128, 224
ONE_BRIDGE = 0.97
"""Share of its disparity from which on a bridge behind another counts as that other one."""
_NOTHING = 1e-20
_SPREAD = 3
"""Half-size pixels by which what is only needed at rims is spread beyond them, so that coding does not touch them."""


@dataclass(frozen=True)
class Layout:
    """Where things are: of a picture of ``width`` x ``height``, tiles of whole blocks."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width > LARGEST[0] or self.height > LARGEST[1] or min(self.width, self.height) < LEAST:
            raise ShapeError(
                f"A page's picture is from {LEAST}x{LEAST} to {LARGEST[0]}x{LARGEST[1]} pixels, got "
                f"{self.width}x{self.height}."
            )

    @staticmethod
    def most(width: int, height: int) -> float:
        """The factor that brings a picture of this size to the largest tile."""
        return min(LARGEST[0] / width, LARGEST[1] / height)

    @property
    def tile(self) -> tuple[int, int]:
        """Width and height of a tile."""
        return -(-self.width // BLOCK) * BLOCK, -(-self.height // BLOCK) * BLOCK

    @property
    def picture(self) -> tuple[int, int]:
        """Width and height of the video's picture."""
        width, height = self.tile
        return 2 * width, 2 * height + BLOCK


@dataclass(frozen=True)
class PageFrame:
    """What one frame is on a page; all but the colour as the solid mesh has it."""

    colour: UInt8  # [H, W, 3]
    disparity: Float32  # [H, W] 1 / z
    share: Float32  # [H, W] thickness as a share of the depth, 0 where a pixel has no wall
    bridges: Float32  # [LAYERS, H, W] 1 / z of hidden strips behind the pixel, nearest first; 0 where there is none
    kind: UInt8  # [H, W] SHOWN, GUESSED or HIDDEN


def luma(frame: PageFrame, layout: Layout, span: tuple[float, float], number: int) -> UInt8:  # [2 h + BLOCK, 2 w]
    """The luma of all tiles but the colour, which stays black; disparities from ``span[0]`` to ``span[1]``."""
    width, height = layout.tile
    out = np.full(layout.picture[::-1], _BLACK, np.uint8)
    level = np.clip((frame.disparity - span[0]) / (span[1] - span[0]), 0, 1)
    out[:height, width:] = _levels(_padded(level, height, width))
    out[height : 2 * height, :width] = _levels(_padded(triangle(level), height, width))
    out[height : 2 * height, width:] = _verdict(frame, layout, span)
    bits = np.array([number >> n & 1 for n in range(FIELDS)], np.float32)
    out[2 * height :] = np.repeat(_levels(bits), 2 * width // FIELDS)
    return out


def triangle(level: Float32) -> Float32:
    """The wave: 0 to 1 and back, ``SEGMENTS`` times half a period over levels from 0 to 1."""
    at = level * SEGMENTS
    segment = np.minimum(np.floor(at), SEGMENTS - 1)
    part = at - segment
    return np.where(segment % 2 == 0, part, 1 - part)


def share_level(share: Float32) -> Float32:
    """A share of the depth from 0 to infinity as a level from 0 to 1."""
    return share / (1 + share)


def planes(frame: PageFrame, layout: Layout, span: tuple[float, float], number: int) -> tuple[UInt8, UInt8, UInt8]:
    """Luma [2 h + BLOCK, 2 w] and differences, half of that, of the whole picture, BT.709 of limited range.

    A difference is the mean of its four pixels: browsers spread it over just these when they hand a picture to a
    graphics processor.
    """
    width, height = layout.tile
    whole = luma(frame, layout, span, number)
    signals = _padded(frame.colour, height, width).astype(np.float32) / np.float32(255)
    red, blue = luma_weights("bt709")
    light = signals @ np.array([red, 1 - red - blue, blue], np.float32)
    whole[:height, :width] = _levels(light)
    differences = []
    for share, channel in ((blue, signals[..., 2]), (red, signals[..., 0])):
        each = cv2.resize(channel - light, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        full = np.full((height + BLOCK // 2, width), _GREY, np.uint8)
        full[: height // 2, : width // 2] = np.rint(_GREY + _CHROMA_RANGE / (2 * (1 - share)) * each)
        differences.append(full)
    return whole, differences[0], differences[1]


def _verdict(frame: PageFrame, layout: Layout, span: tuple[float, float]) -> UInt8:
    """Four pictures of half the size. Where two by two pixels differ, the one that hides more counts."""
    width, height = (n // 2 for n in layout.tile)
    size = _halves(frame.kind.shape)
    share, (nearest, farthest) = largest(frame.share, size), layered(frame.bridges, size)
    count = (nearest > 0).astype(np.float32) + (farthest > 0)
    kind = ((LAYERS + 1) * largest(frame.kind, size) + count) / np.float32(KINDS)
    near, far = (
        _levels(_spread(np.clip((each - span[0]) / (span[1] - span[0]), 0, 1), each > 0))
        for each in (nearest, farthest)
    )
    parts = _levels(_spread(share_level(share), share > 0), up=True), near, _levels(kind), far
    upper, lower = (
        np.concatenate([_padded(each, height, width) for each in pair], axis=1) for pair in (parts[:2], parts[2:])
    )
    return np.concatenate([upper, lower])


def _levels(values: Float32, *, up: bool = False) -> UInt8:
    steps = _RANGE * values
    return (_BLACK + (np.ceil(steps - 1e-4) if up else np.rint(steps))).astype(np.uint8)


def _padded(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """The last row and column go on to the size of the tile."""
    more = ((0, height - values.shape[0]), (0, width - values.shape[1]), *((0, 0),) * (values.ndim - 2))
    return np.pad(values, more, mode="edge")


def largest(values: np.ndarray, size: tuple[int, int]) -> Float32:  # [..., H, W] -> [..., *size]
    """The largest value in each of fewer pixels."""
    for axis, (many, few) in enumerate(zip(values.shape[-2:], size, strict=True), start=values.ndim - 2):
        values = np.maximum.reduceat(values, np.arange(few) * many // few, axis=axis)
    return values.astype(np.float32)


def layered(bridges: Float32, size: tuple[int, int]) -> Float32:  # [LAYERS, H, W] -> [LAYERS, *size]
    """The nearest and the farthest bridge in each of fewer pixels; one where they are as good as the same."""
    nearest = largest(bridges[0], size)
    near, far = bridges
    least = np.where(far > 0, far, near)
    farthest = 1 / np.maximum(largest(1 / np.maximum(least, _NOTHING) * (least > 0), size), _NOTHING)
    return np.stack([nearest, np.where((nearest > 0) & (farthest < ONE_BRIDGE * nearest), farthest, 0)])


def _halves(shape: tuple[int, ...]) -> tuple[int, int]:
    """Pixels of half the size."""
    height, width = shape
    return -(-height // 2), -(-width // 2)


def _spread(values: Float32, there: Bool) -> Float32:
    """``values`` where they are there, the nearest of them around, 0 far away."""
    if not there.any():
        return np.zeros_like(values)
    gone = (~there).astype(np.uint8)
    away, found = cv2.distanceTransformWithLabels(gone, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    labels = np.asarray(found, np.int32)
    by_label = np.zeros(int(labels.max()) + 1, np.float32)
    by_label[labels[there]] = values[there]
    return np.where(away <= _SPREAD, by_label[labels], 0).astype(np.float32)
