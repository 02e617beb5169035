"""Frame sources: clips read one frame at a time, as often as needed, in bounded memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ex4d.clip.depth import OpenedDepth, open_depth
from ex4d.clip.video import open_video
from ex4d.depth.base import FrameSource
from ex4d.frames import Frames, FrameStore
from ex4d.progress import CancelToken, check
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import ClipError, ShapeError
from ex4d_ground.remedies import fewer_frames
from ex4d_ground.sequences import FrameFiles


class ArrayFrames:
    """Frames that are there already: in memory, mapped, or in a store."""

    def __init__(self, frames: Frames, *, fps: float = 15.0):  # [T, H, W, 3]
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
            raise ShapeError(f"Frames must be [T, H, W, 3] uint8 with T >= 1, got {frames.shape} {frames.dtype}.")
        self._frames = frames
        self.fps = fps
        self.num_frames, self.height, self.width = frames.shape[:3]

    def __iter__(self) -> Iterator[UInt8]:
        yield from self._frames


class StreamedFrames:
    """A video file or a sequence of images, decoded anew on every pass so that one frame at a time is in memory.

    The first pass counts the frames, because a header's count can be missing or wrong.
    """

    def __init__(self, path: Path | FrameFiles, *, num_frames: int | None = None, cancel: CancelToken | None = None):
        self._path = path
        count = 0
        self.height = self.width = 0
        with open_video(path, num_frames=num_frames) as (info, frames):
            self.fps, self.info = info.fps, info
            for frame in frames:
                check(cancel)
                self.height, self.width = frame.shape[:2]
                count += 1
                if count == num_frames:
                    break
        if count == 0 or (num_frames is not None and count < num_frames):
            text = f"{info.label} has {count} frames, {num_frames or 'at least 1'} needed."
            raise ClipError(text, remedy=fewer_frames(count) if count else None)
        self.num_frames = count

    def __iter__(self) -> Iterator[UInt8]:
        with open_video(self._path, num_frames=self.num_frames) as (_, frames):
            for index, frame in enumerate(frames):
                if index == self.num_frames:
                    return
                yield frame


def open_frames(
    source: Path | FrameFiles | Frames | FrameSource,
    *,
    num_frames: int | None = None,
    fps: float = 15.0,
    cancel: CancelToken | None = None,
) -> FrameSource:
    """A frame source for a video file, a sequence of images, an array [T, H, W, 3] uint8, or a source as it is.

    ``fps`` is for arrays, which carry none. Raises ClipError if it cannot be read or is shorter than ``num_frames``.
    """
    if isinstance(source, np.ndarray | FrameStore):
        if num_frames is not None and not 1 <= num_frames <= len(source):
            raise ClipError(f"The clip has {len(source)} frames but {num_frames} were asked for; ask for fewer.")
        return ArrayFrames(source[:num_frames], fps=fps)
    if isinstance(source, Path | FrameFiles):
        return StreamedFrames(source, num_frames=num_frames, cancel=cancel)
    return source


def opened_beside(
    frames: FrameSource,
    depth: Path | FrameFiles,
    *,
    scale: float | None = None,
    channel: str | None = None,
    num_frames: int | None = None,
    maximum_is_hole: bool = True,
) -> OpenedDepth:
    """Depth of ``frames``, the first ``num_frames`` of both: as :func:`ex4d.clip.depth.open_depth` opens it, and played
    by the time stamps of a video whose rate varies. Raises DepthError, SettingError.
    """
    video = frames.info if isinstance(frames, StreamedFrames) else None
    varies = video is not None and bool(video.shown)
    opened = open_depth(
        depth, scale=scale, channel=channel, num_frames=None if varies else num_frames, maximum_is_hole=maximum_is_hole
    )
    return opened.played_as(video, frames.num_frames) if varies and video is not None else opened
