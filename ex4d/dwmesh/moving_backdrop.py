"""The background behind each frame's surfaces as other frames of a moving camera saw it, where its motion is known.

Other frames' points are brought into the frame's axes by the known poses; behind its own surface each pixel then has
candidates, nearest first. A candidate counts if it is still there when it is looked for in the other frames: at least
two see it at its depth with one colour, and hardly any looks through the place where it should be. So things that move
are not taken for background, nor what only one frame's depth claims.
"""

from typing import NamedTuple

import cv2
import numpy as np

from ex4d.compiled.arrays import plain
from ex4d.compiled.kernel import inlined, kernel
from ex4d.dwmesh.frame_views import FrameViews
from ex4d.dwmesh.still import references
from ex4d.types import Clip
from ex4d_ground.arrays import Float32, Float64, UInt8
from ex4d_ground.errors import SettingError

MOST_FRAMES = 25
"""Frames, spread over the clip, that a background is made from."""
SAME_DEPTH = 0.05
"""Share by which depths may differ and be the same surface's."""
SAME_COLOUR = 24
"""Levels by which colours may differ from their median and be the same surface's."""
LOOKED_THROUGH = 0.2
"""Frames that look through a place, as a share of those that see something there, with which it is still taken."""
LEAST_FIT = 0.4
"""Share of the points two frames have in common that must be where the motion says; less says that it is wrong."""
FINE_COLOUR = 12
"""Levels within which colours must stay to tell a motion from none."""
NO_BETTER = 0.95
"""A motion with which fewer points meet than this share of those that meet without any is wrong."""
EVERY = 3
"""One pixel in this many, along rows and columns, is looked at to judge the motion."""


class Layer(NamedTuple):
    """What is known of the background of one frame; its own surface where nothing is."""

    depth: Float32  # [H, W]
    colour: UInt8  # [H, W, 3]


class MovingBackdrop:
    """Background layers of one clip whose source camera moves. Safe to use from several threads.

    Raises SettingError for a motion that the frames contradict: too few of their points meet.
    """

    def __init__(self, clip: Clip, views: FrameViews) -> None:
        assert clip.moving_camera is not None
        chosen = chosen_frames(clip)
        self._clip, self._views, self._poses = clip, views, clip.moving_camera.world_from_camera
        self._chosen = np.array(chosen)
        self._depths = np.stack([views.depth(k) for k in chosen])
        self._colours = plain(clip.frames[chosen])
        # A place is looked through only if everything beside it is farther too: outlines shift by parts of a pixel.
        beside = np.ones((3, 3), np.uint8)
        self._nearest = np.stack([cv2.erode(d, beside) for d in self._depths]).astype(np.float32, copy=False)
        self._lenses = views.lenses(clip, chosen)
        check_motion(self._depths, self._colours, self._poses[self._chosen], self._lenses)

    def layer(self, t: int) -> Layer:
        """What other frames know behind the surface of frame ``t``."""
        own, lens = self._views.depth(t), self._views.lenses(self._clip, [t])[0]
        here = np.linalg.inv(self._poses[t]) @ self._poses[self._chosen]  # [K, 4, 4] axes of t from those of k
        candidates = np.full(self._depths.shape, np.inf, np.float32)
        _gather(self._depths, here, self._lenses, lens, own, 1 + SAME_DEPTH, candidates)
        candidates.sort(axis=0)
        depth, colour = own.copy(), self._clip.frames[t].copy()
        limits = np.array([SAME_DEPTH, SAME_COLOUR, LOOKED_THROUGH])
        there = np.linalg.inv(here)
        known = self._depths, self._nearest, self._colours
        _choose(candidates, *known, there, self._lenses, lens, limits, depth, colour)
        return Layer(depth, colour)


def check_motion(depths: Float32, colours: UInt8, poses: Float64, lenses: Float64) -> None:
    """Raise SettingError for poses [K, 4, 4] that frames [K, H, W] contradict: too few of their points meet.

    ``lenses`` [K, 4] are those of :meth:`ex4d.dwmesh.frame_views.FrameViews.lenses`.
    """
    steps = np.linalg.inv(poses[1:]) @ poses[:-1]  # axes of each frame from those of the one before
    still = np.tile(np.eye(4), (len(steps), 1, 1))

    def fit(steps: Float64, same_colour: int) -> float:
        """Median over neighbours: the share of their points that meet."""
        shares = []
        for a, step in enumerate(steps):
            pair = depths[a : a + 2], colours[a : a + 2]
            met, common = meeting(*pair, step, lenses[a : a + 2], SAME_DEPTH, same_colour, EVERY)
            shares += [met / common] if common else []
        return float(np.median(shares)) if shares else 0.0

    found = fit(steps, SAME_COLOUR)
    worse = fit(steps, FINE_COLOUR) < NO_BETTER * fit(still, FINE_COLOUR)
    if found < LEAST_FIT or worse:
        raise SettingError(
            f"The source camera's motion does not fit the clip: {found:.0%} of its frames' points meet where it says"
            f"{', fewer than if the camera stood still' if worse else ''}. Check that poses and depth have one "
            "unit and that the file belongs to this clip, or turn other_frames off."
        )


def chosen_frames(clip: Clip) -> list[int]:
    """The frames that a background is made from."""
    return references(clip.num_frames, MOST_FRAMES)


@inlined
def seen_from(pose: Float64, lens: Float64, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Pixel indices and depth of a point through ``pose``; depth 0 behind the camera."""
    depth = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
    if depth <= 0:
        return 0.0, 0.0, 0.0
    u = (pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3]) / depth * lens[0] + lens[2]
    v = (pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3]) / depth * lens[1] + lens[3]
    return u, v, depth


@kernel
def place(pose: Float64, own: Float64, lens: Float64, i: float, j: float, z: float) -> tuple[float, float, float]:
    """Pixel indices and depth, through ``pose`` and ``lens``, of what pixel (i, j) of a lens ``own`` shows at depth z.

    Depth 0 behind the camera.
    """
    return seen_from(pose, lens, (i - own[2]) / own[0] * z, (j - own[3]) / own[1] * z, z)


@kernel
def _gather(
    depths: Float32,  # [K, H, W]
    poses: Float64,  # [K, 4, 4] the frame's axes from those of each
    lenses: Float64,  # [K, 4] fx, fy and the principal point in pixel indices
    lens: Float64,  # [4] the frame's
    own: Float32,  # [H, W]
    behind: float,  # factor on the own depth from which on something lies behind it
    out: Float32,  # [K, H, W] nearest depth behind the own surface, in the frame's axes
) -> None:
    """Put every point into the four pixels around it."""
    count, height, width = depths.shape
    for k in range(count):
        for j in range(height):
            for i in range(width):
                u, v, zt = place(poses[k], lenses[k], lens, i, j, depths[k, j, i])
                if zt <= 0 or not (-1 < u < width and -1 < v < height):
                    continue
                left, top = int(np.floor(u)), int(np.floor(v))
                for row in range(max(top, 0), min(top + 2, height)):
                    for column in range(max(left, 0), min(left + 2, width)):
                        if zt > behind * own[row, column] and zt < out[k, row, column]:
                            out[k, row, column] = zt


@kernel
def colour_at(picture: UInt8, u: float, v: float, channel: int) -> float:  # [H, W, 3]
    """Bilinear; u and v lie inside the picture."""
    height, width = picture.shape[:2]
    i, j = min(int(u), width - 2), min(int(v), height - 2)
    a, b = u - i, v - j
    top = (1 - a) * picture[j, i, channel] + a * picture[j, i + 1, channel]
    bottom = (1 - a) * picture[j + 1, i, channel] + a * picture[j + 1, i + 1, channel]
    return (1 - b) * top + b * bottom


@kernel
def _choose(
    candidates: Float32,  # [K, H, W] sorted along K
    depths: Float32,  # [K, H, W]
    nearest: Float32,  # [K, H, W] least depth around each pixel
    colours: UInt8,  # [K, H, W, 3]
    poses: Float64,  # [K, 4, 4] axes of each from the frame's
    lenses: Float64,  # [K, 4]
    lens: Float64,  # [4] the frame's
    limits: Float64,  # [3] SAME_DEPTH, SAME_COLOUR, LOOKED_THROUGH
    depth: Float32,  # [H, W] the own, replaced where something is known behind it
    colour: UInt8,  # [H, W, 3]
) -> None:
    """Per pixel: the nearest candidate that the frames confirm."""
    count, height, width = candidates.shape
    seen, ratios = np.empty((count, 3)), np.empty(count)
    for j in range(height):
        for i in range(width):
            tried = 0.0
            for c in range(count):
                z = candidates[c, j, i]
                if not z < np.inf:
                    break
                if z <= (1 + limits[0]) * tried:
                    continue
                tried = z
                n, through = 0, 0
                for k in range(count):
                    u, v, there = place(poses[k], lens, lenses[k], i, j, z)
                    if there <= 0 or not (0 <= u <= width - 1 and 0 <= v <= height - 1):
                        continue
                    row, column = int(v + 0.5), int(u + 0.5)
                    ratio = depths[k, row, column] / there
                    if abs(ratio - 1) <= limits[0]:
                        for channel in range(3):
                            seen[n, channel] = colour_at(colours[k], u, v, channel)
                        ratios[n] = ratio
                        n += 1
                    elif nearest[k, row, column] > (1 + limits[0]) * there:
                        through += 1
                if n < 2 or through > limits[2] * n:
                    continue
                middle = np.empty(3)
                for channel in range(3):
                    middle[channel] = np.sort(seen[:n, channel])[n // 2]
                alike = 0
                for m in range(n):
                    if np.abs(seen[m] - middle).max() <= limits[1]:
                        ratios[alike] = ratios[m]
                        alike += 1
                if alike >= 2:
                    depth[j, i] = z * np.sort(ratios[:alike])[alike // 2]
                    for channel in range(3):
                        colour[j, i, channel] = np.uint8(middle[channel] + 0.5)
                    break


@kernel
def meeting(
    depths: Float32,  # [2, H, W]
    colours: UInt8,  # [2, H, W, 3]
    pose: Float64,  # [4, 4] axes of the second from those of the first
    lenses: Float64,  # [2, 4]
    same_depth: float,
    same_colour: float,
    every: int,
) -> tuple[int, int]:
    """How many points of the first frame the second sees in place, and how many lie in its picture."""
    height, width = depths.shape[1:]
    met, common = 0, 0
    for j in range(0, height, every):
        for i in range(0, width, every):
            u, v, there = place(pose, lenses[0], lenses[1], i, j, depths[0, j, i])
            if there <= 0 or not (0 <= u <= width - 1 and 0 <= v <= height - 1):
                continue
            common += 1
            alike = abs(depths[1, int(v + 0.5), int(u + 0.5)] / there - 1) <= same_depth
            for channel in range(3):
                level = colour_at(colours[1], u, v, channel)
                alike = alike and abs(level - colours[0, j, i, channel]) <= same_colour
            if alike:
                met += 1
    return met, common
