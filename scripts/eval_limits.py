"""How near the solid mesh comes to what its scenes allow, scene by scene.

    python scripts/eval_limits.py OUT                    nine scenes, rendered three times (about fifteen minutes)
    python scripts/eval_limits.py OUT --seed 7           other scenes of the same kinds
    python scripts/eval_limits.py OUT --summary FILE     and the numbers to FILE

Renders each scene's two 90-degree orbits three times: as it is scored (OUT/scenes), with other noise (OUT/twin), and at
twice the size (OUT/large). Writes OUT/limits.json and prints the tables; what the limits are says ex4d.eval.limits.
Finished scenes are not rendered again.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ex4d.eval import LimitScore, find_scenes, load_scene, scene_limits
from ex4d.eval.metrics import known_mean
from ex4d.eval.tables import Table, number, percent

MOVES = ("orbit_right_90", "orbit_left_90")
FRAMES, SIZE, LARGE = 7, 256, 512
LIMITS = ("solid", "best thickness", "nearest pixel", f"solid at {LARGE}", f"best thickness at {LARGE}")
COLOURS = ("solid", "right points", "second render", f"solid at {LARGE}", f"right points at {LARGE}")
METRICS = {"iou": 6, "false_visible_known": 6, "psnr": 3}
"""What is written down, and to how many digits."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=3, help="what the scenes are drawn from (default 3)")
    parser.add_argument("--summary", type=Path, help="also write the numbers to this JSON file")
    args = parser.parse_args()
    scenes = render(args.out / "scenes", args.seed)
    twins = render(args.out / "twin", args.seed, "--noise", "1")
    large = render(args.out / "large", args.seed, "--size", str(LARGE))
    rows: list[LimitScore] = []
    for folder in find_scenes(scenes):
        print(folder.name, file=sys.stderr, flush=True)
        rows += scene_limits(load_scene(folder), load_scene(twins / folder.name))
        rows += [replace(r, limit=f"{r.limit} at {LARGE}") for r in scene_limits(load_scene(large / folder.name))]
    result = as_json(rows, args.seed)
    for path in filter(None, (args.out / "limits.json", args.summary)):
        path.write_text(json.dumps(result, indent=1) + "\n")
    print(table(rows, "iou", LIMITS, (60, 90)), table(rows, "false_visible_known", LIMITS, (60, 90)), sep="\n\n")
    print("\n" + table(rows, "psnr", COLOURS, (30,)))


def render(folder: Path, seed: int, *more: str) -> Path:
    """Make what is missing of the scenes in ``folder``, in a process of its own."""
    maker = Path(__file__).parent / "make_scenes.py"
    command = [sys.executable, str(maker), str(folder), "--seed", str(seed), "--frames", str(FRAMES)]
    subprocess.run([*command, "--size", str(SIZE), *more, "--moves", *MOVES], check=True, stdout=subprocess.DEVNULL)
    return folder


def as_json(rows: Sequence[LimitScore], seed: int) -> dict:
    """Means over the scenes, then every scene: shares with six digits, dB with three, null where there is nothing."""

    def rounded(value: float, digits: int) -> float | None:
        return None if math.isnan(value) else round(value, digits)

    def values(chosen: Sequence[LimitScore]) -> dict[str, float | None]:
        return {m: rounded(known_mean(getattr(r, m) for r in chosen), digits) for m, digits in METRICS.items()}

    def by_angle(chosen: Sequence[LimitScore]) -> dict[str, dict]:
        angles = dict.fromkeys(r.angle_deg for r in chosen)
        return {str(a): values([r for r in chosen if r.angle_deg == a]) for a in angles}

    limits, scenes = dict.fromkeys(r.limit for r in rows), dict.fromkeys(r.scene for r in rows)
    return {
        "format": "ex4d-eval-limits",
        "version": 1,
        "seed": seed,
        "mean": {limit: by_angle([r for r in rows if r.limit == limit]) for limit in limits},
        "by_scene": {
            s: {limit: by_angle([r for r in rows if (r.scene, r.limit) == (s, limit)]) for limit in limits}
            for s in scenes
        },
    }


def table(rows: Sequence[LimitScore], metric: str, limits: Sequence[str], angles: Sequence[int]) -> str:
    """Markdown: a line per scene and one for their mean, a column per angle and limit."""
    cell = {"iou": partial(number, digits=3), "false_visible_known": percent, "psnr": partial(number, digits=1)}[metric]
    columns = [(a, limit) for a in angles for limit in limits]
    lines = []
    for name in (*dict.fromkeys(r.scene for r in rows), "mean"):
        chosen = [r for r in rows if name in (r.scene, "mean")]
        values = [[getattr(r, metric) for r in chosen if (r.angle_deg, r.limit) == column] for column in columns]
        lines.append([name, *(cell(float(np.mean(v)) if v else math.nan) for v in values)])
    return Table(["scene", *(f"{limit}, {a}°" for a, limit in columns)], lines).markdown()


if __name__ == "__main__":
    main()
