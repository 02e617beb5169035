"""The main job on the example clip: a real headless Blender, a real backend process, a finished take.

    python examples/demo.py [--output out/demo] [--preset 30] [--clip V --depth D --fov DEG] [--frames N]

Runs ``headless.py`` (the add-on's public operators) in a process of its own, then makes ``take_001.mp4`` and
``contact_sheet.png`` from what it left, and prints where everything is and how long each step took. What is in
the folder already stays: each run's results get the next free names.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ex4d.clip import read_video, write_video
from ex4d.contact_sheet import contact_sheet
from ex4d.trajectory import PRESETS
from ex4d_ground.errors import Ex4dError
from ex4d_ground.files import free_path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run and return the exit code."""
    options = parse()
    out: Path = options.output.absolute()
    facts = free_path(out / "summary.json")
    code = subprocess.run(headless_command(options, out, facts), check=False).returncode
    if code:
        return code
    summary = json.loads(facts.read_text(encoding="utf-8"))
    summary["clip"] = str(options.clip)
    seconds: dict[str, float] = summary["seconds"]
    try:
        with step("take as a video", seconds):
            video = write_take_video(summary)
        with step("contact sheet", seconds):
            sheet = write_contact_sheet(summary, free_path(out / "contact_sheet.png"))
    except Ex4dError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print_results(summary, video, sheet)
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder for the results")
    parser.add_argument("--preset", default="30", choices=sorted(PRESETS), metavar="NAME", help="camera move")
    parser.add_argument("--clip", type=Path, default=HERE / "clip.mp4", help="a video of yours instead of the example")
    parser.add_argument("--depth", type=Path, default=HERE / "depth.npz", help="its depth")
    parser.add_argument("--fov", type=float, default=0.0, help="its horizontal field of view in degrees")
    parser.add_argument("--scale", type=float, default=1.0, help="length of one step of the depth, e.g. 0.001")
    parser.add_argument("--fill", action="store_true", help="fill depth that is none from its neighbours")
    parser.add_argument("--frames", type=int, default=0, help="use the first N frames; 0 uses all")
    return parser.parse_args()


def headless_command(options: argparse.Namespace, out: Path, facts: Path) -> list[str]:
    """The Blender half, in a process of its own because Blender's module owns the process it is loaded in."""
    script = [sys.executable, str(HERE / "headless.py")]
    paths = [str(options.clip), str(options.depth), options.preset, str(out)]
    given = ["--fov", options.fov, "--frames", options.frames, "--scale", options.scale, "--summary", facts]
    return [*script, *paths, *map(str, given), *(["--fill"] if options.fill else [])]


def write_take_video(summary: dict) -> Path:
    """``take_001.mp4`` beside the take's PNG sequence."""
    take = Path(summary["take"])
    frames, _ = read_video(take)
    path = take.with_suffix(".mp4")
    metadata = {"engine": summary["engine"], "comment": f"engine={summary['engine']}"}
    write_video(path, frames, fps=summary["fps"], metadata=metadata)
    return path


def write_contact_sheet(summary: dict, path: Path) -> Path:
    """Source, guide, mask and result side by side."""
    source, guide, masks, result = (
        read_video(Path(summary[name]))[0] for name in ("footage", "guide_colour", "guide_mask", "take")
    )
    title = f"{summary['preset']} on {Path(summary['clip']).name}, engine: {summary['engine']}"
    contact_sheet(source, guide, masks[..., 0] > 127, result, path, title=title)
    return path


@contextmanager
def step(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """Time one step and print it as headless.py does."""
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 3)
    print(f"{name:<14} {seconds[name]:7.2f} s", flush=True)


def print_results(summary: dict, video: Path, sheet: Path) -> None:
    """Where everything is."""
    coverage = summary["coverage"]
    values = coverage["coverage"] if isinstance(coverage, dict) else coverage
    print(
        f"\nBlender scene  {summary['blend']}\n"
        f"Take, frames   {summary['take']}\n"
        f"Take, video    {video}\n"
        f"Contact sheet  {sheet}\n"
        f"Coverage       {min(values):.0%} at worst, {float(np.mean(values)):.0%} on average"
    )


if __name__ == "__main__":
    sys.exit(main())
