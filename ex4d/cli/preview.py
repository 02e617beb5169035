"""``ex4d preview``: the whole way to a take with the preview engine, on any machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ex4d.cli import options as opt
from ex4d.cli.console import cancel_on_signals, progress_bars, say
from ex4d.cli.settings import parse_settings
from ex4d.cli.shot import RenderedShot, ShotOptions, render_shot
from ex4d.progress import CancelToken, OnProgress

if TYPE_CHECKING:
    from ex4d.generate.base import Engine
    from ex4d.types import Take

HELP = """Render a camera move and fill its holes without a model, in seconds, as a take.

Writes the next free take_NNN/ (numbered PNGs and take.json) and take_NNN.mp4, both marked engine=preview: it shows the
move, not what the model will make of it.

Examples:

  ex4d preview --input_video shot.mp4 --depth d.npz --cam orbit_left --output_dir shots/010

  ex4d preview --input_video plates/ --depth z_exr/ --cam layout/camera_v3.npz --fov 40 --output_dir shots/010
"""


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("preview", help=HELP)(preview)


def preview(
    input_video: opt.InputVideo,
    cam: opt.Cam,
    output_dir: opt.OutputDir,
    depth: opt.OptionalDepth = None,
    estimator: opt.Estimator = None,
    depth_set: opt.DepthSettings = None,
    save_depth: opt.SaveDepth = None,
    seed: Annotated[int, typer.Option("--seed", help="Same inputs and seed: same frames.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Engine setting as name=value; repeat for more. A wrong name lists all."),
    ] = None,
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
    """Check the flags, render the guides, run the engine, write the take; the help text is ``HELP``."""
    from ex4d.files import made_folder
    from ex4d.generate import get_engine
    from ex4d.takes import write_take

    options = ShotOptions(
        input_video, depth, cam, depth_scale, depth_channel, num_frames, fps, fill_invalid, amount, fov, focal,
        border_depth, parity, mode, thickness, estimator, tuple(depth_set or ()), save_depth, lens_from,
        other_frames, thickness_map, source_camera,
    )  # fmt: skip
    options.check()
    parsed = parse_settings(get_engine("preview").info(), settings or [])
    with cancel_on_signals() as cancel, made_folder(output_dir), progress_bars() as on_progress:
        shot = render_shot(options, on_progress=on_progress, cancel=cancel)
        made = run_engine(
            get_engine("preview"), shot, settings=parsed, seed=seed, on_progress=on_progress, cancel=cancel
        )
        folder = write_take(output_dir, made, on_progress=on_progress, cancel=cancel)
    say(str(folder))
    say(str(folder.with_suffix(".mp4")))


def run_engine(
    engine: Engine,
    shot: RenderedShot,
    *,
    settings: dict[str, Any],
    seed: int,
    keep_loaded: bool = False,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> Take:
    """Run an engine on a rendered shot and keep everything needed to make the result again.

    ``keep_loaded`` leaves the engine's model loaded for the next shot, whatever ``settings`` (which are kept) say.
    """
    from ex4d.generate.shot import KEEP_LOADED, generate_shot
    from ex4d.takes import take_metadata
    from ex4d.types import Take

    used = {**settings, KEEP_LOADED: True} if keep_loaded else settings
    frames = generate_shot(
        engine, shot.plan, shot.guides, shot.clip, settings=used, seed=seed, fps=shot.clip.fps,
        on_progress=on_progress, cancel=cancel,
    )  # fmt: skip
    info = engine.info()
    licences = {f"engine {info.name}": info.licence}
    return Take(
        frames=frames,
        fps=shot.clip.fps,
        engine=info.name,
        settings=settings,
        seed=seed,
        trajectory=shot.trajectory,
        coverage=shot.plan.without_lead_in(shot.guides).coverage,
        metadata={**take_metadata(shot.clip, licences=licences), "lead_in_frames": shot.plan.trim},
    )
