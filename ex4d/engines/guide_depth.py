"""Depth of what a guide frame shows: from the guides if they carry it, else from the clip's own depth."""

import cv2
import numpy as np

from ex4d.compiled.arrays import plain
from ex4d.engines.base import GenerateRequest
from ex4d.engines.splat_kernels import splat_depth
from ex4d.types import KnownFrame, working_size
from ex4d_ground.arrays import Float32, Float64
from ex4d_ground.cameras import Intrinsics

_CLOSED = 1.6
"""Working pixels between points of two by two that still leave no gap, even on a slope turned towards the camera."""


class GuideDepth:
    """z-depth per guide frame on the half-size working grid, or None where nothing is known of it."""

    def __init__(self, request: GenerateRequest) -> None:
        self._guides = request.guides
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
        mask = self._guides.mask[i]
        h, w = working_size(*mask.shape)
        drawn = self._guides.depth
        if drawn is not None:
            return np.asarray(cv2.resize(drawn[i], (w, h), interpolation=cv2.INTER_NEAREST), np.float32)
        if self._clip is None:
            return None
        frame = int(np.clip(np.floor(self._times[i] + 0.5), 0, self._clip.num_frames - 1))
        out = np.zeros((h, w), np.float32)
        move, lens32 = camera_from_source[:3].astype(np.float32), lens.astype(np.float32)
        depth, k = plain(self._clip.depth[frame]), self._clip.lens(frame)
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
