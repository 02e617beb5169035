"""Reading depth: .npz, .npy, a folder of 16-bit PNGs or of float or 16-bit TIFFs, a folder of OpenEXR files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from ex4d.clip.depth_arrays import open_array, place_in_archive
from ex4d.clip.depth_channel import depth_channel
from ex4d.clip.exr import open_exr
from ex4d.clip.images import read_image
from ex4d.clip.left_out import require_one_picture
from ex4d.clip.timing import retimed
from ex4d.frames import FrameStack
from ex4d.progress import Watch, reported
from ex4d_ground import stages
from ex4d_ground.arrays import FAR, Float32
from ex4d_ground.errors import DepthError, SettingError
from ex4d_ground.files import DEPTH_SUFFIXES, require_regular
from ex4d_ground.remedies import drop_channel, scale_depth
from ex4d_ground.sequences import FrameFiles, endings_in, find_sequence, is_named, names_sequence

if TYPE_CHECKING:
    from ex4d.clip.video import VideoInfo


def read_depth(
    source: Path | FrameFiles,
    *,
    scale: float | None = None,
    channel: str | None = None,
    num_frames: int | None = None,
    maximum_is_hole: bool = True,
    **watch: Unpack[Watch],
) -> Float32:  # [T, H, W]
    """Read depth along +z from ``source``, times ``scale``.

    ``source`` is an .npz (key "depth", or its only array), an .npy, or a sequence of 16-bit PNGs, TIFFs or EXR files: a
    folder, its first file, a pattern, or the files themselves (:mod:`ex4d_ground.sequences`). Whole numbers have no
    unit of their own, so for them ``scale`` is required (0.001 if they are millimetres); for floats it is 1. The
    largest number of a whole-number type says that there is no depth, and becomes NaN, unless ``maximum_is_hole`` is
    off; so does what an EXR's data window leaves out. ``channel`` names the EXR channel where the choice is not plain;
    other files have none, and it is refused. With ``num_frames`` at most that many are read. Values are not judged
    here: see :mod:`ex4d.clip.invalid`. Raises DepthError, SettingError and Cancelled.
    """
    opened = open_depth(source, scale=scale, channel=channel, num_frames=num_frames, maximum_is_hole=maximum_is_hole)
    return read_opened(opened, **watch)


def read_opened(opened: OpenedDepth, **watch: Unpack[Watch]) -> Float32:  # [T, H, W]
    """All frames of an opened source. Raises as :func:`read_depth` does."""
    stack = FrameStack(expected=opened.num_frames, label=opened.label, in_memory=True)
    for frame in reported(opened.frames(), stages.READING_DEPTH, opened.num_frames, **watch):
        stack.append(frame)
    return np.asarray(stack.frames())


@dataclass(frozen=True)
class OpenedDepth:
    """A depth source of which nothing but the first frame, or less, was read."""

    label: str
    num_frames: int
    height: int
    width: int
    frames: Callable[[], Iterator[Float32]]
    """Each frame [H, W], one after the other. Raises DepthError where one cannot be read or has another size."""
    whole_maximum: float | None = None
    """What the largest number of a whole-number type is after scaling; None for floats."""
    lies_at: tuple[Path, int] | None = None
    """File and place in it from which on the frames lie as they are to be read, one after the other; None elsewhere."""

    def played_as(self, video: VideoInfo, num_frames: int) -> OpenedDepth:
        """The first ``num_frames`` that belong to a video's: of depth with a frame for each that was filmed at a rate
        that varied, those that are played by its time stamps. Depth of another length stays as it is.
        """
        shown = video.shown
        if shown and self.num_frames == video.stored != len(shown):
            frames: Callable[[], Iterator[Float32]] = lambda: retimed(self.frames(), shown[:num_frames])  # noqa: E731
        elif self.num_frames != (len(shown) or num_frames):
            return self
        else:
            frames = lambda: islice(self.frames(), num_frames)  # noqa: E731
        return replace(self, num_frames=num_frames, frames=frames, lies_at=None)


def open_depth(
    source: Path | FrameFiles,
    *,
    scale: float | None = None,
    channel: str | None = None,
    num_frames: int | None = None,
    maximum_is_hole: bool = True,
) -> OpenedDepth:
    """Look at a depth source without reading more than its first frame. Raises as :func:`read_depth` does."""
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        raise SettingError(f"The depth scale must be a positive number, got {scale}.")
    if scale is not None and not 1 / FAR < scale < FAR:
        raise SettingError(f"The depth scale must be between {1 / FAR:g} and {FAR:g}, got {scale}.")
    path = Path(source.label) if isinstance(source, FrameFiles) else Path(source)
    files = source if isinstance(source, FrameFiles) else find_depth_pictures(path)
    if channel is not None and not has_channels(files):
        raise DepthError(f"{path} is no EXR, so it has no channel {channel!r}.", remedy=drop_channel())
    if files is None:
        raw = _Raw(*open_array(path))
    else:
        files.first(num_frames).require_whole(DepthError)
        if len(files) == 1:
            require_one_picture(files.paths[0], DepthError)
        raw = _open_pictures(files.paths, channel)
    if len(raw) == 0 or 0 in raw.shape:
        raise DepthError(f"{path} holds no depth (its shape is {(len(raw), *raw.shape)}); export it again.")
    _check_numbers(raw.dtype, path, scale)
    factor = np.float32(1 if scale is None else scale)
    hole = np.iinfo(raw.dtype).max if maximum_is_hole and raw.dtype.kind in "ui" else None

    def frames() -> Iterator[Float32]:
        for index in range(count):
            frame, label = raw.read(index)
            if frame.shape != raw.shape:
                (h, w), (h0, w0) = frame.shape, raw.shape
                raise DepthError(
                    f"{label} is {w}x{h} pixels but the first depth frame is {w0}x{h0}; give every frame the same size."
                )
            _check_numbers(frame.dtype, Path(label), scale)
            yield _scaled(frame, factor, hole)

    count = len(raw) if num_frames is None else min(num_frames, len(raw))
    maximum = None if hole is None else float(hole * factor)
    lies_at = _place_of(path) if files is None and factor == 1 and raw.dtype == np.dtype("<f4") else None
    return OpenedDepth(str(path), count, *raw.shape, frames, maximum, lies_at)


def has_channels(files: FrameFiles | None) -> bool:
    """Whether depth pictures, or None for another depth file, have named channels to choose from: EXRs do."""
    return files is not None and files.paths[0].suffix.lower() == ".exr"


def _place_of(path: Path) -> tuple[Path, int] | None:
    """Where the values of an .npy or .npz begin, if they lie as they are and in C order."""
    if path.suffix.lower() == ".npz":
        offset = place_in_archive(path)
        return None if offset is None else (path, offset)
    if path.suffix.lower() != ".npy":
        return None
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    return (path, values.offset) if isinstance(values, np.memmap) and values.flags.c_contiguous else None


@dataclass(frozen=True)
class _Raw:
    """Frames as stored: how many, of which size and type, and one of them with the name it has in messages."""

    count: int
    shape: tuple[int, int]
    dtype: np.dtype
    read: Callable[[int], tuple[NDArray, str]]

    def __len__(self) -> int:
        return self.count


def _check_numbers(dtype: np.dtype, path: Path, scale: float | None) -> None:
    if dtype.kind not in "fui":
        raise DepthError(f"{path} holds {dtype} values; depth must be numbers.")
    if dtype.kind in "ui" and scale is None:
        raise DepthError(f"{path} holds whole numbers ({dtype}), whose unit is not known.", remedy=scale_depth())


def _scaled(frame: NDArray, factor: np.float32, hole: int | None) -> Float32:
    if frame.dtype == np.float32 and frame.dtype.isnative and factor == 1 and hole is None:
        return frame
    with np.errstate(over="ignore"):  # a float64 beyond float32's range is as far as infinity
        depth = np.array(frame, np.float32)
        if factor != 1:
            depth *= factor
    if hole is not None:
        depth[frame == hole] = np.nan
    return depth


def find_depth_pictures(path: Path) -> FrameFiles | None:
    """The depth pictures that a folder, a first file or a pattern means; None if ``path`` is another file.

    Raises DepthError.
    """
    if not is_named(path):
        raise DepthError(f"There is no file or folder {path}; check the path of the depth.")
    if path.exists() and not path.is_dir():
        require_regular(path, None, DepthError)
    if path.exists() and not names_sequence(path, DEPTH_SUFFIXES):
        return None
    found = find_sequence(path, DEPTH_SUFFIXES, DepthError)
    if not found.paths:
        raise DepthError(
            f"The depth folder {path} holds neither 16-bit PNG, TIFF nor EXR files{endings_in(path)}; give one "
            "numbered sequence of such a kind."
        )
    return found


def _open_pictures(files: tuple[Path, ...], channel: str | None) -> _Raw:
    exrs = files[0].suffix.lower() == ".exr"
    name = channel
    if exrs:
        first, name = _read_exr(files[0], channel)
    else:
        first = _read_picture(files[0])

    def read(index: int) -> tuple[NDArray, str]:
        if index == 0:
            return first, str(files[0])
        # the first frame's choice holds for all: whether a picture is grey may differ from frame to frame
        frame = _read_exr(files[index], name)[0] if exrs else _read_picture(files[index])
        return frame, str(files[index])

    return _Raw(len(files), (first.shape[0], first.shape[1]), first.dtype, read)


def _read_exr(path: Path, channel: str | None) -> tuple[NDArray, str]:  # [H, W] float or uint32, the channel's name
    """The depth of one file in its display window, NaN where there is none. Raises DepthError."""
    with open_exr(path, DepthError) as exr:
        chosen = depth_channel(exr, str(path), channel)
        return exr.picture(chosen, outside=float("nan")), chosen.name


def _read_picture(path: Path) -> NDArray:  # [H, W] uint16 or float32
    image = read_image(path, DepthError)
    if image.ndim == 3 and image.shape[2] >= 3 and (np.ptp(image[..., :3], axis=2) == 0).all():
        image = image[..., 0]
    if image.ndim != 2:
        raise DepthError(f"{path} is a colour image; depth must be grey, with 16 bits or as floats.")
    if image.dtype.itemsize < 2:
        raise DepthError(f"{path} has 8 bits, which is too coarse for depth; write 16-bit PNGs, EXRs or an .npz.")
    return image
