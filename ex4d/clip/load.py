"""A video and its depth become a :class:`Clip`, or a sentence that says why they do not."""

from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from ex4d.clip import invalid
from ex4d.clip.depth import read_depth
from ex4d.clip.depth_facts import DepthFacts, read_depth_facts
from ex4d.clip.invalid import InvalidDepth
from ex4d.clip.lens import read_lens
from ex4d.clip.video import read_video
from ex4d.lens import Lens
from ex4d.progress import Watch
from ex4d.types import Clip
from ex4d_ground.arrays import Float32, UInt8
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import DepthError, SettingError
from ex4d_ground.remedies import fewer_frames


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
    depth_scale: float | None = None,
    depth_channel: str | None = None,
    on_filled: Callable[[InvalidDepth], None] | None = None,
    **watch: Unpack[Watch],
) -> Clip:
    """Read and check a video with its depth.

    The lens is ``lens``, or one of its parts: ``intrinsics``, a horizontal ``fov_deg``, ``focal_px``; without any it is
    the depth file's own if it has one (``ex4d depth`` writes it), else the video's metadata's, else the default.
    ``num_frames`` takes the first frames of both; without it, both must be equally long. ``fill_invalid`` replaces NaN,
    infinite, zero and negative depth by the nearest valid pixel of the frame and tells ``on_filled`` what was filled;
    without it such depth is refused. ``fps`` overrides the video's own rate. Raises ClipError, DepthError,
    SettingError, ShapeError, Cancelled.
    """
    lens = lens or Lens(intrinsics, fov_deg, focal_px)
    if fps is not None and not 0 < fps <= 1000:
        raise SettingError(f"The frame rate must be above 0 and at most 1000 frames a second, got {fps}.")
    video = Path(video) if isinstance(video, str) else video
    frames, own_fps = read_video(video, num_frames=num_frames, **watch)
    if isinstance(depth, Path | str):
        path = Path(depth)
        values = read_depth(path, scale=depth_scale, channel=depth_channel, num_frames=num_frames, **watch)
        label, facts = str(path), read_depth_facts(path)
    else:
        values, label, facts = depth[:num_frames], "The depth", DepthFacts()
    check_depth_fits(values, frames, label=label)
    if fill_invalid:
        values, filled = invalid.fill_invalid(values, label=label, **watch)
        if on_filled is not None:
            on_filled(filled)
    else:
        invalid.require_valid(values, label=label)
    height, width = frames.shape[1:3]
    used = lens.at(width, height)
    if used is None:
        known = facts.intrinsics or read_lens(video, width, height)
        used = known.resized(width, height) if known else Intrinsics.from_fov(width, height)
    name = video.stem if isinstance(video, Path) else "clip"
    return Clip(frames, values, used, fps or own_fps, name, depth_source=facts.source, depth_licence=facts.licence)


def check_depth_fits(depth: Float32, frames: UInt8, *, label: str = "The depth") -> None:
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
        shorter = min(len(depth), t)
        raise DepthError(
            f"{label} has {len(depth)} frames but the video has {t}; give depth for every frame.",
            remedy=fewer_frames(shorter),
        )
