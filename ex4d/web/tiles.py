"""The page's video: colour, disparity and the solid mesh's verdict as tiles of one picture.

    colour             coarse disparity
    fine disparity     verdict: thickness | bridges
                                kinds     | frame number

Only luma carries numbers: 4:2:0 halves what colour channels hold, and no codec keeps the high and the low byte of a
number apart. Coarse disparity is the whole range; fine disparity is a triangle wave over it, without jumps that a codec
would blur, whose segment the coarse one tells. The frame number is a board of sixteen black or white fields: whoever
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
KINDS = 5.0
"""Levels between black and white of what a pixel is: twice ``SHOWN``, ``GUESSED`` or ``HIDDEN``, and 1 for a bridge."""
SHOWN, GUESSED, HIDDEN = 0, 1, 2
BOARD = 4
"""Fields of the frame number along each side."""
MAX_FRAMES = 1 << (BOARD * BOARD)
BLOCK = 16
"""Pixels along each side of what the codec predicts at once: no block belongs to two tiles."""
LARGEST = (2048, 1152)
"""Width and height of a tile: four of them are the largest picture of H.264's levels that players know (5.1)."""
_BLACK, _RANGE, _GREY, _CHROMA_RANGE = 16, 219, 128, 224
_SPREAD = 3
"""Half-size pixels by which what is only needed at rims is spread beyond them, so that coding does not touch them."""


@dataclass(frozen=True)
class Layout:
    """Where things are: of a picture of ``width`` x ``height``, tiles of whole blocks."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width > LARGEST[0] or self.height > LARGEST[1] or min(self.width, self.height) < 2 * BLOCK:
            raise ShapeError(
                f"A page's picture is from {2 * BLOCK} to {LARGEST[0]}x{LARGEST[1]} pixels, got "
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


@dataclass(frozen=True)
class PageFrame:
    """What one frame is on a page; all but the colour as the solid mesh has it."""

    colour: UInt8  # [H, W, 3]
    disparity: Float32  # [H, W] 1 / z
    share: Float32  # [H, W] thickness as a share of the depth, 0 where a pixel has no wall
    bridge: Float32  # [H, W] 1 / z of the hidden strip behind the pixel, 0 where there is none
    kind: UInt8  # [H, W] SHOWN, GUESSED or HIDDEN


def luma(frame: PageFrame, layout: Layout, span: tuple[float, float], number: int) -> UInt8:  # [2 h, 2 w]
    """The luma of all tiles but the colour, which stays black; disparities from ``span[0]`` to ``span[1]``."""
    width, height = layout.tile
    out = np.full((2 * height, 2 * width), _BLACK, np.uint8)
    level = np.clip((frame.disparity - span[0]) / (span[1] - span[0]), 0, 1)
    out[:height, width:] = _levels(_padded(level, height, width))
    out[height:, :width] = _levels(_padded(triangle(level), height, width))
    out[height:, width:] = _verdict(frame, layout, span, number)
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
    """Luma [2 h, 2 w] and differences [h, w] of the whole picture, BT.709 of limited range.

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
        full = np.full((height, width), _GREY, np.uint8)
        full[: height // 2, : width // 2] = np.rint(_GREY + _CHROMA_RANGE / (2 * (1 - share)) * each)
        differences.append(full)
    return whole, differences[0], differences[1]


def _verdict(frame: PageFrame, layout: Layout, span: tuple[float, float], number: int) -> UInt8:
    """Four pictures of half the size. Where two by two pixels differ, the one that hides more counts."""
    width, height = (n // 2 for n in layout.tile)
    share, bridge = _pooled(frame.share), _pooled(frame.bridge)
    there = bridge > 0
    deep = np.clip((bridge - span[0]) / (span[1] - span[0]), 0, 1)
    kind = (2 * _pooled(frame.kind) + there) / np.float32(KINDS)
    parts = (
        _levels(_spread(share_level(share), share > 0), up=True),
        _levels(_spread(deep, there)),
        _levels(kind),
        _board(number, height, width),
    )
    upper, lower = (
        np.concatenate([_padded(each, height, width) for each in pair], axis=1) for pair in (parts[:2], parts[2:])
    )
    return np.concatenate([upper, lower])


def _board(number: int, height: int, width: int) -> UInt8:
    bits = np.array([number >> n & 1 for n in range(BOARD * BOARD)], np.float32).reshape(BOARD, BOARD)
    return np.asarray(cv2.resize(_levels(bits), (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def _levels(values: Float32, *, up: bool = False) -> UInt8:
    steps = _RANGE * values
    return (_BLACK + (np.ceil(steps - 1e-4) if up else np.rint(steps))).astype(np.uint8)


def _padded(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """The last row and column go on to the size of the tile."""
    more = ((0, height - values.shape[0]), (0, width - values.shape[1]), *((0, 0),) * (values.ndim - 2))
    return np.pad(values, more, mode="edge")


def _pooled(values: np.ndarray) -> Float32:
    """The largest of each two by two pixels."""
    odd = ((0, values.shape[0] % 2), (0, values.shape[1] % 2))
    full = np.pad(values, odd, mode="edge").astype(np.float32)
    return full.reshape(full.shape[0] // 2, 2, full.shape[1] // 2, 2).max(axis=(1, 3))


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
