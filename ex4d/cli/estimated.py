"""Depth for commands that were given none: estimated on the way, and kept on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ex4d.cli.console import note, warn
from ex4d.errors import DepthError, SettingError
from ex4d.progress import CancelToken, OnProgress, Progress

if TYPE_CHECKING:
    from ex4d.depth import DepthOptions, EstimatorInfo
    from ex4d.types import Clip, Intrinsics, UInt8


def check_estimator(name: str | None, pairs: Sequence[str], save_to: Path | None) -> dict[str, Any]:
    """The estimator's settings, checked. Raises SettingError, DepthError (a name that is no .npz)."""
    from ex4d.depth import DEFAULT_ESTIMATOR, get_estimator

    if save_to is not None and save_to.suffix.lower() != ".npz":
        raise DepthError(f"--save_depth writes an .npz, got the name {save_to.name}; end it in .npz.")
    return estimator_settings(get_estimator(name or DEFAULT_ESTIMATOR).info(), pairs)


def estimator_settings(info: EstimatorInfo, pairs: Sequence[str]) -> dict[str, Any]:
    """All settings of the estimator, those in ``pairs`` ("name=value") replaced. Raises SettingError."""
    from ex4d.cli.settings import parse_settings

    return parse_settings(info, pairs)  # pyright: ignore[reportArgumentType]


def telling(on_progress: OnProgress) -> OnProgress:
    """``on_progress``, with a warning at once when memory ran out and less is tried."""
    from ex4d.depth.fallback import MEMORY_STAGE

    def show(step: Progress) -> None:
        if step.stage == MEMORY_STAGE:
            warn(step.message)
        else:
            on_progress(step)

    return show


def announce(info: EstimatorInfo) -> None:
    """Name the estimator and its licence before it runs; warn if it is not for production."""
    note(f"Depth is estimated by {info.title}; licence: {info.licence_text}.")
    if info.research_only:
        warn(f"{info.name} is for research only; depth-anything-v2 may be used commercially.")


def estimated_clip(
    video: Path,
    *,
    estimator: str | None,
    settings: Sequence[str],
    lens: Intrinsics | None,
    fov: float | None,
    focal: float | None,
    num_frames: int | None,
    fps: float | None,
    border_depth: float,
    parity: bool,
    save_to: Path | None,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> Clip:
    """Read the video and estimate its depth. Raises what :func:`ex4d.depth.estimate_depth` raises."""
    from ex4d.clip import read_video
    from ex4d.depth import DEFAULT_ESTIMATOR, estimate_depth, get_estimator, save_depth, to_clip

    info = get_estimator(estimator or DEFAULT_ESTIMATOR).info()
    values = estimator_settings(info, settings)
    announce(info)
    frames, own_fps = read_video(video, num_frames=num_frames, on_progress=on_progress, cancel=cancel)
    result = estimate_depth(
        frames, estimator=info.name, settings=values, options=_options(parity, border_depth),
        lens=lens or _lens(frames, fov, focal), lens_from=video, fps=fps or own_fps, on_progress=telling(on_progress),
        cancel=cancel,
    )  # fmt: skip
    for line in result.report.details():
        note(line)
    if save_to is not None:
        save_depth(save_to, result.file, on_progress=on_progress, cancel=cancel)
        note(f"Kept the depth: {save_to}")
    return replace(to_clip(frames, result, name=video.stem), fps=fps or own_fps)


def _options(parity: bool, border_depth: float) -> DepthOptions:
    from ex4d.depth import DepthOptions, EdgeOptions

    return DepthOptions.ex4d_parity() if parity else DepthOptions(edges=EdgeOptions(border_depth=border_depth))


def _lens(frames: UInt8, fov: float | None, focal: float | None) -> Intrinsics | None:
    from ex4d.types import Intrinsics

    if fov is not None and focal is not None:
        raise SettingError("--fov and --focal exclude each other; give one of them.")
    height, width = frames.shape[1:3]
    if fov is not None:
        return Intrinsics.from_fov(width, height, fov, f"given: {fov:g} deg")
    return None if focal is None else Intrinsics.from_focal(width, height, focal, f"given: {focal:g} px")
