"""Writing video: H.264 for viewing, FFV1 where every value counts.

Viewing files are H.264 with BT.709 tags, 4:2:0 where the size is even (plays everywhere). An odd width or height
cannot be stored in 4:2:0; such files become 4:4:4, which keeps the size and every pixel and plays in Blender, VLC, mpv
and everything else built on FFmpeg, instead of cropping or padding the picture behind the user's back.

Lossless files are FFV1 in Matroska (RFC 9043): RGB is stored as it is, each frame on its own (exact seeking) and with a
checksum, and the same players read it. H.264 with qp 0 in RGB is exact too, but players without FFmpeg show it in
wrong colours.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ex4d.clip.movie_file import MovieStream, movie_container
from ex4d.clip.sound import SoundTrack
from ex4d.frames import Frames
from ex4d.progress import Watch, reported
from ex4d.types import Sound
from ex4d_ground.arrays import Bool, UInt8
from ex4d_ground.errors import OutputError, SettingError, ShapeError
from ex4d_ground.footage import check_rate, exact_rate

VIEWING_SUFFIXES = (".mp4", ".mov", ".mkv")
LOSSLESS_SUFFIX = ".mkv"
_X264 = {"preset": "veryfast", "crf": "16", "subq": "1", "x264-params": "partitions=i4x4,i8x8"}
"""``veryfast`` takes 0.43 of the processor time of x264's own preset at crf 16. On three real clips it made files of
0.85 to 1.04 of its size, PSNR 0.1 to 0.5 dB lower at 43 to 44 dB and SSIM 0.001 lower (``benchmarks/x264_presets.py``).
Estimating motion no finer than ``subq`` 1 takes two thirds of that again: on footage at 512x512 and with grain at
1920x1080 files are 1.02 and 1.09 times as large, PSNR 0.2 dB lower and equal. Moving blocks of 16 pixels as a whole,
never as four, takes 0.8 to 0.9 of what is left at 1920x1080: files are 1.00 to 1.04 times as large, PSNR within
0.1 dB."""
_X264_GREY = {**_X264, "x264-params": "bframes=0:rc-lookahead=2"}
"""For masks and other frames without colour, of which nobody sees the noise: without frames made of later ones, and
looking two frames ahead, masks take 0.6 of the time and half of the memory, and are no larger."""
_BT709, _LIMITED_RANGE = 1, 1  # ISO/IEC 23091-2 code points, as FFmpeg numbers them

_BLACK, _WHITE, _GREY = 16, 235, 128  # luma, and no difference, in 8 bits of limited range


@contextmanager
def video_writer(
    path: Path,
    *,
    fps: float,
    lossless: bool = False,
    metadata: Mapping[str, str] | None = None,
    sound: Sound | None = None,
    stereo: bool = False,
) -> Iterator[Callable[[UInt8 | Bool], None]]:
    """Yield a function that encodes one frame; ``path`` appears only when the ``with`` block ends well.

    A frame is [H, W, 3] uint8 RGB, [H, W] uint8 grey or [H, W] bool (white where true). ``sound`` is written beside the
    frames and ends with them. ``stereo`` says in an MP4 or MOV that frames hold two eyes side by side. Raises
    SettingError (suffix, frame rate), ShapeError (a frame of another size, no frames) and OutputError (disk full, not
    writable); after any of these an older file of that name is untouched. An OSError of the block itself counts as
    failing to write.
    """
    _check_settings(path, fps, lossless)
    mp4 = path.suffix.lower() in (".mp4", ".mov")
    # Without use_metadata_tags MP4 keeps only keys that QuickTime knows, and "engine" is none of them.
    options = {"movflags": "use_metadata_tags"} if mp4 else {}
    with movie_container(path, options, remedy="choose another size or format", stereo=stereo and mp4) as container:
        container.metadata.update(metadata or {})
        encoder = _Encoder(MovieStream(container, exact_rate(fps)), lossless)
        encoder.sound = None if sound is None else (path.suffix.lower(), sound)
        with encoder.movie.ended():
            yield encoder.write


class _Encoder:
    """8-bit pictures for a movie's stream, which the first of them opens."""

    def __init__(self, movie: MovieStream, lossless: bool) -> None:
        self.movie = movie
        self._lossless = lossless
        self._shape: tuple[int, ...] = ()
        self._mask: UInt8 = np.empty(0, np.uint8)
        self.sound: tuple[str, Sound] | None = None
        """The container's ending, and what is to be heard."""

    def write(self, frame: UInt8 | Bool) -> None:
        import av

        is_mask = frame.dtype == np.bool_ and frame.ndim == 2 and not self._lossless
        rgb = None if is_mask else as_rgb(frame)
        shape = (*frame.shape[:2], 3)
        stream = self.movie.stream or self._open(shape, is_grey=frame.ndim == 2)
        if shape != self._shape:
            raise ShapeError(f"A frame of {shape} does not fit the video's frames of {self._shape}.")
        if rgb is None:
            picture = av.VideoFrame.from_ndarray(self._mask_planes(frame, stream.pix_fmt), format=stream.pix_fmt)
        else:
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            if not self._lossless:
                picture = picture.reformat(format=stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG")
        self.movie.mux(picture)

    def _open(self, shape: tuple[int, ...], *, is_grey: bool) -> Any:
        height, width = shape[:2]
        container, rate = self.movie.container, self.movie.rate
        stream = container.add_stream("ffv1" if self._lossless else "libx264", rate=rate)
        stream.width, stream.height = width, height
        if self._lossless:
            stream.pix_fmt = "bgr0"
            stream.options = {"level": "3", "g": "1", "slices": "4", "slicecrc": "1"}
        else:
            stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
            stream.options = dict(_X264_GREY if is_grey else _X264)
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED_RANGE
        self.movie.stream, self._shape = stream, shape
        if self.sound is not None:
            self.movie.track = SoundTrack(container, *self.sound)
        return stream

    def _mask_planes(self, mask: NDArray, pix_fmt: str) -> UInt8:
        """A mask as luma and differences of limited range: black and white are what RGB's conversion makes of them.

        Valid until the next one.
        """
        height, width = mask.shape
        if not self._mask.size:
            rows = height + height // 2 if pix_fmt == "yuv420p" else 3 * height
            self._mask = np.full((rows, width), _GREY, np.uint8)
        luma = self._mask[:height]
        np.multiply(mask.view(np.uint8), np.uint8(_WHITE - _BLACK), out=luma)
        luma += np.uint8(_BLACK)
        return self._mask if pix_fmt == "yuv420p" else self._mask.reshape(3, height, width)


def write_video(
    path: Path,
    frames: Frames,  # [T, H, W, 3] RGB, or [T, H, W] grey or bool mask
    *,
    fps: float,
    lossless: bool = False,
    metadata: Mapping[str, str] | None = None,
    sound: Sound | None = None,
    **watch: Unpack[Watch],
) -> None:
    """Write ``frames`` to ``path`` at once or not at all.

    H.264 for viewing (.mp4, .mov, .mkv); ``lossless`` writes FFV1 (.mkv). ``metadata`` goes into the container, for
    example ``{"engine": "preview"}``. Raises as :func:`video_writer`, and Cancelled.
    """
    if frames.ndim not in (3, 4) or len(frames) == 0:
        raise ShapeError(f"A video is written from [T, H, W, 3] or [T, H, W] with T > 0, got {frames.shape}.")
    with video_writer(path, fps=fps, lossless=lossless, metadata=metadata, sound=sound) as write:
        for frame in reported(frames, f"Writing {path.name}", len(frames), **watch):
            write(frame)


def as_rgb(frame: NDArray) -> UInt8:  # [H, W, 3]
    """A frame as contiguous RGB: uint8 colour as it is, grey repeated, a bool mask as 0 and 255. Raises ShapeError."""
    image = frame.astype(np.uint8) * np.uint8(255) if frame.dtype == np.bool_ else frame
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ShapeError(
            f"A frame must be [H, W, 3] uint8, [H, W] uint8 or [H, W] bool, got {frame.shape} {frame.dtype}."
        )
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image)


def _check_settings(path: Path, fps: float, lossless: bool) -> None:
    suffix = path.suffix.lower()
    if lossless and suffix != LOSSLESS_SUFFIX:
        raise SettingError(f"A lossless video is FFV1 in Matroska, so its name must end in .mkv, got {path.name}.")
    if suffix not in VIEWING_SUFFIXES:
        raise SettingError(f"A video's name must end in {', '.join(VIEWING_SUFFIXES)}, got {path.name}.")
    check_rate(fps)
    if path.is_dir():
        raise OutputError(f"Cannot write {path}: there is a folder of that name; choose another name.")
