"""Points followed through a clip, behind one interface: OpenCV's pyramidal Lucas-Kanade, or CoTracker."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from cv2.typing import MatLike

from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.errors import SettingError


class Tracker(Protocol):
    """Follows points from one frame to all others."""

    name: str

    def follow(
        self,
        frames: UInt8,  # [T, H, W, 3]
        points: Float32,  # [P, 2] x and y in pixels, in frame ``start``
        start: int,
    ) -> tuple[Float32, Bool]:  # [T, P, 2], [T, P]
        """Where each point is in each frame, and whether it was found there."""
        ...


class LucasKanade:
    """Pyramidal Lucas-Kanade from frame to frame; a point is lost for good where the way back misses its start."""

    name = "lucas-kanade"

    def __init__(self, *, most_miss: float = 1.0, window: int = 21, levels: int = 3):
        self._miss = most_miss
        self._how = {"winSize": (window, window), "maxLevel": levels}

    def follow(self, frames: UInt8, points: Float32, start: int) -> tuple[Float32, Bool]:
        """See :class:`Tracker`."""
        grey = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames]
        tracks = np.repeat(np.asarray(points, np.float32)[None], len(grey), axis=0)
        found = np.zeros(tracks.shape[:2], np.bool_)
        found[start] = True
        for way in (range(start, len(grey) - 1), range(start, 0, -1)):
            for t in way:
                after = t + way.step
                self._step(grey[t], grey[after], tracks, found, t, after)
        return tracks, found

    def _step(self, here: MatLike, there: MatLike, tracks: Float32, found: Bool, t: int, after: int) -> None:
        tracks[after] = tracks[t]
        alive = np.flatnonzero(found[t])
        if not len(alive):
            return
        old = tracks[t, alive].reshape(-1, 1, 2)
        new, ok, _ = cv2.calcOpticalFlowPyrLK(here, there, old, None, **self._how)  # type: ignore[call-overload]
        back, back_ok, _ = cv2.calcOpticalFlowPyrLK(there, here, new, None, **self._how)  # type: ignore[call-overload]
        miss = np.linalg.norm((back - old).reshape(-1, 2), axis=1)
        height, width = here.shape
        x, y = new.reshape(-1, 2).T
        kept = (ok & back_ok).ravel().astype(bool) & (miss <= self._miss)
        kept &= (x >= 0) & (y >= 0) & (x < width) & (y < height)
        tracks[after, alive[kept]] = new.reshape(-1, 2)[kept]
        found[after, alive[kept]] = True


class CoTracker:
    """CoTracker, where its package is installed, with a checkpoint from disk; nothing is downloaded.

    Raises SettingError where either is missing.
    """

    name = "cotracker"

    def __init__(self, checkpoint: Path, device: str = "cuda"):
        try:
            from cotracker.predictor import CoTrackerPredictor  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise SettingError(
                "The tracker 'cotracker' needs CoTracker's own package, which is not installed; use LucasKanade."
            ) from error
        if not checkpoint.is_file():
            raise SettingError(f"CoTracker's checkpoint {checkpoint} is not there; give the path of one that is.")
        self._device = device
        self._model = CoTrackerPredictor(checkpoint=str(checkpoint)).to(device)

    def follow(self, frames: UInt8, points: Float32, start: int) -> tuple[Float32, Bool]:
        """See :class:`Tracker`."""
        import torch

        video = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)[None].float().to(self._device)
        where = np.concatenate([np.full((len(points), 1), start, np.float32), points], axis=1)
        queries = torch.from_numpy(where)[None].to(self._device)
        tracks, visible = self._model(video, queries=queries, backward_tracking=True)
        return tracks[0].cpu().numpy().astype(np.float32), visible[0].cpu().numpy().astype(np.bool_)


def good_points(frame: UInt8, most: int, chance: np.random.Generator) -> Float32:  # [P, 2]
    """Corners that can be followed, at least a few pixels apart; places at random where a picture has none."""
    grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    found = cv2.goodFeaturesToTrack(grey, 8 * most, 0.01, max(4, min(grey.shape) // 32))
    if found is None:
        height, width = grey.shape
        return chance.uniform([0, 0], [width - 1, height - 1], (most, 2)).astype(np.float32)
    points = found.reshape(-1, 2)
    return points[chance.permutation(len(points))[:most]].astype(np.float32)
