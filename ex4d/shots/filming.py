"""The camera that filmed a shot's clip: read from a file, or estimated from the clip."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np

from ex4d.clip import with_source_camera
from ex4d.progress import Watch
from ex4d.shots.options import STABILISE, ShotOptions
from ex4d.solve import solve_camera
from ex4d.solve.matte import read_matte
from ex4d.trajectory import PRESETS, near_depth_of, preset, within
from ex4d.types import Clip
from ex4d_ground.camera_files import SOURCE, OnNote, load_camera, load_camera_file
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import CameraNotSolvedError
from ex4d_ground.filmed_paths import stabilised
from ex4d_ground.sequences import ranges
from ex4d_ground.source_camera import SourceCamera

SHAKE_S = 1.0
"""What shakes faster is smoothed away by ``stabilise`` unless an amount says otherwise."""


def filmed(options: ShotOptions, clip: Clip, **watch: Unpack[Watch]) -> tuple[Clip, tuple[str, ...]]:
    """The clip with its source camera as the options say, and what people should know of that.

    Raises TrajectoryError, CameraNotSolvedError where an estimate cannot be relied on, ClipError for a matte,
    Cancelled.
    """
    if options.source_camera is None:
        return clip, ()
    if options.estimates_camera:
        return _estimated(options, clip, watch)
    notes: list[str] = []
    camera = load_camera(
        options.source_camera,
        size=(clip.width, clip.height),
        lens=clip.intrinsics,
        on_note=notes.append,
        whole=clip.num_frames,
    )
    return with_source_camera(clip, camera, longer=options.num_frames is not None), tuple(notes)


def _estimated(options: ShotOptions, clip: Clip, watch: Watch) -> tuple[Clip, tuple[str, ...]]:
    matte = None if options.source_matte is None else read_matte(options.source_matte, clip, **watch)
    solved = solve_camera(clip, matte=matte, **watch)
    verdict = solved.verdict
    if verdict.failure:
        raise CameraNotSolvedError(verdict.failure)
    notes = estimate_notes(clip, verdict.lines(), verdict.lost, still=verdict.still)
    return with_source_camera(clip, solved.camera), notes


def estimate_notes(clip: Clip, lines: Sequence[str], lost: Sequence[int], *, still: bool) -> tuple[str, ...]:
    """What people should know of an estimated camera: ``lines`` of its quality, and frames ``lost``, 0-based."""
    notes = [f"The filming camera was estimated: {line}" for line in lines]
    if lost:
        frames = ranges([t + 1 for t in lost])
        notes.append(f"Frames {frames} show too little and keep the filming camera's pose of the one before")
    if clip.intrinsics.is_assumed and not still:
        notes.append("Nothing says the lens, and the estimated camera is only as right as the one that is assumed")
    return tuple(notes)


def preset_move(options: ShotOptions, clip: Clip) -> Trajectory:
    """The move of the preset that the options name. Raises TrajectoryError, SettingError."""
    if options.cam == STABILISE:
        return _without_shake(options, clip)
    along = options.cam_axes == SOURCE and clip.moving_camera is not None
    move = preset(
        options.cam,
        replace(clip, source_camera=None) if along else clip,
        near_depth=near_depth_of(clip, options.mesh_options().border_depth),
        amount=options.amount,
        overshoot=options.parity and PRESETS[options.cam].published,
    )
    if not along or clip.moving_camera is None:
        return move
    shown = clip.moving_camera.shown_frames(move)
    rows = clip.moving_camera.intrinsics
    zoomed = move.intrinsics * np.concatenate([rows[shown, :2] / rows[0, :2], np.ones((len(move), 2))], axis=1)
    return clip.moving_camera.in_world(replace(move, intrinsics=zoomed))


def _without_shake(options: ShotOptions, clip: Clip) -> Trajectory:
    """The filming camera's own move, smoothed; where it stood still, so does the new one."""
    moving = clip.moving_camera or SourceCamera.still(clip.num_frames, clip.intrinsics)
    seconds = SHAKE_S if options.amount is None else options.amount
    return stabilised(moving, seconds * clip.fps, np.arange(clip.num_frames, dtype=np.float64))


def file_move(options: ShotOptions, clip: Clip, on_note: OnNote | None) -> Trajectory:
    """The move of the camera file that the options name, in the world. Raises TrajectoryError, ShapeError."""
    assert options.camera_file is not None
    file = load_camera_file(options.camera_file, size=(clip.width, clip.height), lens=clip.intrinsics, on_note=on_note)
    if options.num_frames is not None or options.parity:
        file = file._replace(move=within(file.move, clip.num_frames))
    return file.in_world(clip.moving_camera, None if options.cam_axes == "auto" else options.cam_axes)
