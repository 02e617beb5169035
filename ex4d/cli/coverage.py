"""``ex4d coverage``: how much of each frame the clip really shows, before any time is spent on generating."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import to_builtins

from ex4d.cli.console import can_write, frame_ranges, say, warn, watched
from ex4d.cli.options import OutputDir, panel
from ex4d.cli.shot import render_shot
from ex4d.progress import check
from ex4d.shots.options import ShotOptions
from ex4d_ground.errors import SettingError
from ex4d_ground.planes import read

if TYPE_CHECKING:
    from ex4d.engines.plane_share import PlaneShares
    from ex4d.guides import OnGuide
    from ex4d.types import Clip
    from ex4d_ground.arrays import Float64
    from ex4d_ground.cameras import Trajectory
    from ex4d_ground.planes import PlaneInfo

_output = panel("Output")


def coverage(
    options: ShotOptions,
    output_dir: OutputDir,
    as_json: Annotated[bool, _output("--json", "Print JSON instead of the table; frames in it count from 0.")] = False,
    low: Annotated[float, _output("--low", "Frames below this share (0..1) are marked as asking for much.")] = 0.4,
    planes: Annotated[
        str, _output("--planes", 'Change the planes, as the preview\'s setting planes does: "remove back wall".')
    ] = "",
) -> None:
    """Show how much of each frame of a camera move the clip really covers, and what of the rest is a plane going on.

    Prints a table (or JSON) and writes coverage_CAM.png, with the guides of a few frames under the curve.

    What is not covered either goes on a floor, a wall or a ceiling that the clip shows (blue), so that a preview and a
    model have something to go by, or can only be invented (grey). Floor and walls are found once for a clip and kept.

    The planes are listed with names, equations (points have normal @ point = distance; x right, y down, z forward) and
    shares of the clip's picture. --planes changes them: "remove PLANE", "smooth PLANE" (its smooth colours alone) or
    "add NX NY NZ DISTANCE", with semicolons between; a plane is a name, or its normal and distance, which may be 10
    degrees and 15 % off. A preview takes the same as --set planes=...

    Examples:

      ex4d coverage --input_video shot.mp4 --depth d.npz --cam 90 --output_dir out

      ex4d coverage --input_video shot.mp4 --depth d.npz --cam orbit_up --output_dir out --json | jq .low_frames

      ex4d coverage --input_video shot.mp4 --depth d.npz --cam 90 --output_dir out --planes "remove ceiling"
    """
    from ex4d.coverage_plot import plot_coverage, shown_frames
    from ex4d.engines.plane_share import PlaneShares
    from ex4d_ground.files import staged_folder

    if not 0 <= low <= 1:
        raise SettingError(f"--low is a share between 0 and 1, got {low:g}.")
    plot_name = f"coverage_{options.cam_name}.png"
    read(planes)  # what is no statement is refused before anything is read
    shares: list[PlaneShares] = []
    with watched() as watch, staged_folder(output_dir) as staging:

        def reckoned(clip: Clip, move: Trajectory) -> OnGuide:
            shares.append(PlaneShares(clip, move, planes=planes, **watch))
            return shares[0].add

        guides = render_shot(options, watch, pictures=shown_frames, watched_by=reckoned).guides
        title = f"Coverage of camera {options.cam_name}"
        plot_coverage(guides, low=low, title=title, planes=shares[0]).savefig(staging / plot_name)
        check(watch.get("cancel"))
    summary = summarise(guides.coverage, shares[0].shares, low=low, cam=options.cam_name)
    summary["planes"] = [to_builtins(plane) for plane in shares[0].planes]
    summary["plot"] = str(output_dir / plot_name)
    if as_json:
        say(json.dumps(summary, indent=2))
        return
    _print_table(summary)
    _print_planes(shares[0].planes)
    low_frames = summary["low_frames"]
    if low_frames:
        which = f"frame{'s' * (len(low_frames) > 1)} {frame_ranges(low_frames)}"
        warn(f"The clip covers less than {100 * low:.0f} % of {which}.")
    say(summary["plot"])


def summarise(values: Float64, on_plane: Float64 | None, *, low: float, cam: str) -> dict[str, Any]:
    """Coverage [N], and the shares [N] that go on a plane where that is known, as a JSON-ready summary."""
    known = on_plane is not None
    return {
        "cam": cam,
        "coverage": [round(float(v), 5) for v in values],
        "on_plane": [round(float(v), 5) for v in on_plane] if known else None,
        "invented": [round(max(float(v), 0.0), 5) for v in 1 - values - on_plane] if known else None,
        "mean": round(float(values.mean()), 5),
        "min": round(float(values.min()), 5),
        "min_frame": int(values.argmin()),
        "low": low,
        "low_frames": [i for i, v in enumerate(values) if v < low],
        "empty_frames": [i for i, v in enumerate(values) if v == 0],
    }


def _print_planes(planes: tuple[PlaneInfo, ...]) -> None:
    for plane in planes:
        how = [f"{100 * plane.share:.0f} % of the picture"]
        how += ["added"] * plane.added + ["smooth colours alone"] * (plane.texture == "smooth")
        say(f"Plane {plane.text}: {', '.join(how)}.")


def _print_table(summary: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, caption=f"Mean {100 * summary['mean']:.1f} %, lowest {100 * summary['min']:.1f} %")
    table.add_column("Frame", justify="right")
    table.add_column("Coverage", justify="right")
    on_plane = summary["on_plane"]
    if on_plane is not None:
        table.add_column("On a plane", justify="right")
        table.add_column("Invented", justify="right")
    table.add_column("", min_width=30)
    block, lighter = "█░" if can_write("█░") else "#-"
    for i, value in enumerate(summary["coverage"]):
        state = "sees nothing" if value == 0 else "asks for much" if value < summary["low"] else ""
        bar, more = block * round(30 * value), []
        if on_plane is not None:
            bar += lighter * (round(30 * (value + on_plane[i])) - len(bar))
            more = [f"{100 * share:.1f} %" for share in (on_plane[i], summary["invented"][i])]
        table.add_row(str(i + 1), f"{100 * value:.1f} %", *more, f"{bar} {state}".strip())
    Console(highlight=False).print(table)
