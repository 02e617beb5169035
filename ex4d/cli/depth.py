"""``ex4d depth``: estimate depth, list the estimators, look at depth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ex4d.cli.console import cancel_on_signals, note, progress_bars, say
from ex4d.cli.estimated import announce, estimator_settings, telling
from ex4d.errors import SettingError

if TYPE_CHECKING:
    from ex4d.depth import DepthOptions, EstimatedDepth
    from ex4d.types import Intrinsics

HELP = """Estimate the depth of a video, convert a depth file, list the estimators, look at depth.

Examples:

  ex4d depth list

  ex4d depth shot.mp4 -o depth.npz --estimator depth-anything-v2

  ex4d depth shot.mp4 -o depth.npz --from_file z_pass/ --kind disparity

  ex4d depth inspect shot.mp4 depth.npz --output_dir look
"""
_SCENE, _LENS, _STEPS, _FILE = "Estimator", "Lens", "Steps", "From a file"


class _EstimateIsDefault(TyperGroup):
    """``ex4d depth VIDEO`` means ``ex4d depth estimate VIDEO``, unless the first word is a command's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = [a for a in args[:1] if a not in self.commands and a not in ("--help", "-h")]
        return super().parse_args(ctx, ["estimate", *args] if words else args)


depth_app = typer.Typer(
    name="depth",
    help=HELP,
    cls=_EstimateIsDefault,
    no_args_is_help=True,
    context_settings={
        "token_normalize_func": lambda token: token.replace("-", "_"),
        "help_option_names": ["--help", "-h"],
    },
)


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.add_typer(depth_app)


@depth_app.command("list")
def list_command() -> None:
    """Show every estimator with its licence, what its values mean, and what is missing."""
    from ex4d.depth import DEFAULT_ESTIMATOR, MEANINGS, list_estimators

    for info in list_estimators():
        state = "ready" if info.available else "not available"
        default = " (default)" if info.name == DEFAULT_ESTIMATOR else ""
        say(f"{info.name}{default}: {info.title} [{state}]")
        say(f"  licence: {info.licence_text}")
        extra = "; gives the focal length" if info.gives_intrinsics else ""
        say(f"  values:  {MEANINGS[info.meaning]}{extra}")
        say(f"  memory:  {_memory(info.name)}")
        if info.missing:
            say(f"  missing: {info.missing}")


def _memory(name: str) -> str:
    from ex4d.depth import get_estimator

    plan = get_estimator(name).memory(576, 1024)
    return f"{plan.text} at 1024x576" if plan.device_bytes else "decided by the tool"


@depth_app.command("estimate")
def estimate(
    video: Annotated[Path, typer.Argument(help="A video file or a folder of images.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The depth file to write (.npz).", show_default=False)],
    estimator: Annotated[
        str | None, typer.Option("--estimator", "-e", help="See 'ex4d depth list'.", rich_help_panel=_SCENE)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Estimator setting as name=value; repeat for more.", rich_help_panel=_SCENE),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same input and seed: same depth.", rich_help_panel=_SCENE)] = 42,
    num_frames: Annotated[int | None, typer.Option("--num_frames", help="Use only the first N frames.")] = None,
    fov: Annotated[
        float | None, typer.Option("--fov", help="Horizontal field of view in degrees.", rich_help_panel=_LENS)
    ] = None,
    focal: Annotated[
        float | None, typer.Option("--focal", help="Focal length in pixels.", rich_help_panel=_LENS)
    ] = None,
    focal_mm: Annotated[
        float | None, typer.Option("--focal_mm", help="Focal length in mm; with --sensor_mm.", rich_help_panel=_LENS)
    ] = None,
    sensor_mm: Annotated[
        float | None, typer.Option("--sensor_mm", help="Width of the sensor area shown, in mm.", rich_help_panel=_LENS)
    ] = None,
    lens_from: Annotated[
        Path | None,
        typer.Option(
            "--lens_from",
            help="A .blend (its active camera), or an image or video whose metadata say the lens.",
            rich_help_panel=_LENS,
        ),
    ] = None,
    align: Annotated[
        bool | None,
        typer.Option(
            "--align/--no_align", help="Per-frame scale and shift. Default: as needed.", rich_help_panel=_STEPS
        ),
    ] = None,
    steady: Annotated[
        bool | None,
        typer.Option("--steady/--no_steady", help="Temporal filter. Default: as needed.", rich_help_panel=_STEPS),
    ] = None,
    sharpen: Annotated[
        bool | None,
        typer.Option(
            "--sharpen/--no_sharpen",
            help="Make soft depth edges steps. Default: for estimated depth.",
            rich_help_panel=_STEPS,
        ),
    ] = None,
    edges: Annotated[
        bool,
        typer.Option(
            "--edges/--no_edges",
            help="Move depth edges onto the picture's. Mends up to two fifths where they are off by a pixel or two, "
            "spoils up to 1 % where they are right: compare with 'ex4d depth inspect'.",
            rich_help_panel=_STEPS,
        ),
    ] = False,
    fill: Annotated[
        bool, typer.Option("--fill/--no_fill", help="Fill pixels without depth.", rich_help_panel=_STEPS)
    ] = True,
    clamp_far: Annotated[
        bool,
        typer.Option("--clamp_far/--no_clamp_far", help="Keep the sky in front of the border.", rich_help_panel=_STEPS),
    ] = True,
    border_depth: Annotated[
        float, typer.Option("--border_depth", help="Depth of the mesh's border.", rich_help_panel=_STEPS)
    ] = 100.0,
    near_depth: Annotated[
        float | None,
        typer.Option(
            "--near_depth", help="Depth given to the nearest point, where no unit is known.", rich_help_panel=_STEPS
        ),
    ] = None,
    unit_scale: Annotated[
        float, typer.Option("--unit_scale", help="Scene units per metre, for metric depth.", rich_help_panel=_STEPS)
    ] = 1.0,
    parity: Annotated[
        bool, typer.Option("--parity", help="EX-4D's own mapping and no other step.", rich_help_panel=_STEPS)
    ] = False,
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--from_file", help="Convert this depth (.npz, .npy, folder of PNG or EXR) instead.", rich_help_panel=_FILE
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind", help="Its numbers: depth, disparity (1/z), inverted (white is near), ray.", rich_help_panel=_FILE
        ),
    ] = "depth",
    scale: Annotated[
        float | None, typer.Option("--scale", help="Factor on its numbers.", rich_help_panel=_FILE)
    ] = None,
    offset: Annotated[float, typer.Option("--offset", help="Added after --scale.", rich_help_panel=_FILE)] = 0.0,
    channel: Annotated[
        str | None, typer.Option("--channel", help="EXR channel, where several could be meant.", rich_help_panel=_FILE)
    ] = None,
) -> None:
    """Estimate the depth of VIDEO (or convert a depth file for it) and write it with its lens and licence."""
    from ex4d.depth import (
        DEFAULT_ESTIMATOR,
        ConvertOptions,
        DepthOptions,
        EdgeOptions,
        depth_from_file,
        estimate_depth,
        get_estimator,
        save_depth,
    )  # fmt: skip
    from ex4d.depth.convert import EX4D_SCALE

    if from_file is not None and (estimator is not None or settings):
        raise SettingError("--from_file reads finished depth, so --estimator and --set do not apply; drop them.")
    options = DepthOptions(
        align, steady, convert=ConvertOptions(near_depth or EX4D_SCALE, unit_scale=unit_scale),
        edges=EdgeOptions(fill=fill, sharpen=sharpen, align=edges, clamp_far=clamp_far, border_depth=border_depth),
    ) if not parity else DepthOptions.ex4d_parity()  # fmt: skip
    info = get_estimator(estimator or DEFAULT_ESTIMATOR).info()
    values = {} if from_file else estimator_settings(info, settings or [])
    if from_file is None:
        announce(info)
    with cancel_on_signals() as cancel, progress_bars() as on_progress:
        lens = _lens(video, fov, focal, focal_mm, sensor_mm, lens_from)
        if from_file is None:
            result = estimate_depth(
                video, estimator=info.name, settings=values, options=options, lens=lens, num_frames=num_frames,
                seed=seed, on_progress=telling(on_progress), cancel=cancel,
            )  # fmt: skip
        else:
            result = depth_from_file(
                from_file, video=video, kind=kind, scale=scale, offset=offset, channel=channel,  # pyright: ignore[reportArgumentType]
                options=_for_file(options), lens=lens, num_frames=num_frames, on_progress=on_progress, cancel=cancel,
            )  # fmt: skip
        save_depth(output, result.file, on_progress=on_progress, cancel=cancel)
    _conclude(result, output)


def _for_file(options: DepthOptions) -> DepthOptions:
    """A file's depth is only aligned or steadied on request."""
    from dataclasses import replace

    return replace(
        options, align=bool(options.align), steady=bool(options.steady), measure_flicker=bool(options.steady)
    )


def _lens(
    video: Path, fov: float | None, focal: float | None, focal_mm: float | None, sensor_mm: float | None,
    lens_from: Path | None,
) -> Intrinsics | None:  # fmt: skip
    """The lens the flags give, for the video's size, or None. Raises SettingError if they contradict one another."""
    from ex4d.depth import from_lens
    from ex4d.depth.lens_file import frame_size, lens_from_file
    from ex4d.types import Intrinsics

    given = [value for value in (fov, focal, focal_mm, lens_from) if value is not None]
    if len(given) > 1:
        raise SettingError("--fov, --focal, --focal_mm and --lens_from exclude each other; give one of them.")
    if (focal_mm is None) != (sensor_mm is None):
        raise SettingError("--focal_mm and --sensor_mm belong together; give both.")
    if not given:
        return None
    width, height = frame_size(video)
    if lens_from is not None:
        return lens_from_file(lens_from, width, height)
    if focal_mm is not None and sensor_mm is not None:
        return from_lens(width, height, focal_mm, sensor_mm)
    if focal is not None:
        return Intrinsics.from_focal(width, height, focal, f"given: {focal:g} px")
    return Intrinsics.from_fov(width, height, fov or 0.0, f"given: {fov:g} deg")


def _conclude(result: EstimatedDepth, output: Path) -> None:
    for line in result.report.lines():
        note(line)
    say(str(output))


@depth_app.command("inspect")
def inspect(
    video: Annotated[Path, typer.Argument(help="A video file or a folder of images.", show_default=False)],
    depth: Annotated[
        Path, typer.Argument(help="Its depth: what 'ex4d depth' wrote, or any depth file.", show_default=False)
    ],
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for the pictures.", show_default=False)],
    steady: Annotated[
        bool, typer.Option("--steady/--no_steady", help="Also show the flicker after the temporal filter.")
    ] = True,
    border_depth: Annotated[float, typer.Option("--border_depth", help="Depth of the mesh's border.")] = 100.0,
    scale: Annotated[float | None, typer.Option("--scale", help="Factor on the file's numbers.")] = None,
    num_frames: Annotated[int | None, typer.Option("--num_frames", help="Use only the first N frames.")] = None,
) -> None:
    """Write contact_sheet.png, flicker.png and histogram.png for a clip's depth."""
    from ex4d.depth.inspect import inspect_depth

    with cancel_on_signals() as cancel, progress_bars() as on_progress:
        result = inspect_depth(
            video, depth, output_dir, with_steady=steady, border_depth=border_depth, scale=scale,
            num_frames=num_frames, on_progress=on_progress, cancel=cancel,
        )  # fmt: skip
    for line in result.lines():
        say(line)
