"""``ex4d depth``: estimate depth, list the estimators, look at depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ex4d.cli.console import note, say, watched
from ex4d.cli.options import SEEDS, panel, require_between, require_frames
from ex4d.cli.settings import parse_settings
from ex4d.cli.shot import announce
from ex4d.shots.options import ShotOptions
from ex4d_ground.arrays import FAR
from ex4d_ground.errors import SettingError, in_words

if TYPE_CHECKING:
    from ex4d.lens import Lens

HELP = """Estimate the depth of a video, convert a depth file, list the estimators, look at depth.

Examples:

  ex4d depth list

  ex4d depth shot.mp4 -o depth.npz --estimator depth-anything-v2

  ex4d depth shot.mp4 -o depth.npz --from_file z_pass/ --kind disparity

  ex4d depth inspect shot.mp4 depth.npz --output_dir look
"""
_BORDER = 100.0
_plain, _needed = panel(None), panel(None, show_default=False)
_scene, _lens_option, _step, _file = panel("Estimator"), panel("Lens"), panel("Steps"), panel("From a file")
Video = Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file or a folder of images.", show_default=False)]
NumFrames = Annotated[int | None, _plain("--num_frames", "Use only the first N frames.")]


class _EstimateIsDefault(TyperGroup):
    """``ex4d depth VIDEO`` means ``ex4d depth estimate VIDEO``, unless the first word is a command's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = [a for a in args[:1] if a not in self.commands and a not in ("--help", "-h")]
        return super().parse_args(ctx, ["estimate", *args] if words else args)


depth_app = typer.Typer(name="depth", help=HELP, cls=_EstimateIsDefault, no_args_is_help=True)


@depth_app.command("list")
def list_command() -> None:
    """Show every estimator with its licence, what its values mean, and what is missing."""
    from ex4d.depth import DEFAULT_ESTIMATOR, list_estimators
    from ex4d_ground.descriptions import MEANINGS

    for info in list_estimators():
        state = "ready" if info.available else "not available"
        default = " (default)" if info.name == DEFAULT_ESTIMATOR else ""
        say(f"{info.name}{default}: {info.title} [{state}]")
        say(f"  licence: {info.licence_text}")
        extra = "; gives the focal length" if info.gives_intrinsics else ""
        say(f"  values:  {MEANINGS[info.meaning]}{extra}")
        say(f"  memory:  {_memory(info.name)}")
        if info.missing:
            say(f"  missing: {in_words(info.missing, info.remedy, 'cli')}")


def _memory(name: str) -> str:
    from ex4d.depth import get_estimator

    plan = get_estimator(name).memory(576, 1024)
    return f"{plan.text} at 1024x576" if plan.device_bytes else "decided by the tool"


@depth_app.command("estimate")
def estimate(
    video: Video,
    output: Annotated[Path, _needed("--output", "The depth file to write (.npz).", "-o")],
    estimator: Annotated[str | None, _scene("--estimator", "See 'ex4d depth list'.", "-e")] = None,
    settings: Annotated[list[str] | None, _scene("--set", "Estimator setting as name=value; repeat for more.")] = None,
    seed: Annotated[int, _scene("--seed", "Same input and seed: same depth.", **SEEDS)] = 42,
    num_frames: NumFrames = None,
    fov: Annotated[float | None, _lens_option("--fov", "Horizontal field of view in degrees.")] = None,
    focal: Annotated[float | None, _lens_option("--focal", "Focal length in pixels.")] = None,
    focal_mm: Annotated[float | None, _lens_option("--focal_mm", "Focal length in mm; with --sensor_mm.")] = None,
    sensor_mm: Annotated[float | None, _lens_option("--sensor_mm", "Width of the sensor area shown, in mm.")] = None,
    lens_from: Annotated[
        Path | None,
        _lens_option("--lens_from", "A .blend (its active camera), or an image or video whose metadata say the lens."),
    ] = None,
    align: Annotated[bool | None, _step("--align/--no_align", "Per-frame scale and shift. Default: as needed.")] = None,
    steady: Annotated[bool | None, _step("--steady/--no_steady", "Temporal filter. Default: as needed.")] = None,
    sharpen: Annotated[
        bool | None, _step("--sharpen/--no_sharpen", "Make soft depth edges steps. Default: for estimated depth.")
    ] = None,
    edges: Annotated[
        bool,
        _step(
            "--edges/--no_edges",
            "Move depth edges onto the picture's. Mends up to two fifths where they are off by a pixel or two, "
            "spoils up to 1 % where they are right: compare with 'ex4d depth inspect'.",
        ),
    ] = False,
    fill: Annotated[bool, _step("--fill/--no_fill", "Fill pixels without depth.")] = True,
    clamp_far: Annotated[bool, _step("--clamp_far/--no_clamp_far", "Keep the sky in front of the border.")] = True,
    border_depth: Annotated[float, _step("--border_depth", "Depth of the mesh's border.")] = _BORDER,
    near_depth: Annotated[
        float | None, _step("--near_depth", "Depth given to the nearest point, where no unit is known.")
    ] = None,
    unit_scale: Annotated[float, _step("--unit_scale", "Scene units per metre, for metric depth.")] = 1.0,
    parity: Annotated[bool, _step("--parity", "EX-4D's own mapping and no other step.")] = False,
    from_file: Annotated[
        Path | None, _file("--from_file", "Convert this depth (.npz, .npy, folder of PNG or EXR) instead.")
    ] = None,
    kind: Annotated[
        str, _file("--kind", "Its numbers: depth, disparity (1/z), inverted (white is near), ray.")
    ] = "depth",
    scale: Annotated[float | None, _file("--scale", "Factor on its numbers.", "--depth_scale")] = None,
    offset: Annotated[float, _file("--offset", "Added after --scale.")] = 0.0,
    channel: Annotated[
        str | None, _file("--channel", "EXR channel, where several could be meant.", "--depth_channel")
    ] = None,
) -> None:
    """Estimate the depth of VIDEO (or convert a depth file for it) and write it with its lens and licence."""
    from ex4d import depth as d
    from ex4d.depth.convert import EX4D_SCALE

    if from_file is not None and (estimator is not None or settings):
        raise SettingError("--from_file reads finished depth, so --estimator and --set do not apply; drop them.")
    of_file = {"--kind": kind != "depth", "--scale": scale, "--offset": offset, "--channel": channel}
    if from_file is None:
        _refuse_given(of_file, "says what is in a --from_file; give that too, or drop {flag}.")
    if parity:
        steps = {"--align": align is not None, "--steady": steady is not None, "--sharpen": sharpen is not None}
        steps |= {"--edges": edges, "--no_fill": not fill, "--no_clamp_far": not clamp_far}
        steps |= {
            "--border_depth": border_depth != _BORDER,
            "--near_depth": near_depth,
            "--unit_scale": unit_scale != 1,
        }
        _refuse_given(steps, "does not apply to --parity, which takes EX-4D's steps and values; drop one of them.")
    require_frames(num_frames)
    for flag, value in (("--scale", scale), ("--near_depth", near_depth), ("--unit_scale", unit_scale)):
        require_between(value, 1 / FAR, FAR, flag)
    require_between(offset, -FAR, FAR, "--offset")
    require_between(border_depth, 1 / FAR, FAR, "--border_depth")
    convert = d.ConvertOptions(EX4D_SCALE if near_depth is None else near_depth, unit_scale=unit_scale)
    mending = d.EdgeOptions(fill=fill, sharpen=sharpen, align=edges, clamp_far=clamp_far, border_depth=border_depth)
    options = d.DepthOptions(align, steady, convert=convert, edges=mending)
    if parity:
        options = d.DepthOptions.ex4d_parity()
    info = d.get_estimator(estimator or d.DEFAULT_ESTIMATOR).info()
    values = parse_settings(info, settings or [])
    if from_file is None:
        announce(info, values)
    with watched() as watch:
        known = ShotOptions(video, "static", fov=fov, focal=focal, lens_from=lens_from)
        lens = _lens(known, focal_mm, sensor_mm)
        shared: dict[str, Any] = {"lens": lens, "num_frames": num_frames, **watch}
        if from_file is None:
            result = d.estimate_depth(video, estimator=info.name, settings=values, options=options, seed=seed, **shared)
        else:
            # A file's depth is only aligned or steadied on request.
            align, steady = bool(options.align), bool(options.steady)
            options = replace(options, align=align, steady=steady, measure_flicker=steady)
            shared |= {"kind": kind, "scale": scale, "offset": offset, "channel": channel}
            result = d.depth_from_file(from_file, video=video, options=options, **shared)
        d.save_depth(output, result.file, **watch)
    for line in result.report.lines():
        note(line)
    say(str(output))


def _refuse_given(flags: Mapping[str, object], why: str) -> None:
    """Refuse the first flag that was given. Raises SettingError."""
    for flag, given in flags.items():
        if given not in (None, False, 0.0):
            raise SettingError(f"{flag} {why.format(flag=flag)}")


def _lens(options: ShotOptions, focal_mm: float | None, sensor_mm: float | None) -> Lens | None:
    """The lens the flags give, for the video's size, or None. Raises SettingError if they contradict one another."""
    from ex4d.depth import from_lens
    from ex4d.depth.lens_file import frame_size
    from ex4d.lens import Lens
    from ex4d.shots.load import given_lens

    if sum(value is not None for value in (options.fov, options.focal, focal_mm, options.lens_from)) > 1:
        raise SettingError("--fov, --focal, --focal_mm and --lens_from exclude each other; give one of them.")
    if (focal_mm is None) != (sensor_mm is None):
        raise SettingError("--focal_mm and --sensor_mm belong together; give both.")
    require_between(focal_mm, 1 / FAR, FAR, "--focal_mm")
    require_between(sensor_mm, 1 / FAR, FAR, "--sensor_mm")
    if focal_mm is not None and sensor_mm is not None:
        return Lens(from_lens(*frame_size(options.input_video), focal_mm, sensor_mm))
    return given_lens(options)


@depth_app.command("inspect")
def inspect(
    video: Video,
    depth: Annotated[
        Path,
        typer.Argument(
            metavar="DEPTH", help="Its depth: what 'ex4d depth' wrote, or any depth file.", show_default=False
        ),
    ],
    output_dir: Annotated[Path, _needed("--output_dir", "Folder for the pictures.")],
    steady: Annotated[bool, _plain("--steady/--no_steady", "Also show the flicker after the temporal filter.")] = True,
    border_depth: Annotated[float, _plain("--border_depth", "Depth of the mesh's border.")] = _BORDER,
    scale: Annotated[float | None, _plain("--scale", "Factor on the file's numbers.", "--depth_scale")] = None,
    channel: Annotated[
        str | None, _plain("--channel", "EXR channel, where several could be meant.", "--depth_channel")
    ] = None,
    num_frames: NumFrames = None,
) -> None:
    """Write contact_sheet.png, flicker.png and histogram.png for a clip's depth."""
    from ex4d.depth.inspect import inspect_depth

    require_frames(num_frames)
    require_between(scale, 1 / FAR, FAR, "--scale")
    require_between(border_depth, 1 / FAR, FAR, "--border_depth")
    steps: dict[str, Any] = {"with_steady": steady, "border_depth": border_depth, "scale": scale, "channel": channel}
    with watched() as watch:
        result = inspect_depth(video, depth, output_dir, num_frames=num_frames, **steps, **watch)
    for line in result.lines():
        say(line)
