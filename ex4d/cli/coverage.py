"""``ex4d coverage``: how much of each frame the clip really shows, before any time is spent on generating."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ex4d.cli import options as opt
from ex4d.cli.console import cancel_on_signals, frame_ranges, progress_bars, say, warn
from ex4d.cli.shot import RenderedShot, ShotOptions, render_shot
from ex4d.errors import SettingError

if TYPE_CHECKING:
    import numpy as np

HELP = """Show how much of each frame of a camera move the clip really covers.

Prints a table (or JSON) and writes coverage_CAM.png, with the guides of a few frames under the curve.

Examples:

  ex4d coverage --input_video shot.mp4 --depth d.npz --cam 90 --output_dir out

  ex4d coverage --input_video shot.mp4 --depth d.npz --cam orbit_up --output_dir out --json | jq .low_frames
"""


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("coverage", help=HELP)(coverage)


def coverage(
    input_video: opt.InputVideo,
    cam: opt.Cam,
    output_dir: opt.OutputDir,
    depth: opt.OptionalDepth = None,
    estimator: opt.Estimator = None,
    depth_set: opt.DepthSettings = None,
    save_depth: opt.SaveDepth = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of the table.", rich_help_panel="Output")
    ] = False,
    low: Annotated[
        float,
        typer.Option(
            "--low", help="Frames below this share (0..1) are marked as asking for much.", rich_help_panel="Output"
        ),
    ] = 0.4,
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
    """Render the guides, then show and plot their coverage; the help text is ``HELP``."""
    from ex4d.files import staged_folder

    options = ShotOptions(
        input_video, depth, cam, depth_scale, depth_channel, num_frames, fps, fill_invalid, amount, fov, focal,
        border_depth, parity, mode, thickness, estimator, tuple(depth_set or ()), save_depth, lens_from,
        other_frames, thickness_map, source_camera,
    )  # fmt: skip
    if not 0 <= low <= 1:
        raise SettingError(f"--low is a share between 0 and 1, got {low:g}.")
    options.check()
    plot_name = f"coverage_{options.cam_name}.png"
    with cancel_on_signals() as cancel, staged_folder(output_dir) as staging:
        with progress_bars() as on_progress:
            shot = render_shot(options, on_progress=on_progress, cancel=cancel)
        plot_coverage(shot, low=low, title=f"Coverage of camera {options.cam_name}").savefig(staging / plot_name)
        cancel.check()
    summary = summarise(shot.guides.coverage, low=low, cam=options.cam_name)
    summary["plot"] = str(output_dir / plot_name)
    if as_json:
        say(json.dumps(summary, indent=2))
        return
    _print_table(summary)
    if summary["low_frames"]:
        warn(f"The clip covers less than {100 * low:.0f} % of frames {frame_ranges(summary['low_frames'])}.")
    say(summary["plot"])


def summarise(values: np.ndarray, *, low: float, cam: str) -> dict[str, Any]:
    """Coverage [N] as a JSON-ready summary."""
    return {
        "cam": cam,
        "coverage": [round(float(v), 5) for v in values],
        "mean": round(float(values.mean()), 5),
        "min": round(float(values.min()), 5),
        "min_frame": int(values.argmin()),
        "low": low,
        "low_frames": [i for i, v in enumerate(values) if v < low],
        "empty_frames": [i for i, v in enumerate(values) if v == 0],
    }


def _print_table(summary: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, caption=f"Mean {100 * summary['mean']:.1f} %, lowest {100 * summary['min']:.1f} %")
    table.add_column("Frame", justify="right")
    table.add_column("Coverage", justify="right")
    table.add_column("", min_width=30)
    for i, value in enumerate(summary["coverage"]):
        state = "sees nothing" if value == 0 else "asks for much" if value < summary["low"] else ""
        bar = "█" * round(30 * value)
        table.add_row(str(i), f"{100 * value:.1f} %", f"{bar} {state}".strip())
    Console(highlight=False).print(table)


def plot_coverage(shot: RenderedShot, *, low: float, title: str) -> Any:
    """A matplotlib figure: coverage over the frames, and the guides of six frames spread over the move."""
    import numpy as np
    from matplotlib.figure import Figure

    values = 100 * shot.guides.coverage
    frames = np.arange(len(values))
    figure = Figure(figsize=(10, 5.6), dpi=120, layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=[3, 1.35])
    curve = figure.add_subplot(grid[0])
    curve.plot(frames, values, color="#2563a8", linewidth=2, marker="o", markersize=3)
    curve.fill_between(frames, values, color="#2563a8", alpha=0.15)
    marked = values < 100 * low
    curve.plot(frames[marked], values[marked], "o", color="#c2410c", label=f"below {100 * low:.0f} %")
    curve.axhline(100 * low, color="#c2410c", linewidth=1, linestyle="--")
    if marked.any():
        curve.legend(loc="best", frameon=False)
    curve.set(
        title=title, xlabel="Frame", ylabel="Covered by the clip (%)", ylim=(0, 104), xlim=(-0.5, len(values) - 0.5)
    )
    curve.grid(alpha=0.25)
    shown = np.unique(np.linspace(0, len(values) - 1, 6).round().astype(int))
    row = grid[1].subgridspec(1, len(shown), wspace=0.03)
    for axes, i in zip((figure.add_subplot(cell) for cell in row), shown, strict=True):
        axes.imshow(guide_with_holes(shot, int(i)))
        axes.set_title(f"{i}: {values[i]:.0f} %", fontsize=9)
        axes.set_axis_off()
    return figure


def guide_with_holes(shot: RenderedShot, i: int) -> np.ndarray:  # [H, W, 3] uint8
    """Guide frame ``i`` with its holes in a checker pattern that no footage has."""
    from ex4d.pictures import checkered

    return checkered(shot.guides.colour[i], shot.guides.mask[i])
