"""Depth of what a guide frame shows: from the guides if they carry it, else from the clip's own depth."""

from functools import cached_property

import cv2
import numpy as np

from ex4d.compiled.arrays import plain
from ex4d.dwmesh.sharpen import is_smeared
from ex4d.engines.base import GenerateRequest
from ex4d.engines.splat_kernels import splat_depth
from ex4d.types import Clip, KnownFrame, working_size
from ex4d_ground.arrays import Float32, Float64
from ex4d_ground.cameras import Intrinsics

_CLOSED = 1.6
"""Working pixels between points of two by two that still leave no gap, even on a slope turned towards the camera."""
_BESIDE = np.ones((9, 9), np.uint8)
"""Working pixels around a thing that smeared depth may still have as its own."""


class GuideDepth:
    """z-depth per guide frame on the half-size working grid, or None where nothing is known of it."""

    def __init__(self, request: GenerateRequest, smeared: bool | None = None) -> None:
        """``smeared`` spares looking through the clip's depth, for whoever knows whether that is."""
        self._guides, self._known_smeared = request.guides, smeared
        self._clip = request.clip
        self._times = request.trajectory.source_time

    @property
    def is_known(self) -> bool:
        """Whether there is depth of any frame."""
        guides = self._guides
        return guides.depth is not None or guides.known is not None or self._clip is not None

    def half(
        self, i: int, lens: Float64, camera_from_source: Float64, known: KnownFrame | None = None
    ) -> Float32 | None:  # [h, w], 0 = unknown
        """Depth of frame ``i`` for a camera with ``lens`` (fx, fy, cx, cy on the working grid).

        ``camera_from_source`` [4, 4] leads from the axes of the camera that filmed the frame it shows; ``known`` is
        what the clip shows beside the guide, where that is known.
        """
        if known is not None:
            return known.depth
        h, w = working_size(*self._guides.mask.shape[1:])
        drawn = self._guides.depth
        if drawn is not None:
            return np.asarray(cv2.resize(drawn[i], (w, h), interpolation=cv2.INTER_NEAREST), np.float32)
        if self._clip is None:
            return None
        return self._of_clip(self._clip, i, lens, camera_from_source, (h, w))

    def with_ramps(
        self, i: int, lens: Float64, camera_from_source: Float64, known: KnownFrame
    ) -> Float32:  # [h, w], 0 = unknown
        """Depth of ``known``, and beside its things the clip's own where that is nearer. Arguments as of :meth:`half`.

        A mesh puts each pixel of a smeared edge on one of its sides; the colours of many are the nearer one's all the
        same. Depth that is sharp stays as it is. What was taken out of the mesh does not come back.
        """
        layer, clip = known.depth, self._clip
        if clip is None or not self._is_smeared:
            return layer
        own = self._of_clip(clip, i, lens, camera_from_source, layer.shape)
        mine, theirs = (np.divide(1, each, out=np.zeros_like(each), where=each > 0) for each in (layer, own))
        nearer = np.minimum(theirs, cv2.dilate(mine, _BESIDE))
        return np.where((layer > 0) & (nearer > mine), 1 / np.maximum(nearer, 1e-9), layer).astype(np.float32)

    @cached_property
    def _is_smeared(self) -> bool:
        if self._known_smeared is not None:
            return self._known_smeared
        return self._clip is not None and is_smeared(self._clip.depth)

    def _of_clip(
        self, clip: Clip, i: int, lens: Float64, camera_from_source: Float64, size: tuple[int, ...]
    ) -> Float32:  # [h, w], 0 = unknown
        frame = int(np.clip(np.floor(self._times[i] + 0.5), 0, clip.num_frames - 1))
        out = np.zeros(size, np.float32)
        move, lens32 = camera_from_source[:3].astype(np.float32), lens.astype(np.float32)
        depth, k = plain(clip.depth[frame]), clip.lens(frame)
        step = _step(float(depth[::8, ::8].min()), lens, k, camera_from_source)
        splat_depth(depth, *_rays(k), step, move, lens32, out)
        return out


def _step(nearest: float, lens: Float64, source: Intrinsics, camera_from_source: Float64) -> int:
    """Each how many-th pixel has to be drawn for points of two by two pixels to leave no gap; 1 or 2.

    Reckoned for the nearest thing there is, which grows most when the camera comes closer.
    """
    shift = float(np.linalg.norm(camera_from_source[:3, 3]))
    growth = max(lens[0] / source.fx, lens[1] / source.fy) * nearest / max(nearest - shift, 1e-9)
    return 2 if 2 * growth <= _CLOSED else 1


def _rays(k: Intrinsics) -> tuple[Float32, Float32]:  # [W], [H]
    """x/z of the columns and y/z of the rows of a picture through the lens ``k``."""
    x = (np.arange(k.width, dtype=np.float32) + 0.5 - k.cx) / k.fx
    y = (np.arange(k.height, dtype=np.float32) + 0.5 - k.cy) / k.fy
    return x.astype(np.float32), y.astype(np.float32)
