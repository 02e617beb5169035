"""Movies in depth: RGB signals as luma and differences of 8 or 10 bits, with the tags that say what they mean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ex4d.clip.colours import luma_weights
from ex4d.clip.movie_file import MovieStream, movie_container
from ex4d.clip.sound import SoundTrack
from ex4d.types import Sound
from ex4d_ground.arrays import Float32
from ex4d_ground.colour import ColourSpace, Matrix
from ex4d_ground.errors import ShapeError
from ex4d_ground.exports import ExportKind
from ex4d_ground.footage import Footage

# Code points of ISO/IEC 23091-2.
_UNSAID, _LIMITED = 2, 1
_PRIMARIES = {"bt709": 1, "bt470bg": 5, "smpte170m": 6, "bt2020": 9, "p3-dci": 11, "p3": 12}
_TRANSFERS = {"gamma24": 1, "srgb": 1, "gamma22": 4, "gamma28": 5, "pq": 16, "gamma26": 17, "hlg": 18}
"""sRGB pictures become video as they are, which is what every program calls BT.709."""
_X265 = "log-level=error:bframes=0"
"""With B-frames x265 gives movies of one or two frames decoding times that mean nothing."""
_LEAST = {"dnxhd": ("DNxHR", 256, 120), "libx265": ("H.265", 16, 16)}
"""Width and height: SMPTE ST 2019-1, as FFmpeg checks it; and what x265 takes."""
_MATRICES: dict[Matrix, int] = {"bt709": 1, "bt601": 6, "bt2020": 9}


def matrix_of(space: ColourSpace) -> Matrix:
    """How a movie of this space is stored."""
    return "bt2020" if space.primaries == "bt2020" else "bt709"


@contextmanager
def movie_writer(
    path: Path,
    kind: ExportKind,
    space: ColourSpace,
    footage: Footage,
    *,
    sound: Sound | None = None,
    stereo: bool = False,
) -> Iterator[Callable[[Float32], None]]:
    """Yield a function that encodes one frame of signals [H, W, 3]; ``path`` appears when the block ends well.

    ``stereo`` says in the movie that a frame holds two eyes side by side. Raises OutputError, ShapeError (no frames).
    """
    options = {"write_tmcd": "1"} if footage.timecode else {}
    if path.suffix == ".mp4":
        options["movflags"] = "use_metadata_tags"
    with movie_container(path, options, remedy="choose another format", stereo=stereo) as container:
        for key, value in (("timecode", footage.timecode), ("reel_name", footage.reel)):
            if value:
                container.metadata[key] = value
        encoder = _Encoder(MovieStream(container, Fraction(footage.rate)), kind, space, sound, footage)
        with encoder.movie.ended():
            yield encoder.write


class _Encoder:
    """Signals for a movie's stream, which the first of them opens."""

    def __init__(
        self, movie: MovieStream, kind: ExportKind, space: ColourSpace, sound: Sound | None, footage: Footage
    ) -> None:
        self.movie, self._kind, self._space = movie, kind, space
        self._sound, self._footage = sound, footage

    def write(self, signals: Float32) -> None:
        stream = self.movie.stream or self._open(signals.shape[0], signals.shape[1])
        frame = video_frame(signals, stream.pix_fmt, matrix_of(self._space))
        frame.color_primaries, frame.color_trc = stream.codec_context.color_primaries, stream.codec_context.color_trc
        self.movie.mux(frame)

    def _open(self, height: int, width: int) -> Any:
        kind, space = self._kind, self._space
        _require_storable(kind.codec, width, height)
        stream = self.movie.container.add_stream(kind.codec, rate=self.movie.rate)
        stream.width, stream.height = width, height
        stream.pix_fmt = fitting(kind.pixels, height, width)
        stream.options = dict(kind.options)
        if kind.codec == "libx265":
            own = stream.options.get("x265-params", "")
            stream.options |= {"x265-params": f"{_X265}:{own}".rstrip(":")}
            stream.codec_tag = "hvc1"
        context = stream.codec_context
        context.colorspace = _MATRICES[matrix_of(space)]
        context.color_primaries = _PRIMARIES.get(space.primaries, _UNSAID)
        context.color_trc = _TRANSFERS.get(space.transfer, _UNSAID)
        context.color_range = _LIMITED
        for key, value in (("timecode", self._footage.timecode), ("reel_name", self._footage.reel)):
            if value:
                stream.metadata[key] = value
        self.movie.stream = stream
        if self._sound is not None:
            suffix = ".mov" if kind.suffix == ".mov" else ".mp4"
            self.movie.track = SoundTrack(self.movie.container, suffix, self._sound)
        return stream


def _require_storable(codec: str, width: int, height: int) -> None:
    """Raise ShapeError for pictures that a codec cannot hold."""
    name, *least = _LEAST.get(codec, ("", 0, 0))
    if width < least[0] or height < least[1]:
        raise ShapeError(
            f"{name} holds pictures from {least[0]}x{least[1]} pixels on, these are {width}x{height}; use ProRes."
        )
    if codec == "dnxhd" and width % 2:
        raise ShapeError(f"{name} holds pictures of an even width, these are {width}x{height}; use ProRes.")


def fitting(pixels: str, height: int, width: int) -> str:
    """The samples that a size can be stored in: an odd side keeps every pixel in 4:4:4."""
    odd = width % 2 or (height % 2 and "420" in pixels)
    return pixels.replace("420", "444").replace("422", "444") if odd else pixels


def video_frame(signals: Float32, pixels: str, matrix: Matrix) -> Any:  # [H, W, 3]
    """A frame of limited range for the encoder."""
    from av import VideoFrame

    height, width = signals.shape[:2]
    bits = 10 if "10" in pixels else 8
    red, blue = luma_weights(matrix)
    unit = 1 << (bits - 8)
    luma = signals @ np.array([red, 1 - red - blue, blue], np.float32)
    planes = [16 * unit + 219 * unit * luma]
    for difference, share in ((signals[..., 2] - luma, blue), (signals[..., 0] - luma, red)):
        chroma = 128 * unit + 224 * unit / (2 * (1 - share)) * difference
        planes.append(_subsampled(chroma, across="444" not in pixels, down="420" in pixels))
    frame = VideoFrame(width, height, pixels)
    frame.colorspace, frame.color_range = _MATRICES[matrix], _LIMITED
    for plane, values in zip(frame.planes, planes, strict=True):
        steps = np.rint(np.clip(values, unit, 255 * unit - 1))  # the ends of the scale are for synchronisation
        fill_plane(plane, steps.astype(np.uint16 if bits > 8 else np.uint8))
    return frame


def _subsampled(chroma: Float32, *, across: bool, down: bool) -> Float32:
    """Differences at half the samples: sited at the left (and between rows), as video has them."""
    if across:
        padded = np.pad(chroma, ((0, 0), (1, 1)), mode="edge")
        chroma = 0.25 * padded[:, :-2:2] + 0.5 * padded[:, 1:-1:2] + 0.25 * padded[:, 2::2]
    return 0.5 * (chroma[::2] + chroma[1::2]) if down else chroma


def fill_plane(plane: Any, values: NDArray) -> None:
    """Put ``values`` [H, W] into a frame's plane, whose rows may be longer."""
    row = plane.line_size // values.itemsize
    whole = np.zeros((plane.height, row), values.dtype)
    whole[:, : values.shape[1]] = values
    plane.update(whole.tobytes())
