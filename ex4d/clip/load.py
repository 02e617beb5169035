"""A video and its depth become a :class:`Clip`, or a sentence that says why they do not."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Unpack

import numpy as np
from msgspec import structs

from ex4d.allocation import give_back_kept
from ex4d.clip import invalid
from ex4d.clip.colours import AS_STORED, ColourChoice
from ex4d.clip.depth import OpenedDepth, find_depth_pictures, open_depth
from ex4d.clip.depth_facts import DepthFacts, read_depth_facts
from ex4d.clip.depth_hints import disparity_hint
from ex4d.clip.invalid import InvalidDepth
from ex4d.clip.kept import DEPTH_FILE
from ex4d.clip.lens import with_pixel_aspect
from ex4d.clip.pairing import Source, paired_sources
from ex4d.clip.resample import require_same_view, resized
from ex4d.clip.video import VideoInfo, open_video, read_pictures
from ex4d.frames import DepthStack, Frames, LinkedDepth, bounds_of, frames_in
from ex4d.frames.ahead import read_ahead
from ex4d.frames.stack import IN_MEMORY_BYTES
from ex4d.lens import Lens
from ex4d.progress import Watch, reported
from ex4d.sky import SKY_FROM, Sky, take_sky
from ex4d.types import Clip, Plate, check_clip_size
from ex4d_ground import stages
from ex4d_ground.arrays import Float32
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import DepthError
from ex4d_ground.files import COLOUR_SUFFIXES
from ex4d_ground.footage import Fields, check_rate, exact_rate, rate_text
from ex4d_ground.remedies import fewer_frames
from ex4d_ground.sequences import FrameFiles, clip_name


def load_clip(
    video: Path | str | bytes,
    depth: Path | str | Float32,  # a path, or [T, H, W]
    *,
    lens: Lens | None = None,
    intrinsics: Intrinsics | None = None,
    fov_deg: float | None = None,
    focal_px: float | None = None,
    num_frames: int | None = None,
    fill_invalid: bool = False,
    fps: float | None = None,
    usual_fps: float | None = None,
    depth_scale: float | None = None,
    depth_channel: str | None = None,
    colour: ColourChoice = AS_STORED,
    fields: Fields = "deinterlace",
    keep_plate: bool = True,
    keep_in: Path | None = None,
    on_filled: Callable[[InvalidDepth], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_opened: Callable[[VideoInfo, int, int, bool], None] | None = None,
    **watch: Unpack[Watch],
) -> Clip:
    """Read and check a video with its depth.

    The lens is ``lens``, or one of its parts: ``intrinsics``, a horizontal ``fov_deg``, ``focal_px``; without any it is
    the depth file's own if it has one (``ex4d depth`` writes it), else the video's metadata's, else the default. Pixels
    that are not square give fx and fy. ``num_frames`` takes the first frames of both; without it, both must be equally
    long. Depth of another size is brought to the video's, edges kept; it must show the same. Sky
    (:mod:`ex4d.sky`) is found and marked. ``fill_invalid`` replaces NaN, zero and negative depth from its surroundings
    and tells ``on_filled`` what was filled; without it such depth is refused. ``fps`` overrides the video's own rate,
    ``usual_fps`` is that of pictures which say none, ``colour`` overrides what it says of its colours, and ``fields``
    says what becomes of interlaced video. With ``keep_plate`` pictures of more than 8 bits are kept in their own depth
    beside their view (``Clip.plate``). In the folder ``keep_in`` frames and depth stay, for other processes: see
    :mod:`ex4d.clip.kept`. ``on_note`` is told what people should know of what was read: frames without
    depth that were left out, sky, sizes, a varying rate, fields, colours. ``on_opened`` is told what the video is, its
    width, its height and whether depth is read where it lies, before more than one frame is read, and may
    raise. Raises ClipError, DepthError, SettingError, ShapeError, MissingExtraError, Cancelled.
    """
    lens = lens or Lens(intrinsics, fov_deg, focal_px)
    for rate in (fps, usual_fps):
        if rate is not None:
            check_rate(rate)
    tell = on_note or (lambda _: None)
    video = Path(video) if isinstance(video, str) else video
    source: bytes | Source = video
    depth_source: Source | Float32 = Path(depth) if isinstance(depth, Path | str) else depth
    if isinstance(video, Path) and isinstance(depth_source, Path):
        source, depth_source, note = paired_sources(video, depth_source, num_frames=num_frames)
        if note:
            tell(note)
    facts = read_depth_facts(Path(depth)) if isinstance(depth, Path | str) else DepthFacts()
    opened = _opened(depth_source, depth_scale, depth_channel, num_frames)
    _require_fit(source, depth_source, opened, num_frames, on_opened)  # before anything long is read
    reading = {"num_frames": num_frames, "colour": colour, "fields": fields}
    frames, plate, info = read_pictures(source, **reading, keep_plate=keep_plate, keep_in=keep_in, **watch)
    fps = fps or (None if info.footage.rate else usual_fps)
    for note in info.notes:
        tell(note)
    size = frames.shape[1], frames.shape[2]
    path = None if keep_in is None else keep_in / DEPTH_FILE
    stack = _read_depth(opened, info, len(frames), size, path, tell, watch)
    give_back_kept()  # too small for what meshes are built in
    check_depth_fits(stack.frames(), frames, label=opened.label)
    sky = _mended(stack, opened, fill_invalid, on_filled, tell, watch)
    if sky.note:
        tell(sky.note)
    used = with_pixel_aspect(lens, facts.intrinsics, source, size, info.pixel_aspect)
    name = clip_name(video, COLOUR_SUFFIXES) if isinstance(video, Path) else "clip"
    values = stack.frames()
    clip = Clip(frames, values, used, fps or info.fps, name, depth_source=facts.source, depth_licence=facts.licence)
    clip = replace(clip, sky_from=sky.begins)
    return with_pictures(clip, plate, info, video, fps)


def with_pictures(
    clip: Clip, plate: Frames | None, info: VideoInfo, video: Path | bytes, fps: float | None = None
) -> Clip:
    """The clip with what its source is beside its 8-bit frames; ``fps`` is a rate that people chose.

    Sound belongs to the source's own rate: another one leaves it out.
    """
    footage = info.footage
    heard = footage.sound and isinstance(video, Path) and fps in (None, info.fps)
    if fps is not None or not footage.rate:
        footage = structs.replace(footage, rate=rate_text(exact_rate(clip.fps)))
    deep = None if plate is None or info.view is None else Plate(plate, info.view)
    sound = video if heard and isinstance(video, Path) else None
    return replace(clip, plate=deep, view=info.view, footage=footage, sound=sound)


def check_depth_fits(depth: Frames, frames: Frames, *, label: str = "The depth") -> None:
    """Raise DepthError unless ``depth`` [T, H, W] has the length and size of ``frames`` [T, H, W, 3]."""
    t, height, width = frames.shape[:3]
    if depth.ndim != 3:
        raise DepthError(f"Depth must be [frames, height, width], got an array of shape {depth.shape}.")
    if depth.shape[1:] != (height, width):
        raise DepthError(
            f"{label} is {depth.shape[2]}x{depth.shape[1]} pixels but the video is {width}x{height}; "
            "give depth of the video's size, or scale the video to the depth's."
        )
    if len(depth) != t:
        raise _other_length(label, len(depth), t)


def _other_length(label: str, count: int, frames: int) -> DepthError:
    return DepthError(
        f"{label} has {count} frames but the video has {frames}; give depth for every frame.",
        remedy=fewer_frames(min(count, frames)),
    )


def _opened(depth: Source | Float32, scale: float | None, channel: str | None, num_frames: int | None) -> OpenedDepth:
    if isinstance(depth, Path):
        depth = find_depth_pictures(depth) or depth
    if isinstance(depth, FrameFiles):
        missing = depth.missing()
        before = sum(stamp < missing[0] for stamp in depth.stamps or ()) if missing else 0
        if num_frames is not None and before >= num_frames:
            depth = depth.first(before)  # the gap lies behind all that is read
    if isinstance(depth, Path | FrameFiles):
        return open_depth(depth, scale=scale, channel=channel)
    if depth.ndim != 3:
        raise DepthError(f"Depth must be [frames, height, width], got an array of shape {depth.shape}.")
    return OpenedDepth("The depth", len(depth), depth.shape[1], depth.shape[2], lambda: iter(depth))


def _require_fit(
    video: bytes | Source,
    depth: Source | Float32,
    opened: OpenedDepth,
    num_frames: int | None,
    on_opened: Callable[[VideoInfo, int, int, bool], None] | None,
) -> None:
    """Look at the video's first frame. Raises DepthError for depth that cannot fit."""
    with open_video(video, num_frames=1) as (info, frames):
        first = next(frames, None)
    if first is None:
        return  # the reader says so
    check_clip_size(*first.shape[:2])
    if on_opened is not None:
        in_place = opened.lies_at is not None and _reads_in_place(opened, min(info.num_frames, opened.num_frames))
        on_opened(info, first.shape[1], first.shape[0], in_place)
    files = find_depth_pictures(depth) if isinstance(depth, Path) else depth
    if info.shown and isinstance(files, FrameFiles):
        files.require_whole(DepthError)  # which of them are shown is known of all alone
    require_same_view((opened.height, opened.width), (first.shape[0], first.shape[1]), opened.label)
    if num_frames is not None and opened.num_frames < num_frames <= info.num_frames and not info.shown:
        raise _other_length(opened.label, opened.num_frames, num_frames)


def _read_depth(
    opened: OpenedDepth,
    info: VideoInfo,
    count: int,
    size: tuple[int, int],
    path: Path | None,
    tell: Callable[[str], None],
    watch: Watch,
) -> DepthStack:
    """The depth of ``count`` frames, at ``size`` (height, width), in the file ``path`` if given. Raises DepthError."""
    if (opened.height, opened.width) != size:
        tell(
            f"{opened.label} is {opened.width}x{opened.height} pixels; it is brought to the video's "
            f"{size[1]}x{size[0]}, its edges kept."
        )
    frames = opened.frames()
    if info.shown and opened.num_frames == info.stored != len(info.shown):
        frames = opened.played_as(info, count).frames()
        tell(f"{opened.label} has a frame for each that was filmed; they are played by the video's time stamps.")
    elif opened.num_frames < count or (opened.num_frames > count and not info.cut):
        raise _other_length(opened.label, opened.num_frames, count)
    elif opened.lies_at is not None and (opened.height, opened.width) == size:
        linked = _linked(opened, opened.lies_at, count, path, watch)
        if linked is not None:
            return linked
        frames = opened.frames()
    stack = DepthStack(expected=count, label=opened.label, path=path)
    with closing(read_ahead(_at_size(islice(frames, count), size))) as coming:
        for frame in reported(coming, stages.READING_DEPTH, count, **watch):
            stack.append(frame)
    return stack


def _linked(
    opened: OpenedDepth, lies_at: tuple[Path, int], count: int, path: Path | None, watch: Watch
) -> LinkedDepth | None:
    """Depth that needs no change, read from its own file, through the link ``path`` if given; None for other depth.

    Without a link it is None for what fits into memory, too, and on systems where nobody could remove the file while it
    is read.
    """
    whole, offset = lies_at
    if path is None and not _reads_in_place(opened, count):
        return None
    if path is not None:
        try:
            os.link(whole, path)
        except OSError:  # another disk, or one without links
            return None
    store = frames_in(path or whole, (count, opened.height, opened.width), np.float32, offset=offset)
    bounds: list[tuple[float, float]] = []
    with closing(read_ahead(islice(opened.frames(), count))) as coming:  # looks at the file's checksum, too
        for frame in reported(coming, stages.READING_DEPTH, count, **watch):
            ((low, high),) = bounds_of(frame[None])
            if not (low > 0 and high < SKY_FROM):
                if path is not None:
                    path.unlink()
                return None
            bounds.append((low, high))
    return LinkedDepth(store, bounds, label=opened.label)


def _reads_in_place(opened: OpenedDepth, count: int) -> bool:
    return sys.platform != "win32" and 4 * count * opened.height * opened.width > IN_MEMORY_BYTES


def _at_size(frames: Iterator[Float32], size: tuple[int, int]) -> Iterator[Float32]:
    for frame in frames:
        yield frame if frame.shape == size else resized(frame, size)


def _mended(
    stack: DepthStack,
    opened: OpenedDepth,
    fill: bool,
    on_filled: Callable[[InvalidDepth], None] | None,
    tell: Callable[[str], None],
    watch: Watch,
) -> Sky:
    """Fill what is no depth in ``stack``, if that is asked for, and make its sky finite. Raises DepthError."""
    values = stack.frames()
    hint = disparity_hint(values, opened.label)
    found = invalid.find_invalid(values)
    if not fill and found.count:
        holes = opened.whole_maximum is not None and found.nan > 0
        why = "the largest number of its type says that there is no depth" if holes else ""
        raise invalid.no_usable_value(found, opened.label, " and ".join(each for each in (why, hint) if each))
    if hint:
        tell(f"{hint}.")
    sky = take_sky(stack)
    if not fill:
        return sky
    invalid.fill_stack(stack, found, label=opened.label, **watch)
    if on_filled is not None:
        on_filled(found)
    return replace(take_sky(stack), values=sky.values) if found.count else sky
