"""Writing a page's video: H.264, every frame's tiles, with key frames close enough for seeking."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ex4d.clip.movie_file import MovieStream, movie_container
from ex4d.export.movies import fill_plane
from ex4d.web.tiles import Layout, planes
from ex4d.web.tiles import PageFrame as Frame
from ex4d_ground.arrays import UInt8
from ex4d_ground.footage import exact_rate

_BT709, _LIMITED_RANGE = 1, 1
_KEY_FRAMES_S = 1.0
"""Seconds between key frames: what a player decodes at most when it seeks."""


class Coding(NamedTuple):
    """How strongly a page's video is compressed."""

    crf: float = 14.5
    preset: str = "veryslow"


def write_tiles(
    path: Path, frames: Iterable[Frame], layout: Layout, span: tuple[float, float], fps: float, coding: Coding
) -> None:
    """Encode ``frames`` as ``path`` (.mp4). Raises OutputError, ShapeError (no frames)."""
    width, height = layout.picture
    with movie_container(path, {"movflags": "faststart"}, remedy="choose a smaller side") as container:
        movie = MovieStream(container, exact_rate(fps))
        stream = container.add_stream("libx264", rate=movie.rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        every = max(round(_KEY_FRAMES_S * fps), 1)
        # Adaptive quantisation takes bits from what varies, which here are depth edges; psychovisual tuning adds what
        # looks like grain, and in numbers is noise; the loop filter rounds edges off.
        more = {"aq-mode": "0", "psy": "0", "deblock": "-3:-3"}
        options = {"crf": f"{coding.crf:g}", "preset": coding.preset, "g": str(every), **more}
        stream.options = options
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        movie.stream = stream
        with movie.ended():
            for number, frame in enumerate(frames):
                movie.mux(_video_frame(planes(frame, layout, span, number)))


def _video_frame(parts: tuple[UInt8, UInt8, UInt8]) -> Any:
    from av import VideoFrame

    height, width = parts[0].shape
    frame = VideoFrame(width, height, "yuv420p")
    frame.colorspace, frame.color_range = _BT709, _LIMITED_RANGE
    frame.color_primaries = frame.color_trc = _BT709
    for plane, values in zip(frame.planes, parts, strict=True):
        fill_plane(plane, values)
    return frame
