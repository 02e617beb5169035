"""Where the preview engine fills holes with the place itself (:mod:`ex4d.fill`), and where with what is beside them.

A narrow hole continues what is beside it, whatever that is; a wide one shows the place, apart from what stands before
it.
Shares and distances were chosen on scenes of other seeds than those that judge them (``make eval-fill``).
"""

import cv2
import numpy as np

from ex4d.bands import Split, serial
from ex4d.engines.base import GenerateRequest
from ex4d.engines.fill import Filled
from ex4d.engines.paint_kernels import mix_in
from ex4d.fill import World, world_of
from ex4d.fill.world import Painted
from ex4d.progress import CancelToken
from ex4d_ground.arrays import Bool, Float32, Float64

NARROW = 10 / 512
"""Of the picture's longer side: holes less wide than this continue what is beside them."""
BLEND = 6 / 512
"""Of it: width of the passage from one to the other."""
BEFORE = 1.1
"""Factor by which what is seen is nearer than the place where it stands before it."""
APART = 24 / 512
"""Of the picture's longer side: so far from it the place is painted in full."""
TRUSTED = (0.3, 0.7)
"""Trust in a plane's texture from which on it counts, and at which it counts in full."""
BELIEVED = sum(TRUSTED) / 2
"""Trust at which the texture counts half."""
WALL_FROM = 0.04
"""Of the picture's longer side: so far from what is seen the back wall is painted in full."""
UNKNOWN = "where the filming camera moves far or zooms, or nobody knows how"
"""Where clips have no place."""
_MARGIN = 1.1
"""Factor on that distance: what lies farther from all that is painted changes nothing."""


class WorldFill:
    """Paints the holes of one request from the world of its clip."""

    def __init__(self, request: GenerateRequest, world: World | None, split: Split = serial) -> None:
        """``world`` is that of the request's clip, None where it has none; ``split`` shares a frame among threads."""
        self._move = request.trajectory
        self._clip_is_missing = request.clip is None
        self._world, self._split = world, split

    @classmethod
    def of(cls, request: GenerateRequest, cancel: CancelToken | None = None, planes: str = "") -> "WorldFill":
        """With the world found, if it is not kept.

        ``planes`` is what an artist changes of the place's (:mod:`ex4d_ground.planes`). Raises SettingError, Cancelled.
        """
        return cls(request, None if request.clip is None else world_of(request.clip, cancel, planes))

    @property
    def missing(self) -> str:
        """Why there is no place to paint, "" if there is one."""
        if self._world is not None:
            return ""
        why = "without its clip" if self._clip_is_missing else UNKNOWN
        return f"The place is not known {why}: holes are filled from what is beside them."

    @property
    def planes(self) -> str:
        """The planes that it paints, for people."""
        return "" if self._world is None else ", ".join(plane.text for plane in self._world.plane_infos)

    def paint(self, i: int, mask: Bool, filled: Filled, depth: Float32 | None) -> None:
        """Paint what the world shows into the holes of frame ``i``, as far as they are the world's.

        ``filled`` is changed in place, also in what lies behind the holes, so that what follows over time follows the
        world. ``depth`` [h, w] is that of what is seen, on the working grid, 0 where that is not known.
        """
        if self._world is None or mask.all():
            return
        share = _wide(mask)
        if not share.any():
            return
        wanted = _near(share)
        painted = self._world.paint(
            wanted, self._move.intrinsics[i], self._move.world_from_camera[i], share > 0, self._split
        )
        share *= _sure(mask, painted)
        if depth is not None:
            share *= _apart(mask & wanted, depth, painted.inverse)
        self._split(len(mask), lambda a, b: mix_in(share, painted.colour, filled.painted, a, b))
        small = filled.values.shape[1::-1]
        behind = cv2.resize(painted.inverse, small, interpolation=cv2.INTER_NEAREST)
        part = cv2.resize(share, small, interpolation=cv2.INTER_AREA)
        filled.values[..., 3] += part * (behind - filled.values[..., 3])
        things = cv2.resize(painted.on_thing.view(np.uint8), small, interpolation=cv2.INTER_NEAREST)
        filled.things[...] = _around(np.where((things > 0) & (part > 0), behind, np.float32(0)))

    def things(self, holes: Bool, lens: Float64, world_from_camera: Float64) -> Float32:  # [H, W], [4], [4, 4]
        """1 / depth of the things that stand before the place in a camera's holes, and a little around; 0 elsewhere."""
        if self._world is None or not len(self._world.things.numbers):
            return np.zeros(holes.shape, np.float32)
        painted = self._world.paint(holes, lens, world_from_camera, np.zeros_like(holes), self._split)
        return _around(np.where(painted.on_thing, painted.inverse, np.float32(0)))


def _around(inverse: Float32) -> Float32:  # [h, w]
    """1 / depth of what stands before something, and of its rim, where colours are mixed."""
    return np.asarray(cv2.dilate(inverse, np.ones((3, 3), np.uint8)), np.float32)


def _sure(mask: Bool, painted: Painted) -> Float32:  # [H, W]
    """How much the world is to be believed: planes by how near their texture is to what is seen of them.

    The back wall stands for much that lies at other depths. Near what is seen that goes on better in the picture, so
    it comes in with the distance to it, where what is beside a hole says less and less.
    """
    plane = (np.clip(painted.trust, *TRUSTED) - TRUSTED[0]) / (TRUSTED[1] - TRUSTED[0])
    distance = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 3)
    wall = np.clip(distance / (WALL_FROM * max(mask.shape)), 0, 1)
    wall[painted.trust == 0] = 0
    return np.where(painted.on_plane | painted.on_thing, plane, wall).astype(np.float32)


def _wide(mask: Bool) -> Float32:  # [H, W]
    """How much of each hole pixel the place paints: 0 in narrow holes and at rims, 1 inside wide ones."""
    side = max(mask.shape)
    radius, blend = max(1, round(NARROW * side / 2)), max(1, round(BLEND * side))
    distance = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 3)
    inside = (distance > radius).astype(np.uint8)
    reach = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3) if inside.any() else np.full(mask.shape, side, np.float32)
    share = np.clip(1 - (reach - radius) / blend, 0, 1).astype(np.float32)
    share[mask] = 0
    return share


def _near(share: Float32) -> Bool:  # [H, W]
    """Where the place is painted, and where it is looked at for what stands before it."""
    distance = cv2.distanceTransform((share == 0).view(np.uint8), cv2.DIST_L2, 3)
    return distance <= _MARGIN * APART * max(share.shape)


def _apart(mask: Bool, depth: Float32, place: Float32) -> Float32:  # [H, W], [h, w], [H, W]
    """1 apart from what stands before the place, less beside it: what is hidden there is as often its own side."""
    height, width = mask.shape
    seen = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
    before = mask & (seen > 0) & (seen * place * BEFORE < 1)
    if not before.any():
        return np.ones(mask.shape, np.float32)
    distance = cv2.distanceTransform((~before).view(np.uint8), cv2.DIST_L2, 3)
    return np.clip(distance / (APART * max(mask.shape)), 0, 1).astype(np.float32)
