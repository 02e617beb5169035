"""Steadiness over time: what was filled in the last frame is carried along with the background's motion."""

from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.engines.fill import Filled
from ex4d.engines.paint_kernels import carry_on
from ex4d_ground.arrays import Bool, Float32, Float64
from ex4d_ground.poses import inverse

_DEPTH_TOLERANCE = 0.1  # of the depth: more is another surface
_SMALLEST_FLOW = 16  # working pixels: smaller pictures have no patches to follow
_STILL = 0.15  # working pixels: less motion than this is noise of the estimate
_CHANGE = 40.0  # levels of 255: a fill that differs by more than this is drawn afresh
_HOLE = 250  # of 255: a place between pixels is a hole if they all are, nearly
_REAL_KEPT = 0.95  # share kept per frame of colours that the source itself showed


@dataclass(frozen=True)
class _Frame:
    painted: Float32  # [H, W, 3] guide and fill together
    mask: Bool  # [H, W]
    real: Float32  # [H, W] 1 where the colour is the source's own, fading as it is carried on
    camera_from_world: Float64  # [4, 4]
    lens: Float64  # [4] in pixels of the full size
    depth: Float32 | None  # [h, w]
    things: Float32  # [h, w] as of Filled


class SteadyFill:
    """Blends each frame's fill with the last one's, moved to where the background behind the hole has gone."""

    def __init__(self, temporal: float) -> None:
        self._temporal = temporal
        self._last: _Frame | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def follow(
        self,
        mask: Bool,  # [H, W]
        filled: Filled,
        camera_from_world: Float64,  # [4, 4]
        lens: Float64,  # [4] in pixels of the full size
        depth: Float32 | None,  # [h, w] of what is visible
    ) -> None:
        """Steady the next frame: ``filled.painted`` is changed in place."""
        last, painted = self._last, filled.painted
        real = mask.astype(np.float32)
        if last is not None and self._temporal > 0:
            if depth is None or last.depth is None:
                real = self._blend(last, painted, mask, self._by_flow(last, filled))
            else:
                move = (last.camera_from_world @ inverse(camera_from_world))[:3].astype(np.float32)
                shares: Float32 = np.array([self._temporal, _REAL_KEPT, _DEPTH_TOLERANCE], np.float32)
                lenses: Float32 = np.array([lens, last.lens], np.float32)
                carry_on(
                    filled.values, mask, move, lenses, last.painted, last.mask, last.real, last.depth,
                    last.things, shares, painted, real,
                )  # fmt: skip
        self._last = _Frame(painted, mask, real, camera_from_world, lens, depth, filled.things)

    def _blend(self, last: _Frame, fill: Float32, mask: Bool, source: Float32) -> Float32:
        """Where the motion was estimated: everywhere, because what changed is looked for in neighbourhoods.

        ``fill`` is changed in place; returns how much of each pixel is the source's own.
        """
        height, width = mask.shape
        at = _full_size(source, mask.shape)
        x, y = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
        holes = (~last.mask).view(np.uint8) * np.uint8(255)
        trusted = cv2.remap(holes, x, y, cv2.INTER_LINEAR) > _HOLE
        real = np.asarray(cv2.remap(last.real, x, y, cv2.INTER_LINEAR), np.float32)
        keep = self._kept(trusted, x, y, (height, width), real)
        keep[mask] = 0
        before = cv2.remap(last.painted, x, y, cv2.INTER_LINEAR)
        # An estimated motion may be wrong: where the fill is quite another, the old one would leave torn patches.
        change = cv2.blur(cv2.transform(cv2.absdiff(before, fill), np.full((1, 3), 1 / 3)), (9, 9))
        keep *= np.exp(-((change / _CHANGE) ** 2))
        fill += keep[..., None].astype(np.float32) * (before - fill)
        return np.where(mask, 1, np.where(keep > 0, real * _REAL_KEPT, 0)).astype(np.float32)

    def _kept(self, trusted: Bool, x: Float32, y: Float32, size: tuple[int, ...], real: Float32) -> Float32:
        """How much of what was there before stays, where it can be trusted and lay in the picture."""
        inside = (x >= 0) & (y >= 0) & (x <= size[1] - 1) & (y <= size[0] - 1)
        return np.where(trusted & inside, self._temporal + (_REAL_KEPT - self._temporal) * real, 0)

    def _by_flow(self, last: _Frame, filled: Filled) -> Float32:  # [h, w, 2]
        """Without depth: the background's motion as seen in the picture, carried into the holes."""
        h, w = filled.sides.seed.shape
        if min(h, w) < _SMALLEST_FLOW:
            return _centres(h, w)
        now = np.rint(filled.painted).astype(np.uint8)
        grey_now = cv2.cvtColor(cv2.resize(now, (w, h), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        before = np.rint(last.painted).astype(np.uint8)
        grey_last = cv2.cvtColor(cv2.resize(before, (w, h), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        flow = np.zeros((h, w, 4), np.float32)
        flow[..., :2] = self._flow.calc(grey_now, grey_last, np.zeros((h, w, 2), np.float32))
        flow = filled.sides.spread(flow)[..., :2]
        flow[np.hypot(flow[..., 0], flow[..., 1]) < _STILL] = 0
        return flow + _centres(h, w)


def _full_size(source: Float32, size: tuple[int, ...]) -> Float32:  # [h, w, 2] -> [H, W, 2]
    """Places on the working grid as pixel indices of the full one."""
    (height, width), (h, w) = size[:2], source.shape[:2]
    scale = np.array([width / w, height / h], np.float32)
    return np.asarray(cv2.resize(source, (width, height), interpolation=cv2.INTER_LINEAR) * scale - 0.5, np.float32)


def _centres(h: int, w: int) -> Float32:  # [h, w, 2] x, y of pixel centres
    x, y = np.meshgrid(np.arange(w, dtype=np.float32) + 0.5, np.arange(h, dtype=np.float32) + 0.5)
    return np.stack([x, y], axis=-1)
