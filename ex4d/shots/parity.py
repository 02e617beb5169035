"""What EX-4D's published program does to a clip before it builds a mesh (commit b456a41).

It takes the first 49 frames, stretches them so that both sides are multiples of 64 and none is longer than 1024, and
then has a focal length of 500 pixels whatever the size. Depth comes from DepthCrafter. Its reader, OpenCV, takes all
video for BT.601; ours believes the file's own tag, so colours of BT.709 video differ by a few levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import cv2
import numpy as np

from ex4d.clip.colours import AS_PUBLISHED
from ex4d.clip.video import VideoInfo, open_video, read_video
from ex4d.dwmesh.mesh import FACE_OCCLUDED, FACE_VISIBLE
from ex4d.frames import FrameStack
from ex4d.frames.ahead import first
from ex4d.progress import Watch, reported
from ex4d_ground import stages
from ex4d_ground.arrays import Float32, Int8, Int32, UInt8
from ex4d_ground.sequences import FrameFiles

ESTIMATOR = "depthcrafter"
FOCAL_PX = 500.0
NUM_FRAMES = 49
SIDE_STEP, LONGEST_SIDE = 64, 1024


def published_size(width: int, height: int) -> tuple[int, int]:
    """Width and height that the published program brings frames of a size to."""
    shrink = LONGEST_SIDE / max(width, height) if max(map(_rounded, (width, height))) > LONGEST_SIDE else 1.0
    return _rounded(width * shrink), _rounded(height * shrink)


def _rounded(side: float) -> int:
    return max(round(side / SIDE_STEP) * SIDE_STEP, SIDE_STEP)  # the published program fails on sides that round to 0


@dataclass(frozen=True)
class PublishedFrames:
    """A clip's frames after that step."""

    frames: UInt8  # [T, H, W, 3]
    fps: float
    filmed: tuple[int, int]
    """Width and height of the frames before."""
    video: VideoInfo

    def depth(self, values: Float32) -> Float32:  # [T, h, w] -> [T, H, W]
        """Depth that was made for the frames as they were filmed, by the nearest pixel; any other as it is."""
        height, width = self.frames.shape[1:3]
        if values.ndim != 3 or (values.shape[2], values.shape[1]) != self.filmed or self.filmed == (width, height):
            return values
        rows, columns = (_nearest(n, m) for n, m in zip(values.shape[1:], (height, width), strict=True))
        return np.ascontiguousarray(values[:, rows[:, None], columns])


def _nearest(count: int, wanted: int) -> np.ndarray:
    return np.minimum(((np.arange(wanted) + 0.5) * count / wanted).astype(np.int64), count - 1)


def read_published(
    video: Path | FrameFiles, *, num_frames: int | None, keep_size: bool = False, **watch: Unpack[Watch]
) -> PublishedFrames:
    """The first frames of ``video`` (None: 49, or as many as there are; 0: all), each stretched as published.

    Raises ClipError, Cancelled.
    """
    limit = NUM_FRAMES if num_frames is None else num_frames or None
    filmed = (0, 0)
    with open_video(video, colour=AS_PUBLISHED) as (info, frames):
        expected = min(limit or info.num_frames, info.num_frames or limit or 0)
        stack = FrameStack(expected=expected, label=info.label, in_memory=True)

        def stretched() -> Iterator[UInt8]:
            nonlocal filmed
            for frame in first(frames, limit):
                filmed = frame.shape[1], frame.shape[0]
                size = filmed if keep_size else published_size(*filmed)
                yield frame if size == filmed else np.asarray(cv2.resize(frame, size), np.uint8)

        for frame in reported(stretched(), stages.READING, expected, **watch):
            stack.append(frame)
    if len(stack) < max(2, num_frames or 0):
        read_video(video, num_frames=num_frames or None)  # says what is wrong with it
    return PublishedFrames(np.asarray(stack.frames()), info.fps, filmed, info)


def steep_faces(vertices: Float32, faces: Int32) -> Int8:  # [V, 3], [F, 3] -> [F] of FACE_* values
    """Faces that EX-4D's filter "boundary" hides: deeper by more than twice their larger side across."""
    corner = vertices[faces].astype(np.float64)  # [F, 3, 3]
    reach = np.abs(corner - np.roll(corner, -1, axis=1)).max(axis=1)  # along x, y and z
    steep = reach[:, 2] > 2 * (reach[:, :2].max(axis=1) + 1e-8)
    return np.where(steep, FACE_OCCLUDED, FACE_VISIBLE).astype(np.int8)
