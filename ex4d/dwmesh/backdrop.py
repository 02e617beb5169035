"""What other frames show behind a thing: a layer of the background, of a camera that stands still or whose motion is
known (then :mod:`ex4d.dwmesh.moving_backdrop` says what a frame's layer is).

Before a camera that stands still each pixel's background is the farthest surface that at least two frames show there,
alike in depth and colour; the layer holds the median of these frames. Where a frame has something nearer, the layer
joins its solid mesh as a further, visible sheet: it fills what is hidden in this one frame. It is not the moment's own
truth: shadows and reflections of what stands before it are those of other moments, and what moved there meanwhile is
not seen.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np

from ex4d.compiled.arrays import plain
from ex4d.compiled.kernel import inlined, kernel
from ex4d.dwmesh.edges import cut_rows, quad_cuts
from ex4d.dwmesh.frame_views import EdgeLimits, FrameViews
from ex4d.dwmesh.moving_backdrop import SAME_COLOUR, SAME_DEPTH, Layer, MovingBackdrop, chosen_frames
from ex4d.dwmesh.still import LEAST_STILL, unchanged_share
from ex4d.types import Clip
from ex4d_ground import remedies
from ex4d_ground.arrays import Bool, Float32, Int32, UInt8
from ex4d_ground.errors import SettingError


class Sheet(NamedTuple):
    """Triangles that join a frame's surface."""

    vertices: Float32  # [V, 3]
    colors: UInt8  # [V, 4]
    faces: Int32  # [F, 3] into ``vertices``


class Backdrop:
    """The background layer of one clip. Safe to use from several threads.

    Raises SettingError for a single frame, for a camera that moves unless the clip says how (``Clip.source_camera``),
    and for a motion that the frames contradict.
    """

    def __init__(self, clip: Clip, views: FrameViews) -> None:
        self._clip, self._views = clip, views
        self._moving = None if clip.moving_camera is None else MovingBackdrop(clip, views)
        if self._moving is None:
            self._still = self._seen_all_the_time()

    def _seen_all_the_time(self) -> Layer:
        """The layer of a camera that stands still, the same for all frames; depth 0 where nothing is known."""
        clip = self._clip
        check_still(clip)
        chosen = chosen_frames(clip)
        shape = clip.depth.shape[1:]
        layer = Layer(np.zeros(shape, np.float32), np.zeros((*shape, 3), np.uint8))
        depths = np.stack([self._views.depth(k) for k in chosen])
        _accumulate(plain(clip.frames[chosen]), depths, SAME_DEPTH, SAME_COLOUR, layer.depth, layer.colour)
        return layer

    def layer(self, t: int) -> Layer:
        """What is known of the background of frame ``t``; depth 0, or that of its own surface, where nothing is."""
        return self._still if self._moving is None else self._moving.layer(t)

    def behind(self, t: int) -> tuple[Bool, Sheet]:  # [H, W]
        """Where frame ``t`` hides its layer, and the layer there as a sheet."""
        layer, own = self.layer(t), self._views.depth(t)
        hidden = _hidden(layer, own)
        return hidden, self._sheet(t, layer, own, hidden)

    def _sheet(self, t: int, layer: Layer, own: Float32, hidden: Bool) -> Sheet:
        """The layer where it is hidden, up to the pixels beside it that show the background."""
        shown = (layer.depth > 0) & ~hidden & (own < (1 + SAME_DEPTH) * layer.depth)
        depth = np.where(hidden, layer.depth, own)
        known = hidden | shown
        whole = known[:-1, :-1] & known[:-1, 1:] & known[1:, :-1] & known[1:, 1:]
        some = hidden[:-1, :-1] | hidden[:-1, 1:] | hidden[1:, :-1] | hidden[1:, 1:]
        quads = np.flatnonzero(whole & some & ~crossed_quads(depth, self._views.limits(t)))
        width = depth.shape[1]
        corner = (quads // (width - 1) * width + quads % (width - 1)).astype(np.int32)
        # Upper left and lower right triangle, wound as in the grid: the front shows, the back only blocks.
        corners = np.stack([corner + width, corner, corner + 1, corner + width, corner + 1, corner + width + 1], axis=1)
        used, faces = np.unique(corners, return_inverse=True)
        z = depth.reshape(-1)[used]
        x, y = self._views.rays(t)
        vertices = np.stack([x[used % width] * z, y[used // width] * z, z], axis=1).astype(np.float32)
        colors = np.full((len(used), 4), 255, np.uint8)
        frame = self._clip.frames[t].reshape(-1, 3)
        colors[:, :3] = np.where(hidden.reshape(-1, 1)[used], layer.colour.reshape(-1, 3)[used], frame[used])
        return Sheet(vertices, colors, faces.reshape(-1, 3).astype(np.int32))


def check_still(clip: Clip) -> None:
    """Raise SettingError for a clip whose camera moves though nothing says how."""
    share = unchanged_share(clip.frames)
    if share < LEAST_STILL:
        raise SettingError(
            f"Other frames can only fill in for a camera that stands still; here {share:.0%} of what is textured "
            "stays in place.",
            remedy=remedies.give_source_camera(),
        )


def crossed_quads(depth: Float32, limits: EdgeLimits) -> Bool:  # [H, W] -> [H - 1, W - 1]
    """Quads of ``depth`` that an edge crosses."""
    height, width = depth.shape
    inverse = np.full((height + 2, width + 2), 1.0, np.float32)
    inverse[1:-1, 1:-1] = np.float32(1) / depth
    cuts, quads = np.empty(inverse.shape, np.uint8), np.empty((height + 1, width + 1), np.uint8)
    jump, steep = limits
    cut_rows(inverse, jump, float(steep[0]), float(steep[1]), 0, height + 2, cuts)
    quad_cuts(cuts, 0, height + 1, quads)
    return quads[1:-1, 1:-1] != 0


def _hidden(layer: Layer, own: Float32) -> Bool:  # [H, W]
    """Where a frame has something nearer than its layer, three pixels wide or near such a place.

    Outlines that shift by a part of a pixel from frame to frame hide nothing.
    """
    nearer = (layer.depth > 0) & (own < (1 - SAME_DEPTH) * layer.depth)
    window = np.ones((3, 3), np.uint8)
    wide = cv2.morphologyEx(nearer.astype(np.uint8), cv2.MORPH_OPEN, window)
    return nearer & (cv2.dilate(wide, window) > 0)


@inlined
def _sort_columns(values: Any) -> None:  # [R, W], in place
    """The least value of each column first. Neighbours change places, whole rows at once: vector instructions do it."""
    count, width = values.shape
    for last in range(count - 1, 0, -1):
        for k in range(last):
            for i in range(width):
                a, b = values[k, i], values[k + 1, i]
                values[k, i], values[k + 1, i] = min(a, b), max(a, b)


@kernel
def _accumulate(
    colours: UInt8,  # [R, H, W, 3]
    depths: Float32,  # [R, H, W]
    same_depth: float,
    same_colour: int,
    out_depth: Float32,  # [H, W] 0 where nothing is known
    out_colour: UInt8,  # [H, W, 3]
) -> None:
    """Per pixel: median depth and colour of the frames that show its farthest surface, if two agree.

    A row at a time: what is left out of a median has the largest value, so that all pixels are sorted alike.
    """
    count, height, width = depths.shape
    far, middle = np.empty(width, np.float32), np.empty((3, width), np.uint8)
    chosen, values = np.empty((count, width), np.bool_), np.empty((count, width), np.float32)
    levels, members = np.empty((count, width), np.uint8), np.empty(width, np.int32)
    for j in range(height):
        far[:] = depths[0, j]
        for k in range(1, count):
            for i in range(width):
                far[i] = max(far[i], depths[k, j, i])
        members[:] = 0
        for k in range(count):
            for i in range(width):
                chosen[k, i] = depths[k, j, i] >= (1 - same_depth) * far[i]
                members[i] += chosen[k, i]
        for c in range(3):
            for k in range(count):
                for i in range(width):
                    levels[k, i] = colours[k, j, i, c] if chosen[k, i] else np.uint8(255)
            _sort_columns(levels)
            for i in range(width):
                middle[c, i] = levels[members[i] // 2, i]
        members[:] = 0
        for k in range(count):
            for i in range(width):
                near = chosen[k, i]
                for c in range(3):
                    near = near and abs(np.int32(colours[k, j, i, c]) - np.int32(middle[c, i])) <= same_colour
                values[k, i] = depths[k, j, i] if near else np.float32(np.inf)
                members[i] += near
        _sort_columns(values)
        for i in range(width):
            if members[i] >= 2:
                out_depth[j, i] = values[members[i] // 2, i]
                for c in range(3):
                    out_colour[j, i, c] = middle[c, i]
