"""A video and its depth become a :class:`Clip`, or a sentence that says why they do not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ex4d.clip import invalid
from ex4d.clip.depth import read_depth
from ex4d.clip.depth_facts import DepthFacts, read_depth_facts
from ex4d.clip.invalid import InvalidDepth
from ex4d.clip.lens import read_lens
from ex4d.clip.video import read_video
from ex4d.errors import DepthError, SettingError, ShapeError
from ex4d.progress import CancelToken, OnProgress
from ex4d.types import Clip, Float32, Intrinsics, UInt8


@dataclass(frozen=True)
class LoadedClip:
    """A clip and what had to be done to its depth."""

    clip: Clip
    filled: InvalidDepth
    """Depth pixels that were filled from their neighbours; its ``count`` is 0 where the depth was whole."""


def load_clip(
    video: Path | bytes,
    depth: Path | Float32,  # a path, or [T, H, W]
    *,
    intrinsics: Intrinsics | None = None,
    fov_deg: float | None = None,
    focal_px: float | None = None,
    num_frames: int | None = None,
    fill_invalid: bool = False,
    fps: float | None = None,
    depth_scale: float | None = None,
    depth_channel: str | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> Clip:
    """Read a clip; see :func:`load_clip_with_report`, of which this is the clip alone."""
    return load_clip_with_report(
        video,
        depth,
        intrinsics=intrinsics,
        fov_deg=fov_deg,
        focal_px=focal_px,
        num_frames=num_frames,
        fill_invalid=fill_invalid,
        fps=fps,
        depth_scale=depth_scale,
        depth_channel=depth_channel,
        on_progress=on_progress,
        cancel=cancel,
    ).clip


def load_clip_with_report(
    video: Path | bytes,
    depth: Path | Float32,  # a path, or [T, H, W]
    *,
    intrinsics: Intrinsics | None = None,
    fov_deg: float | None = None,
    focal_px: float | None = None,
    num_frames: int | None = None,
    fill_invalid: bool = False,
    fps: float | None = None,
    depth_scale: float | None = None,
    depth_channel: str | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> LoadedClip:
    """Read and check a video with its depth.

    Intrinsics are given whole, as a horizontal field of view in degrees, or as a focal length in pixels; else they are
    the depth file's own if it has them (``ex4d depth`` writes them), else the video's metadata's, else the default.
    ``num_frames`` takes the first frames of both; without it, both must be equally long. ``fill_invalid`` replaces NaN,
    infinite, zero and negative depth by the nearest valid pixel of the frame; without it such depth is refused.
    ``fps`` overrides the video's own rate. Raises ClipError, DepthError, SettingError, ShapeError, Cancelled.
    """
    _check_settings(intrinsics, fov_deg, focal_px, fps)
    frames, own_fps = read_video(video, num_frames=num_frames, on_progress=on_progress, cancel=cancel)
    label = str(depth) if isinstance(depth, Path) else "The depth"
    if isinstance(depth, Path):
        values = read_depth(
            depth,
            scale=depth_scale,
            channel=depth_channel,
            num_frames=num_frames,
            on_progress=on_progress,
            cancel=cancel,
        )
    else:
        values = depth[:num_frames]
    check_depth_fits(values, frames, label=label)
    values, filled = _mend(values, fill_invalid, label, on_progress, cancel)
    facts = read_depth_facts(depth) if isinstance(depth, Path) else DepthFacts()
    height, width = frames.shape[1:3]
    if intrinsics is None and fov_deg is None and focal_px is None:
        known = facts.intrinsics or read_lens(video if isinstance(video, bytes) else Path(video), width, height)
        intrinsics = known.resized(width, height) if known else None
    name = Path(video).stem if isinstance(video, str | Path) else "clip"
    clip = Clip(
        frames,
        values,
        _intrinsics(width, height, intrinsics, fov_deg, focal_px),
        fps=fps or own_fps,
        name=name,
        depth_source=facts.source,
        depth_licence=facts.licence,
    )
    return LoadedClip(clip, filled)


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
            f"{label} has {len(depth)} frames but the video has {t}; give depth for every frame, or use the first "
            f"{shorter} of both with --num_frames {shorter}."
        )


def _mend(
    depth: Float32, fill: bool, label: str, on_progress: OnProgress | None, cancel: CancelToken | None
) -> tuple[Float32, InvalidDepth]:
    if fill:
        return invalid.fill_invalid(depth, label=label, on_progress=on_progress, cancel=cancel)
    invalid.require_valid(depth, label=label)
    return depth, invalid.find_invalid(depth[:0])


def _check_settings(
    intrinsics: Intrinsics | None, fov_deg: float | None, focal_px: float | None, fps: float | None
) -> None:
    if sum(value is not None for value in (intrinsics, fov_deg, focal_px)) > 1:
        raise SettingError("Intrinsics, a field of view and a focal length exclude each other; give one of them.")
    if fps is not None and not 0 < fps <= 1000:
        raise SettingError(f"The frame rate must be above 0 and at most 1000 frames a second, got {fps}.")


def _intrinsics(
    width: int, height: int, given: Intrinsics | None, fov_deg: float | None, focal_px: float | None
) -> Intrinsics:
    if given is not None:
        if (given.width, given.height) != (width, height):
            raise ShapeError(
                f"The intrinsics are for {given.width}x{given.height} pixels but the video is {width}x{height}; "
                "resize them."
            )
        return given
    if fov_deg is not None:
        return Intrinsics.from_fov(width, height, fov_deg, source="given")
    if focal_px is not None:
        return Intrinsics.from_focal(width, height, focal_px)
    return Intrinsics.from_fov(width, height)
