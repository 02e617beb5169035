"""``ex4d run``: video, depth and camera to a finished take in one command that can be repeated after anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
    from ex4d.types import Take

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
    from ex4d.engines.kept_windows import KeptWindows
    from ex4d.shots.resume import TakeRequest
    from ex4d.shots.take import joined_eyes
    from ex4d.takes import save_take
    from ex4d_ground.files import made_folder

    on_devices(devices, context)
    both = stereo_of(stereo, convergence)
    from ex4d.export import exported_already
    from ex4d_ground.exports import get_kind, layout_of, name_template

    kinds = [get_kind(each) for each in export or ()]
    if eyes is not None and not kinds:
        raise SettingError("--eyes says how an --export shows both eyes; give both, or use 'ex4d export' afterwards.")
    if name is not None and len(kinds) != 1:
        raise SettingError("--name is for one --export; give it once, or use 'ex4d export' afterwards.")
    layout = layout_of(eyes, stereo=both is not None)
    for each in kinds:  # before anything that takes long
        name_template(each, name, layout)
    maker = get_engine(engine)
    chosen = ready_settings(maker.info(), settings)
    request = TakeRequest(options, engine, chosen, seed, both)
    with watched() as watch, made_folder(output_dir):
        done = None if again else request.find(output_dir, warn_of)
        if done is not None:
            note(f"{done} was made from the same inputs; --again makes another.")
            say(str(done))
            made = [each for each in kinds if exported_already(done, each.name, output_dir, name=name, eyes=eyes)]
            write_exports(done, [each.name for each in kinds if each not in made], output_dir, name, watch, eyes)
            return
        kept = output_dir / request.kept_name
        layers = any(each.suffix == ".exr" for each in kinds)
        shots = render_eyes(options, watch, settings=chosen, stereo=both, kept=kept)
        parts = [KeptWindows(output_dir / f"{request.windows_name}-{eye}", windows) for eye in range(len(shots))]
        takes = _made(maker, shots, parts, {"settings": chosen, "seed": seed, "layers": layers}, watch)
        if len(takes) < len(shots):
            return
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
        say(f"{folder}\n{folder.with_suffix('.mp4')}")
        write_exports(folder, [each.name for each in kinds], output_dir, name, watch, eyes)


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
