"""Judge how the preview engine fills holes, on scenes whose other views are known, in every way there is.

    python scripts/eval_fill.py OUT                       held-out scenes, orbits of 30 degrees (some minutes)
    python scripts/eval_fill.py OUT --scenes FOLDER       scenes that are there, without Blender
    python scripts/eval_fill.py OUT --perturb drift+blur  with estimated depth's faults

Only the holes of the guides count. Writes OUT/fill.json, OUT/fill.md and OUT/fill.html, a page with pictures. The first
way of filling is what the others are measured against; a scene where one loses more than 0.3 dB is named, and ends the
run with 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from ex4d.eval.dataset import find_scenes, load_scene
from ex4d.eval.fill import Filling, FillScore, fill_scores
from ex4d.eval.fill_report import losses, strips, tables, write_fill_report
from ex4d.eval.perturb import PERTURBATIONS

SEED = 23
"""No seed that anything was tuned on."""
MOVES = ("orbit_right_30", "orbit_left_30")
FRAMES = 7
FILLINGS = (
    Filling("background", {"fill": "background"}),
    Filling("background, known first", {"fill": "background"}, known=True),
    Filling("world", {"fill": "world"}, known=True),
)
MODES = ("endless", "solid")


def main() -> int:
    """Make the scenes, judge, write, print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=SEED, help=f"what the scenes are drawn from (default {SEED})")
    parser.add_argument("--scenes", type=Path, help="judge the scenes of this folder instead of making some")
    parser.add_argument("--only", nargs="+", help="names of scenes; default: all")
    parser.add_argument("--perturb", choices=list(PERTURBATIONS), default="", help="a fault of the depth")
    options = parser.parse_args()
    folder = options.scenes or made_scenes(options.out / "scenes" / str(options.seed), options.seed)
    scores: list[FillScore] = []
    pictures = []
    for path in find_scenes(folder):
        scene, moves = load_scene(path), []
        if options.only and scene.name not in options.only:
            continue
        started = time.monotonic()
        for judged in fill_scores(scene, FILLINGS, MODES, perturbation=options.perturb):
            scores.append(judged.score)
            moves = [m for m in moves if m.target is judged.target] + [judged]
        pictures += strips(moves)
        print(f"{scene.name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    if not scores:
        parser.error(f"{folder} has no scene that is named {' or '.join(options.only or ['anything'])}.")
    title = f"Fills of {folder.name}{f', {options.perturb}' if options.perturb else ''}"
    page = write_fill_report(options.out, title, scores, pictures)
    for heading, table in tables(scores):
        print(f"{heading}\n{table.text()}\n")
    worse = losses(scores)
    for loss in worse:
        print(f"worse: {loss.scene}, {loss.mode}, {loss.filling}: {loss.decibels:.2f} dB")
    print(page)
    return 1 if worse else 0


def made_scenes(folder: Path, seed: int) -> Path:
    """Render what is missing of the scenes; returns their folder."""
    maker = Path(__file__).parent / "make_scenes.py"
    command = [sys.executable, str(maker), str(folder), "--seed", str(seed), "--frames", str(FRAMES), "--moves", *MOVES]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


if __name__ == "__main__":
    sys.exit(main())
