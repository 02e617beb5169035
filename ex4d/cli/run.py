"""``ex4d run``: video, depth and camera to a finished take in one command that can be repeated after anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ex4d.cli.console import note, say, watched
from ex4d.cli.devices import DevicesOption, on_devices
from ex4d.cli.export import KIND_HELP, ExportEyes, ExportName, write_exports
from ex4d.cli.options import EngineSettings, OutputDir, Seed, panel
from ex4d.cli.settings import ready_settings
from ex4d.cli.shot import render_eyes, warn_of
from ex4d.cli.shot_file import ShotArgument
from ex4d.cli.stereo import StereoConvergence, StereoDistance, stereo_of
from ex4d.progress import Watch
from ex4d.shots.options import ShotOptions
from ex4d_ground.errors import SettingError

if TYPE_CHECKING:
    from ex4d.engines.base import Engine
    from ex4d.engines.kept_windows import KeptWindows
    from ex4d.shots.draw import RenderedShot
    from ex4d.shots.resume import TakeRequest
    from ex4d.types import Take
    from ex4d_ground.exports import ExportKind

_option = panel(None)
DEFAULT_ENGINE = "wan"


def run(
    context: typer.Context,
    options: ShotOptions,
    output_dir: OutputDir,
    shot: ShotArgument = None,
    engine: Annotated[str, _option("--engine", "wan (the model) or preview (no model).")] = DEFAULT_ENGINE,
    devices: DevicesOption = None,
    seed: Seed = 0,
    settings: EngineSettings = None,
    stereo: StereoDistance = None,
    convergence: StereoConvergence = None,
    export: Annotated[list[str] | None, _option("--export", f"Export the take at once: {KIND_HELP}")] = None,
    eyes: ExportEyes = None,
    name: ExportName = None,
    again: Annotated[bool, _option("--again", "Make the take even if it is there already.")] = False,
    windows: Annotated[
        int | None,
        _option(
            "--windows",
            "Stop when the first so many windows of a long clip are done; they are kept, and the next run goes on.",
            min=1,
        ),
    ] = None,
) -> None:
    """From video, depth and camera to a finished take in one command.

    Without --depth it is estimated on the way. Writes the next free take_NNN/ and take_NNN.mp4. Run again with the same
    inputs it finds that take and stops; after an interruption it goes on with the depth and guides it had. Made for
    render farms: one call per shot and seed, and SHOT for all options in one file (docs/farms.md).

    Exit codes: 0 the take is there; 1 failed or 130 cancelled: worth another try; 2 wrong input, 3 cannot write,
    4 part not installed, 5 weights missing: as it is it fails again.

    Examples:

      ex4d run shots/010

      ex4d run --input_video shot.mp4 --depth d.npz --cam layout/camera_v3.npz --output_dir shots/010

      ex4d run --input_video shot.mp4 --depth d.npz --cam 60 --output_dir shots/010 --set mode=fp8 --set composite=true

      ex4d run --input_video shot.mp4 --depth d.npz --cam zoom_in --output_dir shots/010 --stereo auto

      ex4d run --input_video plates/010 --depth z_exr/ --cam 60 --output_dir shots/010 --export exr --export prores

      ex4d run --input_video shot.mp4 --estimator depth-anything-v2 --cam orbit_left --output_dir shots/010
    """
    from ex4d.engines import get_engine
    from ex4d.export import exported_already
    from ex4d.shots.resume import TakeRequest
    from ex4d_ground.files import made_folder

    on_devices(devices, context)
    both = stereo_of(stereo, convergence)
    kinds = _export_kinds(export, eyes, name, stereo=both is not None)
    maker = get_engine(engine)
    request = TakeRequest(options, engine, ready_settings(maker.info(), settings), seed, both)
    with watched() as watch, made_folder(output_dir):
        folder = None if again else request.find(output_dir, warn_of)
        if folder is not None:
            note(f"{folder} was made from the same inputs; --again makes another.")
            say(str(folder))
            kinds = [k for k in kinds if not exported_already(folder, k.name, output_dir, name=name, eyes=eyes)]
        else:
            layers = any(each.suffix == ".exr" for each in kinds)
            folder = _saved(maker, request, output_dir, watch, windows=windows, layers=layers, again=again)
            if folder is None:
                return
            say(f"{folder}\n{folder.with_suffix('.mp4')}")
        write_exports(folder, [each.name for each in kinds], output_dir, name, watch, eyes)


def _export_kinds(export: list[str] | None, eyes: str | None, name: str | None, *, stereo: bool) -> list[ExportKind]:
    """What the take is to be exported as. Raises SettingError, before anything that takes long."""
    from ex4d_ground.exports import get_kind, layout_of, name_template

    kinds = [get_kind(each) for each in export or ()]
    if eyes is not None and not kinds:
        raise SettingError("--eyes says how an --export shows both eyes; give both, or use 'ex4d export' afterwards.")
    if name is not None and len(kinds) != 1:
        raise SettingError("--name is for one --export; give it once, or use 'ex4d export' afterwards.")
    layout = layout_of(eyes, stereo=stereo)
    for each in kinds:
        name_template(each, name, layout)
    return kinds


def _saved(
    maker: Engine,
    request: TakeRequest,
    output_dir: Path,
    watch: Watch,
    *,
    windows: int | None,
    layers: bool,
    again: bool,
) -> Path | None:
    """The folder of the take, which is made now; None if only the ``windows`` that were asked for are done."""
    from ex4d.engines.kept_windows import KeptWindows
    from ex4d.shots.take import joined_eyes
    from ex4d.takes import save_take

    kept, both, chosen = output_dir / request.kept_name, request.stereo, request.settings
    shots = render_eyes(request.shot, watch, settings=chosen, stereo=both, kept=kept)
    parts = [KeptWindows(output_dir / f"{request.windows_name}-{eye}", windows) for eye in range(len(shots))]
    takes = _made(maker, shots, parts, {"settings": chosen, "seed": request.seed, "layers": layers}, watch)
    if len(takes) < len(shots):
        return None
    take = takes[0]
    if both is not None:
        take = joined_eyes(both.eyes(shots[0].clip, shots[0].trajectory), *takes)
    take = replace(take, metadata={**take.metadata, "fingerprint": request.fingerprint})
    # A farm that had lost sight of this machine may have had the shot made elsewhere meanwhile.
    meanwhile = None if again else request.find(output_dir)
    folder = meanwhile or save_take(output_dir, take, **watch)
    for path in output_dir.glob(f"{kept.name}*"):
        path.unlink(missing_ok=True)  # depth that was estimated for this alone goes too; --save_depth keeps it
    for part in parts:
        part.remove()
    return folder


def _made(
    maker: Engine, shots: list[RenderedShot], parts: list[KeptWindows], how: Mapping[str, Any], watch: Watch
) -> list[Take]:
    """Each shot's take; fewer where the first windows alone are wanted now."""
    from ex4d.engines.kept_windows import Paused
    from ex4d.engines.shot import loaded_once
    from ex4d.shots.take import run_engine

    takes: list[Take] = []
    with loaded_once(maker, how["settings"]) as keep:
        for shot, part in zip(shots, parts, strict=True):
            try:
                beside = (shots[0], takes[0]) if takes else None
                takes.append(run_engine(maker, shot, kept=part, keep_loaded=keep, beside=beside, **how, **watch))
            except Paused as paused:
                note(str(paused))
    return takes
