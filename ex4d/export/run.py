"""Exporting a take: pictures one by one or a movie, under names by a template; nothing that exists is replaced."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Unpack

import cv2
import numpy as np
from msgspec import structs

from ex4d.clip.exr_writing import exr_header, write_exr
from ex4d.export.eyes import Pictures, pictures_of
from ex4d.export.movies import movie_writer
from ex4d.export.source import TakePictures
from ex4d.progress import Watch, reported
from ex4d.types import Sound
from ex4d_ground import stages
from ex4d_ground.arrays import Float32
from ex4d_ground.colour import ColourSpace
from ex4d_ground.errors import OutputError
from ex4d_ground.exports import ExportKind, export_paths, get_kind, layout_of, name_template
from ex4d_ground.files import staged_folder
from ex4d_ground.footage import Footage, exact_rate, rate_of, rate_text


def export_take(
    folder: Path,
    kind: str,
    output_dir: Path,
    *,
    name: str | None = None,
    eyes: str | None = None,
    sound: Sound | None = None,
    **watch: Unpack[Watch],
) -> list[Path]:
    """Write a take's folder as ``kind`` (of :data:`KINDS`) below ``output_dir``; returns the files, in order.

    EXRs are linear light in the plate's primaries: of a linear plate its own numbers. PNGs and movies have the plate's
    signals; of a linear plate those of its view. The 8-bit MP4 is always the view. Numbers, time code, reel, rate and
    sound are the take's; ``sound`` is for takes without a movie beside them that has it. ``eyes`` (of :data:`LAYOUTS`)
    says how both eyes of a stereo take are shown, None: side by side. Raises SettingError (kind, name, eyes),
    ClipError (no take), OutputError (also for names that exist), MissingExtraError, Cancelled; then ``output_dir`` is
    as it was.
    """
    chosen = get_kind(kind)
    take = TakePictures.open(folder)
    layout = layout_of(eyes, stereo=take.info.eyes is not None)
    template, shown = name_template(chosen, name, layout), pictures_of(take, layout)
    files = export_paths(take.info, chosen, template, shot=take.shot, take=take.number)
    for each in files:
        if (output_dir / each).exists():
            raise OutputError(f"{output_dir / each} is there already; choose another name or folder.")
    with staged_folder(output_dir / files[0].parent) as staging:
        if chosen.numbered:
            for i in reported(range(len(files)), stages.EXPORT, len(files), **watch):
                _write_picture(staging / files[i].name, take, shown, chosen, i)
        else:
            stereo = layout is not None and layout.side_by_side
            movie = partial(movie_writer, staging / files[0].name, chosen, stereo=stereo)
            _write_movie(movie, take, shown, chosen, sound, watch)
    return [output_dir / each for each in files]


def exported_already(
    folder: Path, kind: str, output_dir: Path, *, name: str | None = None, eyes: str | None = None
) -> list[Path]:
    """The files that :func:`export_take` would write, if all of them are there; else none."""
    chosen, take = get_kind(kind), TakePictures.open(folder)
    template = name_template(chosen, name, layout_of(eyes, stereo=take.info.eyes is not None))
    paths = export_paths(take.info, chosen, template, shot=take.shot, take=take.number)
    files = [output_dir / each for each in paths]
    return files if all(each.is_file() for each in files) else []


def _footage(take: TakePictures) -> Footage:
    footage = take.info.footage
    return footage if rate_of(footage.rate) else structs.replace(footage, rate=rate_text(exact_rate(take.info.fps)))


def _write_picture(path: Path, take: TakePictures, shown: Pictures, kind: ExportKind, i: int) -> None:
    if kind.suffix == ".png":
        signals, _ = shown.signals(i)
        steps = np.rint(np.clip(signals.astype(np.float64), 0, 1) * 65535).astype(np.uint16)
        done, data = cv2.imencode(".png", steps[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 2])
        if not done:
            raise OutputError(f"Cannot encode {path}; choose another format.")
        path.write_bytes(data.tobytes())
        return
    light, space = shown.light(i)
    colour = light.astype(np.float16 if kind.sample == "half" else np.float32)
    channels = {letter: colour[..., k] for k, letter in enumerate("RGB")}
    channels |= shown.channels(i, ("mask", "coverage", "Z"))
    header = exr_header(space, _footage(take), i)
    if i < len(take.info.coverage):
        header["coverage"] = float(take.info.coverage[i])
    compression = "dwaa" if kind.name == "exr-dwaa" else "zip"
    write_exr(path, channels, compression=compression, header=header)


def _write_movie(
    movie: Callable[..., AbstractContextManager[Callable[[Float32], None]]],
    take: TakePictures,
    shown: Pictures,
    kind: ExportKind,
    sound: Sound | None,
    watch: Watch,
) -> None:
    viewing = kind.sample == "8"
    count = take.info.num_frames

    def signals(i: int) -> Float32:
        return shown.frame(i).astype(np.float32) / np.float32(255) if viewing else shown.signals(i)[0]

    space = ColourSpace() if viewing else shown.signals(0)[1]
    if sound is None and take.movie is not None:
        sound = Sound(take.movie)
    with movie(space, _footage(take), sound=sound) as write:
        for i in reported(range(count), stages.EXPORT, count, **watch):
            write(signals(i))
