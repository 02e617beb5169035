"""The lens that a file knows: a Blender scene's camera, a camera file, a matrix K, or a picture's metadata."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ex4d.clip.lens import read_lens
from ex4d.clip.video import open_video
from ex4d.depth import tools
from ex4d.depth.lens import from_blender_camera
from ex4d_ground.camera_files import holds_model, load_camera
from ex4d_ground.camera_files.lens_matrix import SUFFIXES, load_lens_matrix
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import ClipError, EngineError, MissingExtraError, SettingError
from ex4d_ground.remedies import give_lens

_SAME_SHAPE = 0.02
"""Sides' ratios, and focal lengths, that differ by less are the same."""
BLENDER_TIMEOUT_S = 180
"""Starting Blender and opening a large scene can take a minute on a slow disk."""


def lens_from_file(path: Path, width: int, height: int) -> Intrinsics:
    """The lens of a .blend's active camera, a camera file, a matrix K, or of metadata, for frames of this size.

    Raises ClipError if the file is not there, SettingError if it names no lens that can be used, MissingExtraError if
    a .blend is given and there is no Blender.
    """
    if not path.exists():
        raise ClipError(f"There is no file or folder {path}; check the path of the lens.")
    if path.suffix.lower() == ".blend":
        return read_blend_camera(path, width, height)
    if path.suffix.lower() in SUFFIXES and path.stem not in ("cameras", "images"):
        return load_lens_matrix(path, width, height)
    if path.suffix.lower() in (".json", ".npz", ".txt", ".bin") or (path.is_dir() and holds_model(path)):
        return _of_camera_file(path, width, height)
    lens = read_lens(path, width, height)
    if lens is None:
        raise SettingError(
            f"{path} says nothing about its lens (EXIF, QuickTime's 35 mm equivalent, camera files and matrices of 3x3 "
            "are understood).",
            remedy=give_lens(),
        )
    return lens


def _of_camera_file(path: Path, width: int, height: int) -> Intrinsics:
    """The lens of a camera file's first frame. Raises TrajectoryError, SettingError for another picture's shape."""
    notes: list[str] = []
    move = load_camera(path, size=(width, height), on_note=notes.append)
    if abs(move.width / move.height * height / width - 1) > _SAME_SHAPE:
        raise SettingError(
            f"{path} is for pictures of {move.width}x{move.height}, the video is {width}x{height}: another shape; give "
            "the lens of the video itself.",
            remedy=give_lens(),
        )
    changes = "; of its first frame" if np.ptp(move.intrinsics[:, 0]) > _SAME_SHAPE * move.intrinsics[0, 0] else ""
    bent = "; without its distortion" if notes else ""
    return replace(move.frame_intrinsics(0).resized(width, height), source=f"given: {path.name}{changes}{bent}")


def read_blend_camera(path: Path, width: int, height: int) -> Intrinsics:
    """The active camera of a .blend's active scene, opened by Blender in a process of its own."""
    facts = _ask_blender(path)
    if "error" in facts:
        raise SettingError(f"Blender cannot open {path} ({facts['error']}); save it again with this version or older.")
    if facts["camera"] is None:
        raise SettingError(f"The scene {facts['scene']!r} of {path} has no active camera; choose one and save.")
    if facts["type"] != "PERSP":
        raise SettingError(
            f"The camera {facts['camera']!r} of {path} is of type {facts['type']}; only a perspective one is a lens."
        )
    values = {k: v for k, v in facts.items() if k not in ("scene", "camera", "type")}
    source = f"given: Blender camera {facts['camera']!r} of {path.name}, {facts['lens_mm']:g} mm"
    return from_blender_camera(width, height, source=source, **values)


def frame_size(video: Path) -> tuple[int, int]:
    """Width and height of a video's first frame. Raises ClipError."""
    with open_video(video, num_frames=1) as (_, frames):
        height, width = next(iter(frames)).shape[:2]
    return width, height


def _ask_blender(path: Path) -> dict[str, Any]:
    """What the camera script prints for ``path``."""
    script = str(Path(tools.__path__[0]) / "read_blend_camera.py")
    program = os.environ.get("EX4D_BLENDER") or shutil.which("blender")
    if find_spec("bpy") is not None:
        command = [sys.executable, script, str(path)]
    elif program:
        command = [program, "--background", "--factory-startup", "--python", script, "--", str(path)]
    else:
        raise MissingExtraError("Reading a .blend (without a 'blender' on the PATH or in EX4D_BLENDER)", "blender")
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, errors="replace", timeout=BLENDER_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        text = f"Blender cannot be asked for the camera of {path} ({error})."
        raise EngineError(text, remedy=give_lens()) from error
    marked = [line for line in done.stdout.splitlines() if line.startswith("ex4d-camera ")]
    if not marked:
        said = " / ".join((done.stdout + done.stderr).split("\n")[-4:]).strip(" /") or "it printed nothing"
        raise EngineError(f"Blender said nothing of a camera in {path} (exit code {done.returncode}: {said}).")
    return json.loads(marked[-1].removeprefix("ex4d-camera "))
