"""Writing and reading whole takes, as :mod:`ex4d_ground.takes` lays them out.

A take appears whole or not at all, under the next free number; nothing that exists is ever overwritten.
"""

import contextlib
import errno
import platform
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from PIL import Image

import ex4d
from ex4d.clip import video_writer
from ex4d.clip.checksum import clip_sha256
from ex4d.clip.exr_writing import exr_header, write_exr
from ex4d.clip.png_writing import encode_png
from ex4d.colour.view import as_signals
from ex4d.contact_sheet import contact_sheet
from ex4d.frames import Frames, JoinedFrames
from ex4d.frames.ahead import in_order, thread_count
from ex4d.progress import CancelToken, Watch, reported
from ex4d.types import Clip, Layers, Take
from ex4d_ground import stages
from ex4d_ground.arrays import UInt8
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import ClipError, Ex4dError, ShapeError, in_brief
from ex4d_ground.files import frame_name, output_error, told_as
from ex4d_ground.footage import Footage
from ex4d_ground.stereo import RIGHT
from ex4d_ground.takes import LAYERS, TAKE_FILE, TakeInfo, claim_take_folder, describe, read_take_info

__all__ = ["clip_sha256", "contact_sheet", "describe_take", "read_take", "save_take", "take_metadata", "take_of"]

STAGE = "take"


def save_take(
    folder: Path | str, take: Take, *, video: bool = True, layer_files: Sequence[Path] = (), **watch: Unpack[Watch]
) -> Path:
    """Write ``take`` below ``folder`` as the next free ``take_NNN`` and return that folder.

    ``layer_files`` are layers that are written already, one for each frame (of a stereo take, the left eye's, then the
    right one's); they are moved there. The movie of a stereo take has both eyes side by side.
    Raises OutputError (disk full, not writable), ShapeError (frames that do not fit the camera), InputError (metadata
    that is no JSON), Cancelled; after any of these ``folder`` is as it was.
    """
    folder = Path(folder)
    for eye in eyes_of(take):
        _check_shapes(eye)
    info = describe_take(take, video=video)
    if layer_files:
        colour = take.details is not None and take.details.layer_colour
        info = structs.replace(info, layers=LAYERS, layer_colour=colour)
    document = info.encoded()
    existed = folder.exists()
    staging = folder / f".take-{secrets.token_hex(4)}.partial"
    movie = staging.with_suffix(".mp4")
    try:
        staging.mkdir(parents=True)
        with told_as(staging, folder), told_as(movie, folder):
            _write_frames(staging, movie if video else None, take, watch)
            for k, eye in enumerate(eyes_of(take)):
                count, layers = len(eye.frames), (staging / RIGHT if k else staging) / LAYERS
                if eye.layers is not None:
                    _write_layers(layers, eye, eye.layers, watch)
                elif layer_files:
                    layers.mkdir()
                    for i, path in enumerate(layer_files[k * count : (k + 1) * count]):
                        path.replace(layers / frame_name(i, ".exr"))
        (staging / TAKE_FILE).write_text(document, encoding="utf-8")
        return _take_place(folder, staging, movie if video else None)
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
    info = read_take_info(folder)
    require_camera(info)
    frames = _read_frames(folder, info)
    return take_of(frames, info, right=None if info.eyes is None else _read_frames(folder / RIGHT, info))


def take_metadata(
    clip: Clip | None = None, *, licences: Mapping[str, str] | None = None, cancel: CancelToken | None = None
) -> dict[str, Any]:
    """What a take should say of where it came from: clip, versions and licences of the parts used. Raises Cancelled."""
    out: dict[str, Any] = {
        "versions": {"ex4d": ex4d.__version__, "python": platform.python_version(), "numpy": np.__version__},
        "licences": dict(licences or {}),
    }
    if clip is not None:
        out["clip"] = {
            "name": clip.name,
            "sha256": clip_sha256(clip, cancel),
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


def eyes_of(take: Take) -> list[Take]:
    """The take, and the right eye's where there is one."""
    return [take] if take.right is None else [take, take.right]


def _read_frames(folder: Path, info: TakeInfo) -> UInt8:  # [N, H, W, 3]
    frames = [_read_frame(folder / frame_name(i)) for i in range(info.num_frames)]
    sizes = {frame.shape for frame in frames}
    if len(sizes) != 1:
        raise ClipError(f"The take {folder} holds frames of different sizes {sorted(sizes)}; make it again.")
    return np.stack(frames)


def _check_shapes(take: Take) -> None:
    frames, n = take.frames, len(take.trajectory)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise ShapeError(f"A take's frames must be [N, H, W, 3] uint8, got {frames.shape} {frames.dtype}.")
    if len(frames) != n or take.coverage.shape != (n,):
        raise ShapeError(
            f"A take of {len(frames)} frames needs as many cameras and coverages, got {n} and {take.coverage.shape}."
        )


def describe_take(take: Take, *, video: bool = False) -> TakeInfo:
    """What ``take.json`` says of a take; ``video`` says that a movie lies beside it."""
    own = describe(
        take.engine,
        take.trajectory,
        settings=take.settings,
        seed=take.seed,
        fps=take.fps,
        width=take.frames.shape[2],
        height=take.frames.shape[1],
        video=video,
        coverage=take.coverage.astype(float).tolist(),
        empty_frames=np.flatnonzero(take.coverage == 0).tolist(),
        metadata=take.metadata,
        eyes=take.eyes,
    )
    if take.layers is not None:
        own = structs.replace(own, layers=LAYERS, layer_colour=take.layers.view is not None)
    if take.details is None:
        return own
    kept = ("engine_licence", "note", "rasterizer", "lead_in_frames", "clip", "mesh", "raster", "objects", "blobs")
    kept += ("footage", "colour", "tone_mapped", "used")
    return structs.replace(own, **{name: getattr(take.details, name) for name in kept})


def require_camera(info: TakeInfo) -> Trajectory:
    """The move of a description. Raises ClipError if it lacks what making the take again needs."""
    if info.camera is None or len(info.coverage) != info.num_frames:
        raise ClipError("The take's description lacks camera or coverage; the file was damaged or edited.")
    return info.camera.trajectory


def take_of(frames: Frames, info: TakeInfo, right: Frames | None = None) -> Take:  # [N, H, W, 3]
    """The take of these frames that ``info`` describes; ``right`` are the right eye's, where it has one.

    Raises ClipError if it lacks what a take needs.
    """
    left = Take(
        frames=frames,
        fps=info.fps,
        engine=info.engine,
        settings=info.settings,
        seed=info.seed,
        trajectory=require_camera(info),
        coverage=np.asarray(info.coverage, np.float64),
        metadata=info.metadata,
        details=info,
        eyes=info.eyes,
    )
    if right is None or info.eyes is None:
        return left
    return replace(left, right=replace(left, frames=right, trajectory=info.eyes.right(left.trajectory), eyes=None))


def _write_layers(folder: Path, take: Take, layers: Layers, watch: Watch) -> None:
    """One EXR a frame, written several side by side."""
    folder.mkdir()
    count = len(take.frames)

    def written(i: int) -> None:
        write_layer(folder / frame_name(i, ".exr"), take, layers, i)

    done = in_order(written, range(count), thread_count(), watch.get("cancel"))
    for _ in reported(done, stages.LAYERS, count, **watch):
        pass


def write_layer(path: Path, take: Take, layers: Layers, i: int) -> None:
    """What lies under a frame, as an EXR: colour as it is in the plate, half or float; mask, coverage, depth."""
    layer = layers.of(i)
    footage = Footage() if take.details is None else take.details.footage
    space = None if layers.view is None else layers.view.space
    halves = {"mask": layer.mask.astype(np.float16), "coverage": layer.coverage.astype(np.float16)}
    channels: dict[str, NDArray] = {**halves, "Z": layer.depth}
    if layer.colour is not None:
        colour = as_signals(layer.colour) if layer.colour.dtype == np.uint16 else layer.colour
        channels |= {letter: colour[..., k] for k, letter in enumerate("RGB")}
    write_exr(path, channels, header=exr_header(space, footage, i))


def _write_frames(staging: Path, movie: Path | None, take: Take, watch: Watch) -> None:
    """The pictures, several side by side, and the movie beside them, in one pass through the frames."""
    text, count, right = _labels(take), len(take.frames), take.right
    frames = take.frames if right is None else JoinedFrames(take.frames, right.frames)
    if right is not None:
        (staging / RIGHT).mkdir()

    def picture(i: int) -> UInt8:
        frame = frames[i]
        width = take.frames.shape[2]
        for k, folder in enumerate([staging] if right is None else [staging, staging / RIGHT]):
            (folder / frame_name(i)).write_bytes(encode_png(frame[:, k * width : (k + 1) * width], text))
        return frame

    about = {"fps": take.fps, "metadata": _video_metadata(take), "sound": take.sound, "stereo": right is not None}
    with nullcontext() if movie is None else video_writer(movie, **about) as write:
        pictures = in_order(picture, range(count), thread_count(), watch.get("cancel"))
        for frame in reported(pictures, STAGE, count, **watch):
            if write is not None:
                write(frame)


def _labels(take: Take) -> dict[str, str]:
    return {"Software": f"ex4d {ex4d.__version__}", "engine": take.engine, "seed": str(take.seed)}


def _video_metadata(take: Take) -> dict[str, str]:
    labels = _labels(take)
    return {"comment": f"engine={take.engine} seed={take.seed}", "encoder_tool": labels["Software"]}


def _take_place(folder: Path, staging: Path, movie: Path | None) -> Path:
    """Move the finished parts to the next free number, the description last: without it a folder is no take."""
    target = claim_take_folder(folder)
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
        reason = "is missing" if getattr(error, "errno", None) == errno.ENOENT else f"is damaged ({in_brief(error)})"
        raise ClipError(f"The take's frame {path} {reason}; make the take again.") from error
