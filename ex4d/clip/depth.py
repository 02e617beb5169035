"""Reading depth: .npz, .npy, a folder of 16-bit PNGs, a folder of OpenEXR files."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ex4d.clip.frame_stack import FrameStack
from ex4d.clip.images import image_files, read_image
from ex4d.progress import Watch, check, report, reported
from ex4d_ground import stages
from ex4d_ground.arrays import Float32
from ex4d_ground.errors import DepthError, SettingError
from ex4d_ground.remedies import name_channel, scale_depth

_DEPTH_CHANNELS = ("Z", "Depth", "V", "Y")
"""Last part of an EXR channel's name, best first: renderers' Z, named layers, Blender's value passes, grey images."""


def read_depth(
    source: Path,
    *,
    scale: float | None = None,
    channel: str | None = None,
    num_frames: int | None = None,
    **watch: Unpack[Watch],
) -> Float32:  # [T, H, W]
    """Read depth along +z from ``source``, times ``scale``.

    ``source`` is an .npz (key "depth", or its only array), an .npy, a folder of 16-bit PNGs or a folder of EXR files
    (natural order). Whole numbers have no unit of their own, so for them ``scale`` is required (0.001 if they are
    millimetres); for floats it is 1. ``channel`` names the EXR channel where the choice is not plain. With
    ``num_frames`` at most that many are read. Values are not judged here: see :mod:`ex4d.clip.invalid`.
    Raises DepthError, SettingError and Cancelled.
    """
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        raise SettingError(f"The depth scale must be a positive number, got {scale}.")
    path = Path(source)
    if not path.exists():
        raise DepthError(f"There is no file or folder {path}; check the path of the depth.")
    if path.is_dir():
        return _read_folder(path, scale, channel, num_frames, watch)
    check(watch.get("cancel"))
    array = _read_array(path)
    depth = _as_depth(array[:num_frames], path, scale)
    report(watch.get("on_progress"), stages.READING_DEPTH, len(depth), len(depth))
    return depth


def _read_array(path: Path) -> NDArray:
    if path.suffix.lower() not in (".npz", ".npy"):
        raise DepthError(
            f"{path} is no depth file that can be read; give an .npz, an .npy, or a folder of 16-bit PNGs or of EXRs."
        )
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            if "depth" not in names and len(names) != 1:
                raise DepthError(
                    f"{path} holds {len(names)} arrays ({', '.join(names) or 'none'}) and none is called 'depth'; "
                    "save the depth under that name."
                )
            return archive["depth" if "depth" in names else names[0]]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        if isinstance(error, DepthError):
            raise
        raise DepthError(
            f"{path} is not a readable {path.suffix} file ({error}); write it again with numpy."
        ) from error


def _as_depth(array: NDArray, path: Path, scale: float | None) -> Float32:
    """[T, H, W] float32 from an array that may have a channel axis of length 1, a whole-number or wider dtype."""
    if array.ndim == 4 and 1 in (array.shape[1], array.shape[3]):
        array = array[:, 0] if array.shape[1] == 1 else array[..., 0]
    if array.ndim != 3:
        raise DepthError(f"Depth must be [frames, height, width], but {path} holds an array of shape {array.shape}.")
    return _scaled(array, path, scale)


def _scaled(array: NDArray, path: Path, scale: float | None) -> Float32:
    if array.dtype.kind not in "fui":
        raise DepthError(f"{path} holds {array.dtype} values; depth must be numbers.")
    if array.dtype.kind in "ui" and scale is None:
        raise DepthError(f"{path} holds whole numbers ({array.dtype}), whose unit is not known.", remedy=scale_depth())
    depth = np.array(array, np.float32)
    if scale is not None and scale != 1:
        depth *= np.float32(scale)
    return depth


def _read_folder(
    folder: Path, scale: float | None, channel: str | None, num_frames: int | None, watch: Watch
) -> Float32:
    pngs, exrs = image_files(folder, (".png",)), image_files(folder, (".exr",))
    if bool(pngs) == bool(exrs):
        what = "both PNG and EXR files" if pngs else "neither 16-bit PNG nor EXR files"
        raise DepthError(f"The depth folder {folder} holds {what}; leave one numbered sequence of one kind in it.")
    files = (pngs or exrs)[:num_frames]
    stack = FrameStack(expected=len(files), label=str(folder))
    for path in reported(files, stages.READING_DEPTH, len(files), **watch):
        frame = read_exr_depth(path, channel=channel) if exrs else _read_png(path)
        if len(stack) and frame.shape != stack.array().shape[1:]:
            height, width = stack.array().shape[1:]
            raise DepthError(
                f"{path} is {frame.shape[1]}x{frame.shape[0]} pixels but the first depth frame is {width}x{height}; "
                "give every frame the same size."
            )
        stack.append(_scaled(frame, path, scale))
    return stack.array()


def _read_png(path: Path) -> NDArray:  # [H, W] uint16
    image = read_image(path, DepthError)
    if image.ndim == 3 and image.shape[2] >= 3 and (np.ptp(image[..., :3], axis=2) == 0).all():
        image = image[..., 0]
    if image.ndim != 2:
        raise DepthError(f"{path} is a colour image; depth PNGs must be grey with 16 bits.")
    if image.dtype != np.uint16:
        raise DepthError(f"{path} has 8 bits, which is too coarse for depth; write 16-bit PNGs, EXRs or an .npz.")
    return image


def read_exr_depth(path: Path, *, channel: str | None = None) -> NDArray:  # [H, W] float16 or float32
    """The depth channel of one EXR file. Raises DepthError, naming the channels, if none or several could be meant."""
    import OpenEXR

    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels: dict[str, Any] = {}
            for part in file.parts:
                channels.update(part.channels)
            name = depth_channel(channels, path, channel)
            pixels = np.array(channels[name].pixels)
    except (RuntimeError, OSError, ValueError) as error:
        if isinstance(error, DepthError):
            raise
        raise DepthError(f"{path} is not an EXR file that can be read ({error}); render or export it again.") from error
    return pixels


def depth_channel(channels: Mapping[str, Any], path: Path, wanted: str | None = None) -> str:
    """Which of an EXR's channels is depth: ``wanted``, or the one whose name says so. Raises DepthError."""
    names = sorted(channels)
    listed = ", ".join(names) or "none"
    if wanted is not None:
        if wanted in channels:
            return wanted
        raise DepthError(f"{path} has no channel {wanted!r}; it has: {listed}.")
    for part in _DEPTH_CHANNELS:
        matching = [n for n in names if n.split(".")[-1].lower() == part.lower()]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise DepthError(f"{path} has several depth channels ({', '.join(matching)}).", remedy=name_channel())
    # A grey image saved as RGB carries depth three times; a real colour image does not.
    if len(names) == 1 or _all_equal([channels[n].pixels for n in names if n.split(".")[-1] in ("R", "G", "B")]):
        return next((n for n in names if n.split(".")[-1] == "R"), names[0])
    raise DepthError(f"{path} has no depth channel, only: {listed}; render the Z pass.", remedy=name_channel())


def _all_equal(arrays: list[NDArray]) -> bool:
    return len(arrays) > 0 and all(np.array_equal(a, arrays[0], equal_nan=True) for a in arrays[1:])
