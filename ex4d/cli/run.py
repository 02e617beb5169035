"""``ex4d run``: video, depth and camera to a finished take in one command that can be repeated after anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ex4d.cli import options as opt
from ex4d.cli.console import cancel_on_signals, note, progress_bars, say
from ex4d.cli.preview import run_engine
from ex4d.cli.settings import parse_settings
from ex4d.cli.shot import RenderedShot, ShotOptions, draw_shot
from ex4d.errors import ClipError, SettingError, WeightsError
from ex4d.progress import CancelToken, OnProgress

if TYPE_CHECKING:
    from ex4d.types import Take

HELP = """From video, depth and camera to a finished take in one command.

Without --depth it is estimated on the way. Writes the next free take_NNN/ and take_NNN.mp4. Run again with the same
inputs it finds that take and stops; after an interruption it goes on with the depth and guides it had. Made for render
farms: one call per shot and seed.

Examples:

  ex4d run --input_video shot.mp4 --depth d.npz --cam layout/camera_v3.npz --output_dir shots/010

  ex4d run --input_video shot.mp4 --depth d.npz --cam 60 --output_dir shots/010 --set mode=fp8 --set composite=true

  ex4d run --input_video shot.mp4 --depth d.npz --cam zoom_in --output_dir shots/010 --stereo 0.065

  ex4d run --input_video shot.mp4 --estimator depth-anything-v2 --cam orbit_left --output_dir shots/010
"""


class Stereo(NamedTuple):
    """The second eye."""

    baseline: float
    convergence: float | None


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("run", help=HELP)(run)


def run(
    input_video: opt.InputVideo,
    cam: opt.Cam,
    output_dir: opt.OutputDir,
    depth: opt.OptionalDepth = None,
    estimator: opt.Estimator = None,
    depth_set: opt.DepthSettings = None,
    save_depth: opt.SaveDepth = None,
    engine: Annotated[str, typer.Option("--engine", help="wan (the model) or preview (no model).")] = "wan",
    seed: Annotated[int, typer.Option("--seed", help="Same inputs and seed: same frames.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Engine setting as name=value; repeat for more. A wrong name lists all."),
    ] = None,
    stereo: Annotated[
        float | None,
        typer.Option("--stereo", help="Make a stereo pair, side by side: the eyes' distance in the depth's unit."),
    ] = None,
    convergence: Annotated[
        float | None, typer.Option("--convergence", help="Depth without parallax. Default: infinity.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Make the take even if it is there already.")] = False,
    parity: opt.Parity = False,
    fov: opt.Fov = None,
    focal: opt.Focal = None,
    lens_from: opt.LensFrom = None,
    amount: opt.Amount = None,
    border_depth: opt.BorderDepth = None,
    mode: opt.Mode = None,
    thickness: opt.Thickness = None,
    thickness_map: opt.ThicknessMap = None,
    other_frames: opt.OtherFrames = False,
    source_camera: opt.SourceCamera = None,
    num_frames: opt.NumFrames = None,
    fps: opt.Fps = None,
    fill_invalid: opt.FillInvalid = False,
    depth_scale: opt.DepthScale = None,
    depth_channel: opt.DepthChannel = None,
) -> None:
    """Check everything, skip what is done, make the rest; the help text is ``HELP``."""
    from ex4d.files import made_folder
    from ex4d.generate import get_engine
    from ex4d.generate.shot import loaded_once
    from ex4d.takes import write_take

    options = ShotOptions(
        input_video, depth, cam, depth_scale, depth_channel, num_frames, fps, fill_invalid, amount, fov, focal,
        border_depth, parity, mode, thickness, estimator, tuple(depth_set or ()), save_depth, lens_from,
        other_frames, thickness_map, source_camera,
    )  # fmt: skip
    options.check()
    eyes = _stereo(stereo, convergence)
    maker = get_engine(engine)
    info = maker.info()
    chosen = parse_settings(info, settings or [])
    if not info.available:
        raise WeightsError(info.missing)
    with cancel_on_signals() as cancel, made_folder(output_dir), progress_bars() as on_progress:
        guides_key = _fingerprint(options, {"lead_in": chosen.get("lead_in"), "stereo": eyes})
        key = _fingerprint(options, {"engine": engine, "settings": chosen, "seed": seed, "stereo": eyes})
        done = None if again else _find_take(output_dir, key)
        if done is not None:
            note(f"{done} was made from the same inputs; --again makes another.")
            say(str(done))
            return
        store = output_dir / f".guides-{guides_key[:16]}"
        options = _with_kept_depth(options, store)
        shots = _draw(options, eyes, chosen, store, on_progress, cancel)
        with loaded_once(maker, chosen) as keep:
            takes = [
                run_engine(
                    maker, shot, settings=chosen, seed=seed, keep_loaded=keep, on_progress=on_progress, cancel=cancel
                )
                for shot in shots
            ]
        take = _joined(takes, eyes)
        take = replace(take, metadata={**take.metadata, "fingerprint": key})
        folder = write_take(output_dir, take, on_progress=on_progress, cancel=cancel)
        for path in store.parent.glob(f"{store.name}*"):
            path.unlink()  # depth that was estimated for this alone goes too; --save_depth keeps it
    say(str(folder))
    say(str(folder.with_suffix(".mp4")))


def _with_kept_depth(options: ShotOptions, store: Path) -> ShotOptions:
    """Depth that is estimated is kept until the take is done, and taken from there after an interruption."""
    kept = store.with_name(f"{store.name}-depth.npz")
    if options.depth is not None or options.save_depth is not None:
        return options
    if not kept.is_file():
        return replace(options, save_depth=kept)
    note(f"Going on with the depth in {kept}.")
    return replace(options, depth=kept, estimator=None, estimator_settings=())


def _stereo(baseline: float | None, convergence: float | None) -> Stereo | None:
    if baseline is None:
        if convergence is not None:
            raise SettingError("--convergence belongs to --stereo; give both or neither.")
        return None
    if not 0 < baseline < float("inf"):
        raise SettingError(f"--stereo must be a positive distance, got {baseline:g}.")
    if convergence is not None and not 0 < convergence < float("inf"):
        raise SettingError(f"--convergence must be a positive depth, got {convergence:g}.")
    return Stereo(baseline, convergence)


def _fingerprint(options: ShotOptions, rest: dict[str, Any]) -> str:
    """A name for everything a result depends on: the content of the input files, options, settings, this version."""
    import ex4d

    digest = hashlib.sha256()
    files = ("input_video", "depth", "lens_from", "save_depth", "thickness_map", "source_camera")
    stated = {k: v for k, v in asdict(options).items() if k not in files}
    digest.update(json.dumps([ex4d.__version__, stated, rest], sort_keys=True, default=str).encode())
    read = (options.input_video, options.depth, options.camera_file, options.lens_from)
    for path in (*read, options.thickness_map, options.source_camera):
        for file in _files(path):
            digest.update(f"{file.name}:{file.stat().st_size}".encode())
            with file.open("rb") as opened:
                while chunk := opened.read(1 << 22):
                    digest.update(chunk)
    return digest.hexdigest()


def _files(path: Path | None) -> Iterator[Path]:
    if path is None:
        return
    yield from sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


def _find_take(folder: Path, key: str) -> Path | None:
    """The take in ``folder`` that carries this fingerprint."""
    from ex4d.takes import read_take_info

    for path in sorted(folder.glob("take_*/take.json")):
        try:
            if read_take_info(path.parent)["metadata"].get("fingerprint") == key:
                return path.parent
        except ClipError:  # somebody else's folder, or a damaged take: not the one
            continue
    return None


def _draw(
    options: ShotOptions,
    eyes: Stereo | None,
    settings: dict[str, Any],
    store: Path,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> list[RenderedShot]:
    """The shot, and the right eye's if there is one, with guides from an interrupted run where they are at hand."""
    from ex4d.generate.stereo import right_eye

    clip = options.load(on_progress=on_progress, cancel=cancel)
    mesh = options.mesh(clip)
    moves = [options.trajectory(clip)]
    if eyes is not None:
        moves.append(right_eye(moves[0], baseline=eyes.baseline, convergence=eyes.convergence))
    shots = []
    for index, move in enumerate(moves):
        path = store.with_name(f"{store.name}-{index}.npz")
        shots.append(
            draw_shot(options, mesh, move, settings=settings, store=path, on_progress=on_progress, cancel=cancel)
        )
    return shots


def _joined(takes: list[Take], eyes: Stereo | None) -> Take:
    """One take of the one or two that were made."""
    import numpy as np

    from ex4d.generate.stereo import side_by_side

    if eyes is None:
        return takes[0]
    left, right = takes
    return replace(
        left,
        frames=side_by_side(left.frames, right.frames),
        coverage=np.minimum(left.coverage, right.coverage),
        metadata={**left.metadata, "stereo": {"layout": "side by side, left eye first", **eyes._asdict()}},
    )
