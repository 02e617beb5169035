"""Reading video: a file, a sequence of images, or the bytes of a video file."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from ex4d.clip.colours import AS_STORED, ColourChoice, Picture
from ex4d.clip.container import capital, choose_stream, claimed_seconds, frame_times, open_container
from ex4d.clip.decoding import Decoder
from ex4d.clip.film_images import exr_pixel_aspect, is_exr
from ex4d.clip.footage import footage_of_container, footage_of_sequence
from ex4d.clip.images import SequenceReader
from ex4d.clip.left_out import require_one_picture
from ex4d.clip.timing import Resampled, retimed, to_constant_rate
from ex4d.colour import View
from ex4d.frames import Frames, FrameStack
from ex4d.frames.ahead import first, read_ahead
from ex4d.progress import Watch, check, report
from ex4d_ground import stages
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import ClipError, SettingError
from ex4d_ground.files import COLOUR_SUFFIXES, require_regular
from ex4d_ground.footage import Fields, Footage, exact_rate
from ex4d_ground.remedies import fewer_frames
from ex4d_ground.sequences import FrameFiles, endings_in, find_sequence, is_named, names_sequence

FRAMES_FILE, PLATE_FILE = "frames.raw", "plate.raw"
DEFAULT_FPS = 15.0
"""Frame rate of a source that has none (a folder of images): the rate at which the model was trained to play."""
_SAME_RATE = 1e-3
"""How far an MP4's average rate may be from its base rate before its time stamps are looked at."""
_ENDS_EARLY_S, _ENDS_EARLY = 0.5, 0.05
"""By so many seconds, and such a share of its length, a video that is whole may miss its header's."""


@dataclass(frozen=True)
class VideoInfo:
    """What a source says about itself before it is decoded."""

    label: str
    """How messages call it: a path, or "the video" for bytes."""
    fps: float
    num_frames: int
    """As its header or its time stamps claim; 0 if they do not say."""
    pixel_aspect: float = 1.0
    """Width of a pixel over its height, of the frames as they are read."""
    shown: tuple[int, ...] = ()
    """Where the rate varied: the stored frame that each frame shows."""
    stored: int = 0
    """Where the rate varied: how many frames were filmed."""
    cut: bool = False
    """Whether only the first frames were asked for."""
    view: View | None = None
    """What its colours are, and how they are shown; None of a source without frames."""
    footage: Footage = field(default_factory=Footage)
    """What it carries beside its pictures."""
    notes: list[str] = field(default_factory=list)
    """Sentences for people about what was done to the frames; some are known only once frames are read."""


def read_video(
    source: Path | bytes | FrameFiles, *, num_frames: int | None = None, **watch: Unpack[Watch]
) -> tuple[UInt8, float]:  # [T, H, W, 3] RGB, frames per second
    """Decode a video file, a sequence of images (:mod:`ex4d_ground.sequences`) or the bytes of a video file.

    With ``num_frames`` exactly that many are read, from the start. Raises ClipError (no such file, not a video, empty,
    one frame, fewer frames than asked, frames of different sizes, damaged, too large for memory) and Cancelled.
    """
    frames, _, info = read_pictures(source, num_frames=num_frames, keep_plate=False, in_memory=True, **watch)
    return np.asarray(frames), info.fps


def read_frames(
    source: Path | bytes | FrameFiles,
    *,
    num_frames: int | None = None,
    colour: ColourChoice = AS_STORED,
    **watch: Unpack[Watch],
) -> tuple[Frames, VideoInfo]:  # [T, H, W, 3] RGB uint8
    """As :func:`read_video`, with all that the source says about itself and what was done to its frames.

    Many frames are kept on a scratch disk (:mod:`ex4d.frames`), which must have room for them.
    """
    frames, _, info = read_pictures(source, num_frames=num_frames, colour=colour, keep_plate=False, **watch)
    return frames, info


def read_pictures(
    source: Path | bytes | FrameFiles,
    *,
    num_frames: int | None = None,
    colour: ColourChoice = AS_STORED,
    fields: Fields = "deinterlace",
    keep_plate: bool = True,
    in_memory: bool = False,
    keep_in: Path | None = None,
    **watch: Unpack[Watch],
) -> tuple[Frames, Frames | None, VideoInfo]:  # [T, H, W, 3], [T, H, W, 3] uint16, float16 or float32
    """As :func:`read_frames`, with the plate between: the frames in their own depth, where that is more than 8 bits.

    ``fields`` says what becomes of interlaced video, ``in_memory`` gives arrays, however large. In the folder
    ``keep_in`` they stay, in the files :data:`FRAMES_FILE` and :data:`PLATE_FILE`.
    """
    if num_frames is not None and num_frames < 2:
        raise SettingError(f"A clip needs at least 2 frames, {num_frames} were asked for.")
    with open_pictures(source, num_frames=num_frames, colour=colour, fields=fields) as (info, pictures):
        expected = num_frames or info.num_frames
        room: dict[str, Any] = {
            "expected": min(expected, info.num_frames or expected),
            "label": info.label,
            "in_memory": in_memory,
        }
        stack, plates = (
            FrameStack(**room, path=None if keep_in is None else keep_in / name) for name in (FRAMES_FILE, PLATE_FILE)
        )
        with closing(read_ahead(first(pictures, num_frames))) as coming:
            for picture in coming:
                check(watch.get("cancel"))
                stack.append(picture.view)
                if keep_plate and picture.plate is not None:
                    plates.append(picture.plate)
                report(watch.get("on_progress"), stages.READING, len(stack), max(expected, len(stack)))
    _check_length(info, len(stack), num_frames)
    plate = plates.frames() if len(plates) else None
    return stack.frames(), plate, replace(info, cut=num_frames is not None)


@contextmanager
def open_video(
    source: Path | bytes | FrameFiles, *, num_frames: int | None = None, colour: ColourChoice = AS_STORED
) -> Iterator[tuple[VideoInfo, Iterator[UInt8]]]:
    """Open a source for streaming: what it is, and its frames [H, W, 3] sRGB one after the other.

    ``num_frames`` says how many of a sequence will be asked for, so that gaps behind them do not matter; ``colour``
    what its colours are, where people know better. Raises ClipError.
    """
    with open_pictures(source, num_frames=num_frames, colour=colour) as (info, pictures):
        yield info, (picture.view for picture in pictures)


@contextmanager
def open_pictures(
    source: Path | bytes | FrameFiles,
    *,
    num_frames: int | None = None,
    colour: ColourChoice = AS_STORED,
    fields: Fields = "deinterlace",
) -> Iterator[tuple[VideoInfo, Iterator[Picture]]]:
    """As :func:`open_video`, with each frame's plate beside its view; ``fields`` that are refused raise ClipError."""
    if isinstance(source, bytes):
        with _open_container(source, "the video", colour, fields) as opened:
            yield opened
        return
    if isinstance(source, FrameFiles):
        yield _open_sequence(source, colour)
        return
    path = Path(source)
    if not is_named(path):
        raise ClipError(f"There is no file or folder {path}; check the path of the video.")
    if path.exists() and not path.is_dir():
        require_regular(path, None, ClipError)
    files = find_pictures(path)
    if files is not None:
        files.first(num_frames).require_whole(ClipError)
        yield _open_sequence(files, colour)
        return
    with _open_container(path, str(path), colour, fields) as opened:
        yield opened


def find_pictures(path: Path) -> FrameFiles | None:
    """The pictures that a folder, a first file or a pattern means; None if ``path`` is another file.

    Raises ClipError.
    """
    if path.exists() and not names_sequence(path, COLOUR_SUFFIXES):
        return None
    files = find_sequence(path, COLOUR_SUFFIXES, ClipError)
    if not files.paths:
        raise ClipError(
            f"The folder {path} holds no PNG, JPEG, TIFF, EXR, DPX, BMP or WebP images{endings_in(path)}; give a "
            "folder of frames of such a kind."
        )
    return files


def _open_sequence(files: FrameFiles, colour: ColourChoice) -> tuple[VideoInfo, Iterator[Picture]]:
    if len(files) == 1:
        require_one_picture(files.paths[0], ClipError)
    notes: list[str] = []
    reader = SequenceReader(files.paths, colour, notes.append)
    footage = footage_of_sequence(files)
    info = VideoInfo(
        files.label,
        float(Fraction(footage.rate)) if footage.rate else DEFAULT_FPS,
        len(files),
        exr_pixel_aspect(files.paths[0]) if is_exr(files.paths[0]) else 1.0,
        view=reader.view,
        footage=footage,
        notes=notes,
    )
    return info, reader.pictures()


@contextmanager
def _open_container(
    source: Path | bytes, label: str, colour: ColourChoice, fields: Fields
) -> Iterator[tuple[VideoInfo, Iterator[Picture]]]:
    constant, ends_early = _timing(source, label)
    with open_container(source, label) as container:
        stream = choose_stream(container, label)
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate
        fps = constant.fps if constant else float(rate) if rate else DEFAULT_FPS
        notes = ([] if constant is None else [_retimed_note(constant)]) + ([ends_early] if ends_early else [])
        decoder = Decoder(container, stream, label, notes.append, colour, fields)
        frames = decoder.frames()
        if constant is not None:
            frames = retimed(frames, constant.shown)
        first = next(frames, None)
        aspect = _pixel_aspect(stream)
        info = VideoInfo(
            label,
            fps,
            len(constant.shown) if constant else stream.frames,
            1 / aspect if decoder.turned else aspect,
            constant.shown if constant else (),
            constant.stored if constant else 0,
            view=decoder.view,
            footage=footage_of_container(container, _exact(constant, rate)),
            notes=notes,
        )
        yield info, frames if first is None else chain([first], frames)


def _exact(constant: Resampled | None, rate: Fraction | None) -> Fraction | None:
    """The rate at which frames are played."""
    return exact_rate(constant.fps) if constant else Fraction(rate) if rate else None


def _timing(source: Path | bytes, label: str) -> tuple[Resampled | None, str]:
    """How to play a source of variable rate at a constant one, None if its rate is constant; and a sentence if its
    frames end long before its header says.
    """
    with open_container(source, label) as container:
        stream = choose_stream(container, label)
        rate, base = stream.average_rate, stream.base_rate
        measured = "mov" in container.format.name  # its rate is that of its frames; other headers only claim one
        if measured and rate and base and abs(rate / base - 1) <= _SAME_RATE:
            return None, ""  # then its packets need not be read: a file that lacks some is damaged
        claimed, times = claimed_seconds(container, stream), frame_times(container, stream)
        return to_constant_rate(times), _end_note(claimed, times)


def _end_note(claimed: float, times: list[float]) -> str:
    last = times[-1] - times[0] if times else 0.0  # nan, where packets have no times, is no number that is less
    shown = last * len(times) / max(len(times) - 1, 1)  # the last one is shown, too
    if not claimed - shown > max(_ENDS_EARLY_S, _ENDS_EARLY * claimed):
        return ""
    return (
        f"The video's last frame comes after {last:.1f} s, though its header says that it lasts {claimed:.1f} s; if it "
        "was cut short, copy it again."
    )


def _retimed_note(constant: Resampled) -> str:
    return (
        f"The video's frame rate varies; it is played by its time stamps at {constant.fps:.5g} frames a second, "
        f"{len(constant.shown)} frames for the {constant.stored} that were filmed."
    )


def _pixel_aspect(stream: Any) -> float:
    """Width over height of the stored pixels; 1 where a stream says nothing, or nonsense."""
    aspect = float(stream.sample_aspect_ratio or 0)
    return aspect if 0.1 < aspect < 10 else 1.0


def _check_length(info: VideoInfo, count: int, num_frames: int | None) -> None:
    label = capital(info.label)
    if count == 0:
        raise ClipError(f"{label} holds no frames; export or copy it again.")
    if count == 1:
        raise ClipError(f"{label} has one frame; a clip needs at least 2: give a video, not a picture.")
    if num_frames is not None and count < num_frames:
        raise ClipError(f"{label} has {count} frames, {num_frames} were asked for.", remedy=fewer_frames(count))
