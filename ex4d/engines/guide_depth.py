"""Depth of what a guide frame shows: from the guides if they carry it, else from the clip's own depth."""

import cv2
import numpy as np

from ex4d.compiled.arrays import plain
from ex4d.engines.base import GenerateRequest
from ex4d.engines.fill import half_size
from ex4d.engines.fill_kernels import splat_depth
from ex4d_ground.arrays import Float32, Float64


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
            self._rays = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)

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
        splat_depth(plain(self._clip.depth[frame]), self._rays, move, lens32, out)
        return out
