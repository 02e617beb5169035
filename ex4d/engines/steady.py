"""Steadiness over time: what was filled in the last frame is carried along with the background's motion."""

from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.engines.fill import Filled
from ex4d_ground.arrays import Bool, Float32, Float64, UInt8
from ex4d_ground.poses import inverse

_DEPTH_TOLERANCE = 0.1  # of the depth: more is another surface
_SMALLEST_FLOW = 16  # working pixels: smaller pictures have no patches to follow
_STILL = 0.15  # working pixels: less motion than this is noise of the estimate
_CHANGE = 40.0  # levels of 255: a fill that differs by more than this is drawn afresh
_HOLE = 250  # of 255: a place between pixels is a hole if they all are, nearly
_ROW = 4096
_REAL_KEPT = 0.95  # share kept per frame of colours that the source itself showed


@dataclass(frozen=True)
class _Frame:
    colour: UInt8  # [H, W, 3] the guide
    painted: Float32  # [H, W, 3] guide and fill together
    hole: Bool  # [H, W]
    real: Float32  # [H, W] 1 where the colour is the source's own, fading as it is carried on
    camera_from_world: Float64  # [4, 4]
    lens: Float64  # [4] on the working grid
    depth: Float32 | None  # [h, w]


class SteadyFill:
    """Blends each frame's fill with the last one's, moved to where the background behind the hole has gone."""

    def __init__(self, temporal: float) -> None:
        self._temporal = temporal
        self._last: _Frame | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def follow(
        self,
        colour: UInt8,  # [H, W, 3]
        mask: Bool,  # [H, W]
        filled: Filled,
        camera_from_world: Float64,  # [4, 4]
        lens: Float64,  # [4] on the working grid
        depth: Float32 | None,  # [h, w] of what is visible
        inverse_depth: Float32 | None,  # [h, w] of the background, holes included
    ) -> Float32:  # [H, W, 3]
        """The steadied fill of the next frame."""
        fill = filled.colour
        real = mask.astype(np.float32)
        last = self._last
        if last is not None and self._temporal > 0:
            if inverse_depth is None:
                fill, real = self._blend(last, fill, mask, self._by_flow(last, colour, mask, filled))
            else:
                source, z_there = _by_depth(last, camera_from_world, lens, inverse_depth)
                fill, real = self._blend_in_holes(last, fill, mask, source, z_there)
        painted = fill.copy()
        np.copyto(painted, colour, where=mask[..., None])
        self._last = _Frame(colour, painted, ~mask, real, camera_from_world, lens, depth)
        return fill

    def _blend(self, last: _Frame, fill: Float32, mask: Bool, source: Float32) -> tuple[Float32, Float32]:
        """Where the motion was estimated: everywhere, because what changed is looked for in neighbourhoods."""
        height, width = mask.shape
        at = _full_size(source, mask.shape)
        x, y = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
        trusted = cv2.remap(last.hole.view(np.uint8) * np.uint8(255), x, y, cv2.INTER_LINEAR) > _HOLE
        real = np.asarray(cv2.remap(last.real, x, y, cv2.INTER_LINEAR), np.float32)
        keep = self._kept(trusted, x, y, (height, width), real)
        keep[mask] = 0
        before = cv2.remap(last.painted, x, y, cv2.INTER_LINEAR)
        # An estimated motion may be wrong: where the fill is quite another, the old one would leave torn patches.
        change = cv2.blur(cv2.transform(cv2.absdiff(before, fill), np.full((1, 3), 1 / 3)), (9, 9))
        keep *= np.exp(-((change / _CHANGE) ** 2))
        fill = fill + keep[..., None].astype(np.float32) * (before - fill)
        real = np.where(mask, 1, np.where(keep > 0, real * _REAL_KEPT, 0)).astype(np.float32)
        return fill, real

    def _blend_in_holes(
        self, last: _Frame, fill: Float32, mask: Bool, source: Float32, z_there: Float32
    ) -> tuple[Float32, Float32]:
        """Where depth says how the background moved: pixel by pixel, so only pixels of holes are looked at."""
        holes = np.flatnonzero(~mask)
        whole = np.ones(mask.shape, np.float32)
        if not len(holes):
            return fill, whole
        at = _full_size(source, mask.shape).reshape(-1, 2)[holes]
        x, y = _in_rows(at[:, 0]), _in_rows(at[:, 1])

        def seen_there(values: np.ndarray) -> np.ndarray:  # [H, W, ...] -> [N, ...]
            there = cv2.remap(values, x, y, cv2.INTER_LINEAR)
            return np.asarray(there).reshape(-1, *values.shape[2:])[: len(holes)]

        trusted = seen_there(last.hole.view(np.uint8) * np.uint8(255)) > _HOLE
        if last.depth is not None:
            seen = cv2.remap(last.depth, source[..., 0] - 0.5, source[..., 1] - 0.5, cv2.INTER_NEAREST)
            same = np.abs(seen - z_there) < _DEPTH_TOLERANCE * z_there
            same = cv2.resize(same.view(np.uint8), mask.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
            trusted |= same.reshape(-1)[holes] & (seen_there(last.hole.view(np.uint8)) == 0)
        real = seen_there(last.real)
        keep = self._kept(trusted, at[:, 0], at[:, 1], mask.shape, real).astype(np.float32)
        flat = fill.copy().reshape(-1, 3)
        now = flat[holes]
        flat[holes] = now + keep[:, None] * (seen_there(last.painted) - now)
        whole.reshape(-1)[holes] = np.where(keep > 0, real * np.float32(_REAL_KEPT), 0)
        return flat.reshape(fill.shape), whole

    def _kept(self, trusted: Bool, x: Float32, y: Float32, size: tuple[int, ...], real: Float32) -> Float32:
        """How much of what was there before stays, where it can be trusted and lay in the picture."""
        inside = (x >= 0) & (y >= 0) & (x <= size[1] - 1) & (y <= size[0] - 1)
        return np.where(trusted & inside, self._temporal + (_REAL_KEPT - self._temporal) * real, 0)

    def _by_flow(self, last: _Frame, colour: UInt8, mask: Bool, filled: Filled) -> Float32:  # [h, w, 2]
        """Without depth: the background's motion as seen in the picture, carried into the holes."""
        h, w = filled.sides.seed.shape
        if min(h, w) < _SMALLEST_FLOW:
            return _centres(h, w)
        now = np.where(mask[..., None], colour, np.rint(filled.colour).astype(np.uint8))
        grey_now = cv2.cvtColor(cv2.resize(now, (w, h), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        before = np.rint(last.painted).astype(np.uint8)
        grey_last = cv2.cvtColor(cv2.resize(before, (w, h), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        flow = np.asarray(self._flow.calc(grey_now, grey_last, np.zeros((h, w, 2), np.float32)), np.float32)
        flow = filled.sides.spread(flow)
        flow[np.hypot(flow[..., 0], flow[..., 1]) < _STILL] = 0
        return flow + _centres(h, w)


def _full_size(source: Float32, size: tuple[int, ...]) -> Float32:  # [h, w, 2] -> [H, W, 2]
    """Places on the working grid as pixel indices of the full one."""
    (height, width), (h, w) = size[:2], source.shape[:2]
    scale = np.array([width / w, height / h], np.float32)
    return np.asarray(cv2.resize(source, (width, height), interpolation=cv2.INTER_LINEAR) * scale - 0.5, np.float32)


def _in_rows(values: Float32) -> Float32:  # [N] -> [R, _ROW]
    """As a picture, because OpenCV takes no longer rows; what is added is outside every picture."""
    rows = np.full((-(-len(values) // _ROW), _ROW), -1e4, np.float32)
    rows.reshape(-1)[: len(values)] = values
    return rows


def _centres(h: int, w: int) -> Float32:  # [h, w, 2] x, y of pixel centres
    x, y = np.meshgrid(np.arange(w, dtype=np.float32) + 0.5, np.arange(h, dtype=np.float32) + 0.5)
    return np.stack([x, y], axis=-1)


def _by_depth(
    last: _Frame, camera_from_world: Float64, lens: Float64, inverse_depth: Float32
) -> tuple[Float32, Float32]:
    """Where the background behind each pixel was in the last frame [h, w, 2], and how deep there [h, w]."""
    h, w = inverse_depth.shape
    at = _centres(h, w)
    move = (last.camera_from_world @ inverse(camera_from_world)).astype(np.float32)
    fx, fy, cx, cy = (np.float32(v) for v in lens)
    x, y = (at[..., 0] - cx) / fx, (at[..., 1] - cy) / fy
    # Everything divided by the depth, so that infinitely far points (inverse depth 0) need no special case.
    px, py, pz = (m[0] * x + m[1] * y + m[2] + m[3] * inverse_depth for m in move[:3])
    behind = pz <= 1e-6
    pz = np.where(behind, 1, pz)
    gx, gy, kx, ky = (np.float32(v) for v in last.lens)
    out = np.stack([px / pz * gx + kx, py / pz * gy + ky], axis=-1)
    out[behind] = -1e4
    return out.astype(np.float32), (pz / np.maximum(inverse_depth, 1e-9)).astype(np.float32)
