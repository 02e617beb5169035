"""Depth of what a guide frame shows: from the guides if they carry it, else from the clip's own depth."""

import cv2
import numpy as np

from ex4d.compiled.arrays import plain
from ex4d.engines.base import GenerateRequest
from ex4d.engines.fill import half_size
from ex4d.engines.splat_kernels import splat_depth
from ex4d_ground.arrays import Float32, Float64

_CLOSED = 1.6
"""Working pixels between points of two by two that still leave no gap, even on a slope turned towards the camera."""


class GuideDepth:
    """z-depth per guide frame on the half-size working grid, or None where nothing is known of it."""

    def __init__(self, request: GenerateRequest) -> None:
        self._guides = request.guides
        self._clip = request.clip
        self._times = request.trajectory.source_time
        clip = request.clip
        if clip is not None:
            k = clip.intrinsics
            x = (np.arange(clip.width, dtype=np.float32) + 0.5 - k.cx) / k.fx
            y = (np.arange(clip.height, dtype=np.float32) + 0.5 - k.cy) / k.fy
            self._ray_x, self._ray_y = x.astype(np.float32), y.astype(np.float32)

    @property
    def is_known(self) -> bool:
        """Whether there is depth of any frame."""
        return self._guides.depth is not None or self._clip is not None

    def half(self, i: int, lens: Float64, camera_from_world: Float64) -> Float32 | None:  # [h, w], 0 = unknown
        """Depth of frame ``i`` for a camera with ``lens`` (fx, fy, cx, cy on the working grid)."""
        mask = self._guides.mask[i]
        h, w = half_size(*mask.shape)
        if self._guides.depth is not None:
            return np.asarray(cv2.resize(self._guides.depth[i], (w, h), interpolation=cv2.INTER_NEAREST), np.float32)
        if self._clip is None:
            return None
        frame = int(np.clip(np.floor(self._times[i] + 0.5), 0, self._clip.num_frames - 1))
        out = np.zeros((h, w), np.float32)
        move, lens32 = camera_from_world[:3].astype(np.float32), lens.astype(np.float32)
        depth = plain(self._clip.depth[frame])
        step = self._step(float(depth[::8, ::8].min()), lens, camera_from_world)
        splat_depth(depth, self._ray_x, self._ray_y, step, move, lens32, out)
        return out

    def _step(self, nearest: float, lens: Float64, camera_from_world: Float64) -> int:
        """Each how many-th pixel has to be drawn for points of two by two pixels to leave no gap; 1 or 2.

        Reckoned for the nearest thing there is, which grows most when the camera comes closer.
        """
        assert self._clip is not None
        k, shift = self._clip.intrinsics, float(np.linalg.norm(camera_from_world[:3, 3]))
        growth = max(lens[0] / k.fx, lens[1] / k.fy) * nearest / max(nearest - shift, 1e-9)
        return 2 if 2 * growth <= _CLOSED else 1
