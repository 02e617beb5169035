"""The whole way through, in a Blender without a window: clip and depth in, a new camera move's take out.

    python examples/headless.py CLIP DEPTH PRESET OUTDIR [--fov DEG] [--frames N] [--engine preview] [--seed N]

Uses the add-on's public operators only. Starts a backend of its own and stops it at the end. Leaves in OUTDIR:
``demo.blend`` (mesh, keyframed camera and take, with relative paths), ``demo_ex4d/`` (mesh cache, footage, guides),
``take_001/`` (PNG sequence) and ``summary.json`` (paths and seconds per step). What is there already stays: a later run
writes ``demo_002.blend``, ``take_002/`` and so on. Needs the ``bpy`` module.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ex4d_ground.files import free_path
from ex4d_ground.sequences import is_named

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run and return the exit code."""
    options = parse()
    wrong = check_inputs(options)
    if wrong:
        print(wrong, file=sys.stderr)
        return 2
    out = options.outdir.absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"Cannot write to {out}: {error.strerror}; choose another folder.", file=sys.stderr)
        return 3
    blend = free_scene(out)
    summary = options.summary or free_path(out / "summary.json")
    started = time.perf_counter()
    seconds: dict[str, float] = {}
    try:
        with step("start Blender", seconds):
            bpy = start_blender(blend)
        take = run(bpy, options, out, seconds)
    except RuntimeError as error:  # what an operator reports comes as this
        print(f"{error}".removeprefix("Error: ").strip(), file=sys.stderr)
        return 1
    seconds["total"] = round(time.perf_counter() - started, 3)
    write_summary(bpy, options, blend, take, seconds, summary)
    print(f"\nScene:  {blend}\nTake:   {take}\nFacts:  {summary}\nTotal:  {seconds['total']:.1f} s")
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path, help="a video file or a folder of PNG frames")
    parser.add_argument("depth", type=Path, help=".npz, .npy, or a folder of 16-bit PNG or EXR frames")
    parser.add_argument("preset", help="a camera move the backend offers, such as 30 or zoom_in")
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--fov", type=float, default=0.0, help="horizontal field of view in degrees")
    parser.add_argument("--focal", type=float, default=0.0, help="focal length in pixels")
    parser.add_argument("--frames", type=int, default=0, help="use the first N frames; 0 uses all")
    parser.add_argument("--scale", type=float, default=1.0, help="length of one step of the depth, e.g. 0.001")
    parser.add_argument("--fill", action="store_true", help="fill depth that is none from its neighbours")
    parser.add_argument("--amount", type=float, default=0.0, help="strength of the move; 0 means as named")
    parser.add_argument(
        "--occluders", choices=["solid", "endless"], default="solid", help="what is behind things; endless as published"
    )
    parser.add_argument("--engine", default="preview")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--settings", default="{}", help="the engine's settings as JSON")
    parser.add_argument("--address", default="", help="a running backend; otherwise one is started")
    parser.add_argument("--summary", type=Path, help="where the summary goes; default: the next free one in OUTDIR")
    return parser.parse_args()


def check_inputs(options: argparse.Namespace) -> str:
    """What is wrong with the command line, in a sentence, before anything is made; "" if nothing is."""
    for what, path in (("video", options.clip), ("depth", options.depth)):
        if not is_named(path):
            return f"There is no {what} at {path}; check its path."
    if options.outdir.exists() and not options.outdir.is_dir():
        return f"{options.outdir} is a file; name a folder for the results."
    try:
        if not isinstance(json.loads(options.settings), dict):
            return f'--settings is a JSON object such as {{"steps": 25}}, got {options.settings!r}.'
    except ValueError as error:
        return f"--settings is no JSON: {error}."
    if not (math.isfinite(options.scale) and options.scale > 0):
        return f"--scale must be a positive number, got {options.scale}."
    return ""


def free_scene(out: Path) -> Path:
    """The next free name of a scene whose folder of files is free, too."""
    blend = free_path(out / "demo.blend")
    number = 1
    while blend.exists() or blend.with_name(f"{blend.stem}_ex4d").exists():
        number += 1
        blend = out / f"demo_{number:03d}.blend"
    return blend


def start_blender(blend: Path) -> Any:
    """Load Blender with an empty scene saved as ``blend`` and the add-on enabled."""
    import bpy

    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("EX4D_BACKEND_COMMAND", shlex.join([sys.executable, "-m", "ex4d_backend"]))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.filepaths.save_version = 0
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    bpy.ops.preferences.addon_enable(module="blender_addon")
    return bpy


def run(bpy: Any, options: argparse.Namespace, out: Path, seconds: dict[str, float]) -> Path:
    """All steps through the public operators; returns the take's folder."""
    operators = bpy.ops.ex4d
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("start backend", lambda: operators.connect(address=options.address)),
        (
            "import clip",
            lambda: operators.import_clip(
                video_path=str(options.clip.absolute()),
                depth_path=str(options.depth.absolute()),
                fov_deg=options.fov,
                focal_px=options.focal,
                num_frames=options.frames,
                depth_scale=options.scale,
                fill_invalid=options.fill,
                standard_view=True,
            ),
        ),
        ("occluders", lambda: setattr(bpy.context.scene.ex4d.shot.ex4d, "occluders", options.occluders.upper())),
        ("camera move", lambda: operators.add_camera_move(preset=options.preset, amount=options.amount)),
        ("render guides", lambda: operators.render_guides()),
        (
            "generate",
            lambda: operators.generate(
                engine=options.engine, seed=options.seed, settings=options.settings, folder=str(out)
            ),
        ),
        ("save", lambda: bpy.ops.wm.save_mainfile()),
    ]
    try:
        for name, work in steps:
            with step(name, seconds):
                work()
    finally:
        operators.disconnect()
    return Path(bpy.path.abspath(bpy.context.scene.ex4d.takes[-1].folder))


@contextmanager
def step(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """Time one step and print it."""
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 3)
    print(f"{name:<14} {seconds[name]:7.2f} s", flush=True)


def write_summary(
    bpy: Any, options: argparse.Namespace, blend: Path, take: Path, seconds: dict[str, float], path: Path
) -> None:
    """``summary.json``: where things are and how long each step took."""
    shot = bpy.context.scene.ex4d.shot
    folder = Path(bpy.path.abspath(shot.ex4d.folder))
    summary = {
        "blend": str(blend),
        "take": str(take),
        "shot": str(folder),
        "footage": str(folder / "colour"),
        "guide_colour": str(folder / "guides" / "colour"),
        "guide_mask": str(folder / "guides" / "mask"),
        "coverage": json.loads((folder / "guides" / "coverage.json").read_text(encoding="utf-8")),
        "engine": options.engine,
        "preset": options.preset,
        "seed": options.seed,
        "num_frames": shot.ex4d.num_frames,
        "width": shot.ex4d.width,
        "height": shot.ex4d.height,
        "fps": shot.ex4d.fps,
        "blender": bpy.app.version_string,
        "seconds": seconds,
    }
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Blender's own destructors can wait forever at interpreter exit; everything is written and the backend has stopped.
    os._exit(code)
