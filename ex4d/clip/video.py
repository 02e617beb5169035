"""Reading video: a file, a folder of numbered images, or the bytes of a video file.

PyAV is used directly rather than through imageio's plugin, which hides what a shot needs: the display rotation of phone
footage, and a list of the containers that may be opened at all.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from ex4d.clip.frame_stack import FrameStack
from ex4d.clip.images import COLOUR_SUFFIXES, image_files, read_rgb
from ex4d.progress import Watch, check, report
from ex4d_ground import stages
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import ClipError, SettingError
from ex4d_ground.remedies import fewer_frames

DEFAULT_FPS = 15.0
"""Frame rate of a source that has none (a folder of images): the rate at which the model was trained to play."""

# FFmpeg would also open playlists (which fetch other files and addresses) and text files (drawn as ANSI art): a source
# may come from elsewhere, so only containers that hold video themselves are allowed, and only plain files are read.
_CONTAINERS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,mxf,ogg,flv,asf,gif,h264,hevc,ivf,yuv4mpegpipe,png_pipe,jpeg_pipe,apng"
)
_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}


@dataclass(frozen=True)
class VideoInfo:
    """What a source says about itself before it is decoded."""

    label: str
    """How messages call it: a path, or "the video" for bytes."""
    fps: float
    num_frames: int
    """As its header claims; 0 if it does not say."""


def read_video(
    source: Path | bytes, *, num_frames: int | None = None, **watch: Unpack[Watch]
) -> tuple[UInt8, float]:  # [T, H, W, 3] RGB, frames per second
    """Decode a video file, a folder of images (natural order) or the bytes of a video file.

    With ``num_frames`` exactly that many are read, from the start. Raises ClipError (no such file, not a video, empty,
    one frame, fewer frames than asked, frames of different sizes, damaged, too large for memory) and Cancelled.
    """
    if num_frames is not None and num_frames < 2:
        raise SettingError(f"A clip needs at least 2 frames, {num_frames} were asked for.")
    with open_video(source) as (info, frames):
        expected = num_frames or info.num_frames
        stack = FrameStack(expected=min(expected, info.num_frames or expected), label=info.label)
        for frame in frames:
            check(watch.get("cancel"))
            stack.append(frame)
            report(watch.get("on_progress"), stages.READING, len(stack), max(expected, len(stack)))
            if len(stack) == num_frames:
                break
    _check_length(info, len(stack), num_frames)
    return stack.array(), info.fps


@contextmanager
def open_video(source: Path | bytes) -> Iterator[tuple[VideoInfo, Iterator[UInt8]]]:
    """Open a source for streaming: what it is, and its frames [H, W, 3] RGB one after the other. Raises ClipError."""
    if isinstance(source, bytes):
        with _open_container(source, "the video") as opened:
            yield opened
        return
    path = Path(source)
    if not path.exists():
        raise ClipError(f"There is no file or folder {path}; check the path of the video.")
    if path.is_dir():
        yield _open_folder(path)
        return
    with _open_container(path, str(path)) as opened:
        yield opened


def _open_folder(folder: Path) -> tuple[VideoInfo, Iterator[UInt8]]:
    files = image_files(folder, COLOUR_SUFFIXES)
    if not files:
        raise ClipError(f"The folder {folder} holds no PNG, JPEG or TIFF images; give a folder of numbered frames.")
    suffixes = sorted({p.suffix.lower() for p in files})
    if len(suffixes) > 1:
        raise ClipError(
            f"The folder {folder} mixes {' and '.join(suffixes)} files; leave only the frames of one kind in it."
        )
    return VideoInfo(str(folder), DEFAULT_FPS, len(files)), (read_rgb(p) for p in files)


@contextmanager
def _open_container(source: Path | bytes, label: str) -> Iterator[tuple[VideoInfo, Iterator[UInt8]]]:
    import av
    from av.error import FFmpegError

    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size == 0:
        raise ClipError(f"{_capital(label)} is empty (0 bytes); export or copy it again.")
    try:
        container = av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source), options=_OPTIONS)
    except PermissionError as error:
        raise ClipError(f"{_capital(label)} may not be read (permission denied); change its permissions.") from error
    except (FFmpegError, OSError) as error:
        raise ClipError(
            f"{_capital(label)} is not a video that can be read, or it is cut short; give an MP4, MOV, MKV or WebM "
            "file, or a folder of PNG frames."
        ) from error
    with container:
        if not container.streams.video:
            raise ClipError(f"{_capital(label)} has no picture (no video stream); give a video file.")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate
        info = VideoInfo(label, float(rate) if rate else DEFAULT_FPS, stream.frames)
        yield info, _decode(container, stream, label)


def _decode(container, stream, label: str) -> Iterator[UInt8]:
    from av.error import FFmpegError

    count = 0
    try:
        for frame in container.decode(stream):
            yield upright(frame.to_ndarray(format="rgb24"), frame.rotation)
            count += 1
    except FFmpegError as error:
        text = f"{_capital(label)} is damaged after frame {count} ({error.strerror}); export it again."
        raise ClipError(text, remedy=fewer_frames(count) if count >= 2 else None) from error


def upright(frame: UInt8, rotation_deg: int) -> UInt8:
    """``frame`` [H, W, 3] turned by its container's display rotation (degrees, counter-clockwise, multiples of 90)."""
    quarter_turns = round(rotation_deg / 90) % 4
    return np.ascontiguousarray(np.rot90(frame, quarter_turns)) if quarter_turns else frame


def _check_length(info: VideoInfo, count: int, num_frames: int | None) -> None:
    label = _capital(info.label)
    if count == 0:
        raise ClipError(f"{label} holds no frames; export or copy it again.")
    if count == 1:
        raise ClipError(f"{label} has one frame; a clip needs at least 2: give a video, not a picture.")
    if num_frames is not None and count < num_frames:
        raise ClipError(f"{label} has {count} frames, {num_frames} were asked for.", remedy=fewer_frames(count))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] if text.startswith("the ") else text
