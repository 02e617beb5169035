"""The frames that a world memory is made from: spread over a clip and over others of the same place, of one size."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ex4d.compiled.arrays import plain
from ex4d.dwmesh.backdrop import check_still, crossed_quads
from ex4d.dwmesh.frame_views import FrameViews
from ex4d.dwmesh.moving_backdrop import SAME_DEPTH, check_motion, chosen_frames, meeting
from ex4d.dwmesh.still import references
from ex4d.types import Clip, SetClip
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8
from ex4d_ground.errors import SettingError

MOST_BYTES = 256 << 20
"""What the frames that vote take at most; they are made smaller until they do."""
BYTES_PER_PIXEL = 14
"""Of one of them: depth, least depth around, colour, edge, and whether it is remembered."""
MOST_SET_FRAMES = 12
"""Frames of each further clip that are asked."""
LEAST_COMMON = 0.1
"""Share of a further clip's frame that one of the first clip must show as well to say whether it fits."""
LEAST_SET_FIT = 0.5
"""Share of the points in common that must lie where the poses say; less says that these, or the depth, are wrong."""
EVERY, ANY_COLOUR = 3, 255
"""How two clips are held against each other: one pixel in this many along rows and columns, in any light."""


class Witnesses(NamedTuple):
    """The frames that vote, as small as they have to be."""

    depths: Float32  # [K, H, W]
    crossed: Bool  # [K, H - 1, W - 1] quads with a depth edge
    nearest: Float32  # [K, H, W] least depth around each pixel
    colours: UInt8  # [K, H, W, 3]
    poses: Float64  # [K, 4, 4]
    lenses: Float64  # [K, 4] fx, fy and the principal point in pixel indices

    def seen_from(self, k: int) -> Float64:  # [K, 4, 4]
        """The axes of each frame from those of frame ``k``."""
        return np.linalg.inv(self.poses) @ self.poses[k]

    def followed_by(self, other: "Witnesses") -> "Witnesses":
        """Both, one after the other."""
        return Witnesses(
            np.concatenate([self.depths, other.depths]),
            np.concatenate([self.crossed, other.crossed]),
            np.concatenate([self.nearest, other.nearest]),
            np.concatenate([self.colours, other.colours]),
            np.concatenate([self.poses, other.poses]),
            np.concatenate([self.lenses, other.lenses]),
        )


def rounds(count: int) -> list[list[int]]:
    """0..count-1 coarse to fine: the middle one, the ends, then those between, as many at once as there are gaps."""
    found, gaps = [[count // 2]], [(0, count // 2), (count // 2, count - 1)]
    ends = sorted({0, count - 1} - {count // 2})
    found += [ends] if ends else []
    while gaps := [(a, b) for a, b in gaps if b - a > 1]:
        found.append([(a + b) // 2 for a, b in gaps])
        gaps = [gap for a, b in gaps for gap in ((a, (a + b) // 2), ((a + b) // 2, b))]
    return found


def witnesses(
    clip: Clip, views: FrameViews, sets: Sequence[tuple[SetClip, FrameViews]]
) -> tuple[Witnesses, list[list[int]]]:
    """The frames that vote, and the rounds in which they are gone through: first the clip's, then those of its sets.

    Raises SettingError for a motion that the frames contradict, and for a set that does not fit the clip.
    """
    chosen, others = chosen_frames(clip), [references(each.clip.num_frames, MOST_SET_FRAMES) for each, _ in sets]
    count = len(chosen) + sum(map(len, others))
    step = 1
    while count * (clip.height // step) * (clip.width // step) * BYTES_PER_PIXEL > MOST_BYTES:
        step += 1
    size = clip.height // step, clip.width // step
    found, order = _seen(clip, views, chosen, clip.world_from_camera, size), rounds(len(chosen))
    if clip.moving_camera is None:
        check_still(clip)
    else:
        check_motion(found.depths, found.colours, found.poses, found.lenses)
    first = found
    for (each, own_views), frames in zip(sets, others, strict=True):
        more = _seen(each.clip, own_views, frames, each.place @ each.clip.world_from_camera, size)
        _check_set(first, more, each.clip.name)
        order = order + [[len(found.depths) + k for k in together] for together in rounds(len(frames))]
        found = found.followed_by(more)
    return found, order


def _seen(clip: Clip, views: FrameViews, chosen: list[int], poses: Float64, size: tuple[int, int]) -> Witnesses:
    """Some frames of a clip, made ``size`` (height, width)."""
    (height, width), count = size, len(chosen)
    depths, colours = np.empty((count, *size), np.float32), np.empty((count, *size, 3), np.uint8)
    step = clip.width // width
    fits = step > 0 and (clip.height // step, clip.width // step) == size
    middle = slice(step // 2, None, step) if fits else slice(None)
    for n, t in enumerate(chosen):
        depth, frame = views.depth(t), plain(clip.frames[t])
        if fits:
            depths[n] = depth[middle, middle][:height, :width]
            frame = frame[: height * step, : width * step]
        else:
            depths[n] = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        same = frame.shape[:2] == size
        colours[n] = frame if same else cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    crossed = np.stack([crossed_quads(d, views.limits(t)) for t, d in zip(chosen, depths, strict=True)])
    window = np.ones((3, 3), np.uint8)
    nearest = np.stack([cv2.erode(d, window) for d in depths]).astype(np.float32, copy=False)
    lenses = views.lenses(clip, chosen)
    if fits:
        small = (lenses - np.array([0, 0, step // 2, step // 2])) / step
    else:
        scale = np.array([width / clip.width, height / clip.height])
        small = np.hstack([lenses[:, :2] * scale, (lenses[:, 2:] + 0.5) * scale - 0.5])
    return Witnesses(depths, crossed, nearest, plain(colours), poses[chosen], small)


def _check_set(first: Witnesses, more: Witnesses, name: str) -> None:
    """Raise SettingError for a further clip whose points do not lie where the first clip sees them."""
    shares, (height, width) = [], first.depths.shape[1:]
    asked = (-(-height // EVERY)) * (-(-width // EVERY))
    for k in range(len(more.depths)):
        best = 0.0
        for j, back in enumerate(np.linalg.inv(first.poses)):
            pair = np.stack([more.depths[k], first.depths[j]]), np.stack([more.colours[k], first.colours[j]])
            lenses = np.stack([more.lenses[k], first.lenses[j]])
            met, common = meeting(*pair, back @ more.poses[k], lenses, SAME_DEPTH, ANY_COLOUR, EVERY)
            best = max(best, met / common if common > LEAST_COMMON * asked else 0.0)
        shares += [best]
    fit = float(np.max(shares))
    if fit < LEAST_SET_FIT:
        raise SettingError(
            f"The set clip {name} does not fit the clip: at most {fit:.0%} of a frame's points lie where the clip sees "
            "them. Check that the poses of both are of one world, that both have depth in one unit, and that they show "
            "the same place."
        )
