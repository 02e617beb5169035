"""Which holes of a move go on a plane of the place, and which can only be invented: known before anything is filled.

A hole goes on a plane where the nearest of the place's surfaces (:mod:`ex4d.fill`) is a floor, a wall or a ceiling that
the clip shows not far from there. What the clip shows before it is not looked at: a share of a frame is meant to say
whether a preview, and a model, have something to go by, in a hundredth of the time that a preview takes.
"""

from typing import Unpack

import cv2
import numpy as np

from ex4d.bands import Split, serial
from ex4d.engines.world_fill import BELIEVED, UNKNOWN
from ex4d.fill import World, world_of
from ex4d.progress import Watch, report
from ex4d.types import Clip
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, Float64
from ex4d_ground.cameras import Trajectory
from ex4d_ground.planes import PlaneInfo

SIDE = 160
"""Pixels that are looked at along the longer side of a frame, at most twice as many."""


class PlaneShares:
    """Share of each frame of a move through ``clip`` that is hole and goes on a plane; :meth:`add` the masks of guides.

    The place is found first, if it is not kept. Raises Cancelled.
    """

    def __init__(self, clip: Clip, move: Trajectory, *, planes: str = "", **watch: Unpack[Watch]) -> None:
        """``planes`` is what an artist changes of the place's (:mod:`ex4d_ground.planes`).

        Raises SettingError for a change of a plane that there is not.
        """
        report(watch.get("on_progress"), stages.PLACE, 0, 1)
        self._move, self._world = move, world_of(clip, watch.get("cancel"), planes)
        self._shares = np.zeros(len(move), np.float64)
        report(watch.get("on_progress"), stages.PLACE, 1, 1, self.missing)

    @property
    def missing(self) -> str:
        """Why nothing is known of planes, "" if it is."""
        if self._world is not None:
            return ""
        return f"Which holes go on a floor or a wall is not known {UNKNOWN}."

    @property
    def shares(self) -> Float64 | None:  # [N]
        """Those of the frames that were added, 0 of others; None where nothing is known."""
        return None if self._world is None else self._shares

    @property
    def planes(self) -> tuple[PlaneInfo, ...]:
        """The planes that there are; none where nothing is known."""
        return () if self._world is None else self._world.plane_infos

    def add(self, i: int, _colour: object, mask: Bool) -> None:  # [H, W]
        """Reckon frame ``i``, whose guide has this mask."""
        if self._world is not None:
            self._shares[i] = going_on(self._world, mask, *self._camera(i)).mean()

    def where(self, i: int, mask: Bool) -> Bool:  # [H, W] -> [H, W]
        """The holes of frame ``i`` that go on a plane, roughly."""
        if self._world is None:
            return np.zeros(mask.shape, np.bool_)
        return enlarged(going_on(self._world, mask, *self._camera(i)), mask)

    def _camera(self, i: int) -> tuple[Float64, Float64]:  # [4], [4, 4]
        return self._move.intrinsics[i], self._move.world_from_camera[i]


def going_on(
    world: World,
    mask: Bool,  # [H, W]
    lens: Float64,  # [4] fx, fy, cx, cy in pixels
    world_from_camera: Float64,  # [4, 4]
    split: Split = serial,
    *,
    roughly: bool = False,
) -> Bool:  # [h, w]
    """The holes of a camera's picture that go on a plane, looked at in one pixel in so many.

    ``roughly`` looks at small pictures, too, in every other pixel; ``split`` shares the rows among threads.
    """
    side = max(mask.shape)
    step = max(1, side // SIDE)
    if roughly and side > SIDE:
        step = max(2, step)
    step = min(step, *mask.shape)  # of a narrow picture there would be no row
    first = step // 2
    holes = np.ascontiguousarray(~mask[first::step, first::step])
    if not holes.any():
        return holes
    fx, fy, cx, cy = lens
    small = np.array([fx, fy, cx - first - 0.5, cy - first - 0.5]) / step + [0, 0, 0.5, 0.5]
    return world.shows_plane(holes, small, world_from_camera, BELIEVED, split)


def enlarged(small: Bool, mask: Bool) -> Bool:  # [h, w], [H, W] -> [H, W]
    """What :func:`going_on` tells of a picture with this mask, for all its holes."""
    height, width = mask.shape
    large = cv2.resize(small.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return (large > 0) & ~mask
