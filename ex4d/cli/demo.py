"""``ex4d demo``: the main job on a small clip, without Blender."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from ex4d.cli.console import say, watched
from ex4d.cli.options import Seed, panel
from ex4d.cli.shot import render_shot
from ex4d.progress import check
from ex4d.shots.options import Rasterizer, ShotOptions
from ex4d_ground.errors import InputError, SettingError

CLIP_NAME, DEPTH_NAMES = "clip.mp4", ("depth.npz", "depth_exr", "depth")

_option = panel(None)


def demo(
    clip: Annotated[Path | None, _option("--clip", "A clip of yours instead of the example; needs --depth.")] = None,
    depth: Annotated[Path | None, _option("--depth", "The depth of --clip.")] = None,
    cam: Annotated[str, _option("--cam", "Camera preset, or a camera .npz.")] = "orbit_left",
    amount: Annotated[float | None, _option("--amount", "How far the preset goes.")] = None,
    fov: Annotated[float | None, _option("--fov", "Horizontal field of view of the clip, degrees.")] = None,
    rasterizer: Annotated[
        Rasterizer, _option("--rasterizer", "What draws the guides: auto, cpu, triton or nvdiffrast.", metavar="NAME")
    ] = "auto",
    output_dir: Annotated[Path, _option("--output_dir", "Folder for the results.")] = Path("out/cli_demo"),
    seed: Seed = 0,
) -> None:
    """Run the whole way on the example clip (or yours): guides, coverage, preview take, contact sheet.

    Needs neither Blender nor a GPU nor a model.

    Examples:

      ex4d demo

      ex4d demo --clip shot.mp4 --depth shot_depth.npz --cam orbit_up --output_dir out/shot
    """
    from ex4d.contact_sheet import contact_sheet
    from ex4d.coverage_plot import plot_coverage
    from ex4d.engines import get_engine
    from ex4d.engines.guide_videos import write_guides
    from ex4d.frames import PickedFrames
    from ex4d.guides import source_frames
    from ex4d.shots.take import run_engine
    from ex4d.takes import save_take
    from ex4d_ground.files import staged_folder

    if (clip is None) != (depth is None):
        raise SettingError("--clip and --depth belong together; give both, or neither for the example clip.")
    source = (clip, depth) if clip is not None and depth is not None else find_example()
    options = ShotOptions(source[0], cam, source[1], amount=amount, fov=fov, rasterizer=rasterizer)
    options.check()
    name = options.cam_name
    engine = get_engine("preview")
    chosen = engine.info().validated({})
    timings: dict[str, float] = {}
    with watched() as watch, staged_folder(output_dir) as staging:
        with _timed(timings, "clip, mesh and guides"):
            shot = render_shot(options, watch, settings=chosen, takes=True)
            seen = shot.guides
        with _timed(timings, "guide videos"):
            write_guides(staging, seen, name, fps=shot.clip.fps, **watch)
        with _timed(timings, "coverage plot"):
            plot_coverage(seen, title=f"Coverage of camera {name}").savefig(staging / f"coverage_{name}.png")
        with _timed(timings, "preview engine"):
            take = run_engine(engine, shot, settings=chosen, seed=seed, **watch)
        with _timed(timings, "contact sheet"):
            frames = PickedFrames(shot.clip.frames, source_frames(shot.trajectory, shot.clip.num_frames).tolist())
            sheet = staging / "contact_sheet.png"
            contact_sheet(frames, seen.colour, seen.mask, take.frames, sheet, title="Preview (no model)")
        with _timed(timings, "take"):  # straight to its place: it takes a free number, the rest is replaced
            folder = save_take(output_dir, take, **watch)
        check(watch.get("cancel"))
        written = sorted(path.name for path in staging.iterdir())
    for step, seconds in timings.items():
        say(f"{seconds:6.1f} s  {step}")
    for path in (*(output_dir / file for file in written), folder, folder.with_suffix(".mp4")):
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
