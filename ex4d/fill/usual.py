"""Colours that a place mostly has, of a camera that moves: shadows of what moves are those of one moment.

Before a camera that stands still the plate is a median over time. Where the camera moves, its colours are one frame's;
the same places are looked for in other frames by the known poses, and where most of those that see them are alike and
that frame is not, it is their median that counts. Elsewhere its own colours stay, which are sharper than any median.
"""

import cv2
import numpy as np

from ex4d.compiled.arrays import plain
from ex4d.compiled.kernel import kernel
from ex4d.dwmesh.moving_backdrop import SAME_COLOUR, SAME_DEPTH, Layer, colour_at, place
from ex4d.dwmesh.still import references
from ex4d.types import Clip
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.poses import inverse

FRAMES = 9
"""Frames, spread over the clip, that are looked at."""
LEAST_SEEN = 3
"""Of them must see a place."""
SPECK = 5
"""Pixels across up to which what differs is no shadow, but an outline that the poses or the depth misplace; and width
of a shadow's soft rim."""


def usual_colours(clip: Clip, t: int, layer: Layer) -> UInt8:  # [H, W, 3]
    """The colours of ``layer``, that of frame ``t`` of a clip whose camera moves, without shadows of that moment."""
    moving = clip.moving_camera
    assert moving is not None
    chosen = references(clip.num_frames, FRAMES)
    there = inverse(moving.world_from_camera[chosen]) @ moving.world_from_camera[t]
    lenses = np.stack([_row(clip.lens(k)) for k in chosen])
    depths, colours = np.stack([clip.depth[k] for k in chosen]), np.stack([clip.frames[k] for k in chosen])
    usual, other = layer.colour.copy(), np.zeros(layer.depth.shape, np.bool_)
    limits = np.array([SAME_DEPTH, SAME_COLOUR, LEAST_SEEN], np.float64)
    _differing(
        plain(colours), plain(depths.astype(np.float32)), there, lenses, _row(clip.lens(t)), limits,
        layer.depth, layer.colour, usual, other,
    )  # fmt: skip
    window = np.ones((SPECK, SPECK), np.uint8)
    shadow = cv2.dilate(cv2.morphologyEx(other.view(np.uint8), cv2.MORPH_OPEN, window), window) > 0
    return np.where(shadow[..., None], usual, layer.colour)


def _row(lens: Intrinsics) -> Float64:  # [4]
    return np.array([lens.fx, lens.fy, lens.cx - 0.5, lens.cy - 0.5])


@kernel
def _differing(
    colours: UInt8,  # [K, H, W, 3]
    depths: Float32,  # [K, H, W]
    poses: Float64,  # [K, 4, 4] axes of each from the frame's
    lenses: Float64,  # [K, 4] fx, fy and the principal point in pixel indices
    lens: Float64,  # [4] the frame's
    limits: Float64,  # [3] SAME_DEPTH, SAME_COLOUR, LEAST_SEEN
    depth: Float32,  # [H, W]
    colour: UInt8,  # [H, W, 3]
    usual: UInt8,  # [H, W, 3] out, where enough frames see the place: their median
    other: Bool,  # [H, W] out, whether that is another colour
) -> None:
    """Compare each place's colour with its median over the frames."""
    count, height, width = depths.shape
    seen = np.empty((3, count), np.float64)
    for j in range(height):
        for i in range(width):
            n = 0
            for k in range(count):
                u, v, there = place(poses[k], lens, lenses[k], i, j, depth[j, i])
                if there <= 0 or not (0 <= u <= width - 1 and 0 <= v <= height - 1):
                    continue
                if abs(depths[k, int(v + 0.5), int(u + 0.5)] / there - 1) > limits[0]:
                    continue
                for channel in range(3):
                    seen[channel, n] = colour_at(colours[k], u, v, channel)
                n += 1
            if n < limits[2]:
                continue
            for channel in range(3):
                middle = np.sort(seen[channel, :n])[n // 2]
                usual[j, i, channel] = np.uint8(middle + 0.5)
                if abs(middle - colour[j, i, channel]) > limits[1]:
                    other[j, i] = True
