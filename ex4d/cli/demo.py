"""``ex4d demo``: the main job on a small clip, without Blender."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ex4d.cli.console import cancel_on_signals, progress_bars, say
from ex4d.cli.shot import RenderedShot, ShotOptions, render_shot
from ex4d.errors import InputError, SettingError

if TYPE_CHECKING:
    from ex4d.types import UInt8

HELP = """Run the whole way on the example clip (or yours): guides, coverage, preview take, contact sheet.

Needs neither Blender nor a GPU nor a model.

Examples:

  ex4d demo

  ex4d demo --clip shot.mp4 --depth shot_depth.npz --cam orbit_up --output_dir out/shot
"""

CLIP_NAME, DEPTH_NAMES = "clip.mp4", ("depth.npz", "depth_exr", "depth")


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("demo", help=HELP)(demo)


def demo(
    clip: Annotated[
        Path | None, typer.Option("--clip", help="A clip of yours instead of the example; needs --depth.")
    ] = None,
    depth: Annotated[Path | None, typer.Option("--depth", help="The depth of --clip.")] = None,
    cam: Annotated[str, typer.Option("--cam", help="Camera preset, or a camera .npz.")] = "orbit_left",
    amount: Annotated[float | None, typer.Option("--amount", help="How far the preset goes.")] = None,
    fov: Annotated[float | None, typer.Option("--fov", help="Horizontal field of view of the clip, degrees.")] = None,
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for the results.")] = Path("out/cli_demo"),
    seed: Annotated[int, typer.Option("--seed", help="Same inputs and seed: same frames.")] = 0,
) -> None:
    """Run each step on the clip, timing it; the help text is ``HELP``."""
    from ex4d.cli.coverage import plot_coverage
    from ex4d.cli.preview import run_engine
    from ex4d.cli.recon import write_guides
    from ex4d.files import staged_folder
    from ex4d.generate import get_engine
    from ex4d.takes import write_take

    if (clip is None) != (depth is None):
        raise SettingError("--clip and --depth belong together; give both, or neither for the example clip.")
    source = (clip, depth) if clip is not None and depth is not None else find_example()
    options = ShotOptions(*source, cam, amount=amount, fov=fov)
    options.check()
    timings: dict[str, float] = {}
    with cancel_on_signals() as cancel, staged_folder(output_dir) as staging:
        with progress_bars() as on_progress:
            with _timed(timings, "clip, mesh and guides"):
                shot = render_shot(options, on_progress=on_progress, cancel=cancel)
            with _timed(timings, "guide videos"):
                write_guides(staging, shot, options.cam_name, on_progress=on_progress, cancel=cancel)
            with _timed(timings, "coverage plot"):
                plot_coverage(shot, low=0.4, title=f"Coverage of camera {options.cam_name}").savefig(
                    staging / f"coverage_{options.cam_name}.png"
                )
            with _timed(timings, "preview engine"):
                engine = get_engine("preview")
                settings = engine.info().validated({})
                take = run_engine(engine, shot, settings=settings, seed=seed, on_progress=on_progress, cancel=cancel)
            with _timed(timings, "contact sheet"):
                _write_sheet(staging / "contact_sheet.png", shot, take.frames)
            with _timed(timings, "take"):  # straight to its place: it takes a free number, the rest is replaced
                folder = write_take(output_dir, take, on_progress=on_progress, cancel=cancel)
        cancel.check()
        written = sorted(p.name for p in staging.iterdir())
    for name, seconds in timings.items():
        say(f"{seconds:6.1f} s  {name}")
    for path in (*(output_dir / name for name in written), folder, folder.with_suffix(".mp4")):
        say(str(path))


def find_example() -> tuple[Path, Path]:
    """Clip and depth of the examples folder, in the source tree or below the current folder. Raises InputError."""
    import ex4d

    folders = [Path(ex4d.__file__).resolve().parents[1] / "examples", Path("examples").resolve()]
    for folder in folders:
        for depth in (folder / name for name in DEPTH_NAMES):
            if (folder / CLIP_NAME).is_file() and depth.exists():
                return folder / CLIP_NAME, depth
    raise InputError(
        f"The example clip is not here (looked for {CLIP_NAME} and its depth in {', '.join(map(str, folders))}); "
        "run this from the source tree, or give --clip and --depth."
    )


@contextmanager
def _timed(timings: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[name] = time.perf_counter() - start


def _write_sheet(path: Path, shot: RenderedShot, frames: UInt8) -> None:
    from ex4d.contact_sheet import contact_sheet
    from ex4d.guides import source_frames

    source = shot.clip.frames[source_frames(shot.trajectory, shot.clip.num_frames)]
    contact_sheet(source, shot.guides.colour, shot.guides.mask, frames, path, title="Preview (no model)")
