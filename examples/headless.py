"""The whole way through, in a Blender without a window: clip and depth in, a new camera move's take out.

    python examples/headless.py CLIP DEPTH PRESET OUTDIR [--fov DEG] [--frames N] [--engine preview] [--seed N]

Uses the add-on's public operators only. Starts a backend of its own and stops it at the end. Leaves in OUTDIR:
``demo.blend`` (mesh, keyframed camera and take, with relative paths), ``demo_ex4d/`` (mesh cache, footage, guides),
``take_001/`` (PNG sequence) and ``summary.json`` (paths and seconds per step). Needs the ``bpy`` module.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WRITTEN = ("demo.blend", "demo_ex4d", "take_001", "summary.json")


def main() -> int:
    """Run and return the exit code."""
    options = parse()
    out = options.outdir.absolute()
    out.mkdir(parents=True, exist_ok=True)
    clear(out)
    started = time.perf_counter()
    seconds: dict[str, float] = {}
    try:
        with step("start Blender", seconds):
            bpy = start_blender(out)
        take = run(bpy, options, out, seconds)
    except RuntimeError as error:  # what an operator reports comes as this
        print(f"{error}".removeprefix("Error: ").strip(), file=sys.stderr)
        return 1
    seconds["total"] = round(time.perf_counter() - started, 3)
    write_summary(bpy, options, out, take, seconds)
    print(f"\nScene:  {out / 'demo.blend'}\nTake:   {take}\nTotal:  {seconds['total']:.1f} s")
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
    parser.add_argument("--amount", type=float, default=0.0, help="strength of the move; 0 means as named")
    parser.add_argument("--engine", default="preview")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--settings", default="{}", help="the engine's settings as JSON")
    parser.add_argument("--address", default="", help="a running backend; otherwise one is started")
    return parser.parse_args()


def start_blender(out: Path) -> Any:
    """Load Blender with an empty scene saved in ``out`` and the add-on enabled."""
    import bpy

    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("EX4D_BACKEND_COMMAND", shlex.join([sys.executable, "-m", "ex4d_backend"]))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.filepaths.save_version = 0
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "demo.blend"))
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
                standard_view=True,
            ),
        ),
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


def write_summary(bpy: Any, options: argparse.Namespace, out: Path, take: Path, seconds: dict[str, float]) -> None:
    """``summary.json``: where things are and how long each step took."""
    shot = bpy.context.scene.ex4d.shot
    folder = Path(bpy.path.abspath(shot.ex4d.folder))
    summary = {
        "blend": str(out / "demo.blend"),
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
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def clear(out: Path) -> None:
    """Remove what an earlier run wrote, and nothing else."""
    for name in WRITTEN:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Blender's own destructors can wait forever at interpreter exit; everything is written and the backend has stopped.
    os._exit(code)
