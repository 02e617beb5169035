"""Opening video containers safely, and choosing the stream that people mean by "the video".

PyAV is used directly rather than through imageio's plugin, which hides what a shot needs: display matrices, pixel
aspect, time stamps, and a list of the containers that may be opened at all.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ex4d_ground.errors import ClipError

# FFmpeg would also open playlists (which fetch other files and addresses) and text files (drawn as ANSI art): a source
# may come from elsewhere, so only containers that hold video themselves are allowed, and only plain files are read.
_CONTAINERS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,mxf,ogg,flv,asf,gif,h264,hevc,ivf,yuv4mpegpipe,png_pipe,jpeg_pipe,apng"
)
_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}


@contextmanager
def open_container(source: Path | bytes, label: str) -> Iterator[Any]:
    """An open container that has a picture. Raises ClipError. Metadata that is no UTF-8 loses single characters."""
    import av
    from av.error import FFmpegError

    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size == 0:
        raise ClipError(f"{capital(label)} is empty (0 bytes); export or copy it again.")
    file = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    try:
        container = av.open(file, options=_OPTIONS, **_reading_text(av.__version__))
    except PermissionError as error:
        raise ClipError(f"{capital(label)} may not be read (permission denied); change its permissions.") from error
    except (FFmpegError, OSError) as error:
        raise ClipError(
            f"{capital(label)} is not a video that can be read, or it is cut short; give an MP4, MOV, MKV or WebM "
            "file, or a folder of PNG frames."
        ) from error
    with container:
        yield container


def _reading_text(version: str) -> dict[str, Any]:
    """PyAV replaces what is no UTF-8 by itself from 19 on, where it takes no such option any more."""
    return {"metadata_errors": "replace"} if int(version.partition(".")[0]) < 19 else {}


def choose_stream(container: Any, label: str) -> Any:
    """The picture that players show: no cover or thumbnails, the default stream if one is called that, the largest.

    Raises ClipError if there is none.
    """
    from av.stream import Disposition

    covers = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    streams = [s for s in container.streams.video if not s.disposition & covers]
    if not streams:
        raise ClipError(f"{capital(label)} has no picture (no video stream); give a video file.")
    return max(
        streams, key=lambda s: (bool(s.disposition & Disposition.default), (s.width or 0) * (s.height or 0), -s.index)
    )


def count_frames(source: Path) -> int:
    """Frames of a video whose header does not say, without decoding them. Raises ClipError."""
    with open_container(source, str(source)) as container:
        return len(frame_times(container, choose_stream(container, str(source))))


def frame_times(container: Any, stream: Any) -> list[float]:
    """When each stored frame is shown, in seconds, from its packets alone; the container is read to its end.

    NaN where a packet carries no time. Damage ends the list: the decoder says what is wrong.
    """
    from av.error import FFmpegError

    times: list[float] = []
    try:
        for packet in container.demux(stream):
            if packet.size:
                times.append(float("nan") if packet.pts is None else float(packet.pts * stream.time_base))
    except FFmpegError:
        pass
    return sorted(times, key=lambda t: -1 if np.isnan(t) else t)


def claimed_seconds(container: Any, stream: Any) -> float:
    """How long a stream is by its file's header; 0 where the header speaks of other streams, too, or not at all."""
    text = stream.metadata.get("DURATION", "")  # Matroska's, of each stream
    parts = text.split(":")
    if len(parts) == 3 and all(part.replace(".", "", 1).isdigit() for part in parts):
        return 3600 * float(parts[0]) + 60 * float(parts[1]) + float(parts[2])
    return float(container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def capital(text: str) -> str:
    """A label as it stands at the beginning of a sentence."""
    return text[:1].upper() + text[1:] if text.startswith("the ") else text
