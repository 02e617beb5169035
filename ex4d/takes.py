"""Takes on disk: a folder of numbered PNGs with a take.json that says how to make them again, and an MP4 beside it.

    take_001/frame_0001.png, frame_0002.png, ...
    take_001/take.json
    take_001.mp4

A take appears whole or not at all, under the next free number; nothing that exists is ever overwritten.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import platform
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

import ex4d
from ex4d.clip import write_video
from ex4d.contact_sheet import contact_sheet
from ex4d.errors import ClipError, Ex4dError, InputError, ShapeError
from ex4d.files import output_error
from ex4d.progress import CancelToken, OnProgress, check, report
from ex4d.types import Clip, Take, Trajectory, UInt8

__all__ = [
    "clip_sha256",
    "contact_sheet",
    "read_take",
    "read_take_info",
    "take_metadata",
    "trajectory_from_json",
    "trajectory_to_json",
    "write_take",
]

FORMAT = "ex4d-blender-take"
VERSION = 1
STAGE = "take"
FRAME_NAME = "frame_{:04d}.png"
_FOLDER_NAME = "take_{:03d}"
_PNG_LEVEL = 2  # half the time of the default for a tenth more bytes


def write_take(
    folder: Path | str,
    take: Take,
    *,
    video: bool = True,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> Path:
    """Write ``take`` below ``folder`` as the next free ``take_NNN`` and return that folder.

    Raises OutputError (disk full, not writable), ShapeError (frames that do not fit the camera), InputError (metadata
    that is no JSON), Cancelled; after any of these ``folder`` is as it was.
    """
    folder = Path(folder)
    _check_shapes(take)
    document = _document(take, video)
    existed = folder.exists()
    staging = folder / f".take-{secrets.token_hex(4)}.partial"
    movie = staging.with_suffix(".mp4")
    try:
        staging.mkdir(parents=True)
        text = _png_text(take)
        for i, frame in enumerate(take.frames):
            check(cancel)
            Image.fromarray(frame).save(staging / FRAME_NAME.format(i + 1), pnginfo=text, compress_level=_PNG_LEVEL)
            report(on_progress, STAGE, i + 1, len(take.frames))
        (staging / "take.json").write_text(document, encoding="utf-8")
        if video:
            write_video(movie, take.frames, fps=take.fps, metadata=_video_metadata(take), cancel=cancel)
        return _claim_number(folder, staging, movie if video else None)
    except OSError as error:
        if isinstance(error, Ex4dError):
            raise
        raise output_error(folder, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        with contextlib.suppress(OSError):
            movie.unlink()
        if not existed:
            with contextlib.suppress(OSError):
                folder.rmdir()


def read_take(folder: Path | str) -> Take:
    """Read a take's folder back. Raises ClipError naming the file that is missing or unusable."""
    folder = Path(folder)
    document = read_take_info(folder)
    frames = [_read_frame(folder / FRAME_NAME.format(i + 1)) for i in range(int(document["num_frames"]))]
    sizes = {frame.shape for frame in frames}
    if len(sizes) != 1:
        raise ClipError(f"The take {folder} holds frames of different sizes {sorted(sizes)}; make it again.")
    camera = document["camera"]
    return Take(
        frames=np.stack(frames),
        fps=float(document["fps"]),
        engine=str(document["engine"]),
        settings=dict(document["settings"]),
        seed=int(document["seed"]),
        trajectory=trajectory_from_json(camera),
        coverage=np.asarray(document["coverage"], np.float64),
        metadata=dict(document["metadata"]),
    )


def read_take_info(folder: Path | str) -> dict[str, Any]:
    """A take's take.json, checked, without loading its frames. Raises ClipError."""
    path = Path(folder) / "take.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ClipError(f"{path} cannot be read, so this is no take folder: {error}.") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ClipError(f"{path} is not a take's description.")
    if int(document.get("version", 0)) > VERSION:
        raise ClipError(f"{path} has version {document['version']}, this program reads up to {VERSION}; update it.")
    needed = ("engine", "settings", "seed", "fps", "num_frames", "camera", "coverage", "metadata")
    missing = [key for key in needed if key not in document]
    if missing:
        raise ClipError(f"{path} lacks {', '.join(missing)}; the file was damaged or edited.")
    return document


def take_metadata(clip: Clip | None = None, *, licences: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a take should say of where it came from: clip, versions and licences of the parts used."""
    out: dict[str, Any] = {
        "versions": {"ex4d": ex4d.__version__, "python": platform.python_version(), "numpy": np.__version__},
        "licences": dict(licences or {}),
    }
    if clip is not None:
        out["clip"] = {
            "name": clip.name,
            "sha256": clip_sha256(clip),
            "num_frames": clip.num_frames,
            "width": clip.width,
            "height": clip.height,
            "depth_source": clip.depth_source,
            "focal_px": clip.intrinsics.fx,
            "focal_source": clip.intrinsics.source,
        }
        if clip.depth_licence:
            out["licences"]["depth"] = clip.depth_licence
    return out


def clip_sha256(clip: Clip) -> str:
    """SHA-256 of the clip's frames, depth and lens, for telling whether a take was made from this very clip."""
    digest = hashlib.sha256()
    for array in (clip.frames, clip.depth, clip.intrinsics.matrix):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def trajectory_to_json(trajectory: Trajectory) -> dict[str, Any]:
    """A move as JSON values; floats keep every bit."""
    return {
        "name": trajectory.name,
        "width": trajectory.width,
        "height": trajectory.height,
        "axes": "OpenCV: x right, y down, z forward; world = source camera of frame 0",
        "world_from_camera": trajectory.world_from_camera.tolist(),
        "intrinsics": trajectory.intrinsics.tolist(),
        "source_time": trajectory.source_time.tolist(),
    }


def trajectory_from_json(values: Mapping[str, Any]) -> Trajectory:
    """Inverse of :func:`trajectory_to_json`. Raises ClipError for missing or malformed values."""
    try:
        return Trajectory(
            np.asarray(values["world_from_camera"], np.float64),
            np.asarray(values["intrinsics"], np.float64),
            np.asarray(values["source_time"], np.float64),
            int(values["width"]),
            int(values["height"]),
            str(values["name"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ClipError(f"The take's camera cannot be used: {error}.") from error


def _check_shapes(take: Take) -> None:
    frames, n = take.frames, len(take.trajectory)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise ShapeError(f"A take's frames must be [N, H, W, 3] uint8, got {frames.shape} {frames.dtype}.")
    if len(frames) != n or take.coverage.shape != (n,):
        raise ShapeError(
            f"A take of {len(frames)} frames needs as many cameras and coverages, got {n} and {take.coverage.shape}."
        )


def _document(take: Take, video: bool) -> str:
    document = {
        "format": FORMAT,
        "version": VERSION,
        "engine": take.engine,
        "watermark": f"engine={take.engine}",
        "preview": take.engine == "preview",
        "settings": take.settings,
        "seed": take.seed,
        "fps": take.fps,
        "num_frames": len(take.frames),
        "width": take.frames.shape[2],
        "height": take.frames.shape[1],
        "video": video,
        "frames": FRAME_NAME.format(1),
        "coverage": np.round(take.coverage.astype(float), 6).tolist(),
        "camera": trajectory_to_json(take.trajectory),
        "metadata": take.metadata,
    }
    try:
        return json.dumps(document, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"The take's settings or metadata cannot be written as JSON: {error}.") from error


def _png_text(take: Take) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, value in _labels(take).items():
        info.add_text(key, value)
    return info


def _labels(take: Take) -> dict[str, str]:
    return {"Software": f"ex4d {ex4d.__version__}", "engine": take.engine, "seed": str(take.seed)}


def _video_metadata(take: Take) -> dict[str, str]:
    labels = _labels(take)
    return {"comment": f"engine={take.engine} seed={take.seed}", "encoder_tool": labels["Software"]}


def _claim_number(folder: Path, staging: Path, movie: Path | None) -> Path:
    """Move the finished parts to the next free number; another process may be after the same one."""
    number = 1 + max((int(m[1]) for p in folder.iterdir() if (m := re.match(r"take_(\d+)", p.name))), default=0)
    while True:
        target = folder / _FOLDER_NAME.format(number)
        try:
            # mkdir is the claim: only one process can make it. take.json comes last: without it a folder is no take.
            target.mkdir()
        except FileExistsError:
            number += 1
            continue
        try:
            for part in sorted(staging.iterdir(), key=lambda p: p.suffix == ".json"):
                part.rename(target / part.name)
            if movie is not None:
                movie.rename(target.with_suffix(".mp4"))
        except OSError:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return target


def _read_frame(path: Path) -> UInt8:  # [H, W, 3]
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        reason = "is missing" if getattr(error, "errno", None) == errno.ENOENT else f"is damaged ({error})"
        raise ClipError(f"The take's frame {path} {reason}; make the take again.") from error
