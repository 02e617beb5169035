"""Judge the estimate of the filming camera on rooms whose truth is known: every move, true and perturbed depth.

    python scripts/eval_moving.py OUT                          all moves, 49 frames of 512x384 (some minutes)
    python scripts/eval_moving.py OUT --moves orbit whip --seed 7
    python scripts/eval_moving.py OUT --frames 25 --width 256  smaller

Writes OUT/moving.json and OUT/moving.md, a table with every bar, and OUT/MOVE.png, what the camera explains. Ends with
1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ex4d.eval.filmed import Filmed, film
from ex4d.eval.filmed_moves import MOVES
from ex4d.eval.lock_off import locked_off_psnr
from ex4d.eval.perturb import perturbed
from ex4d.eval.source_cameras import camera_errors
from ex4d.solve import Solved, solve_camera
from ex4d.solve.picture import residual_picture

PERTURBATION = "drift+blur"
LARGE = 100.0


@dataclass(frozen=True)
class Bar:
    """What must be reached: largest errors, by the names of CameraErrors."""

    ate_of_depth: float
    ate_of_path: float
    rotation_deg: float
    swim_median: float
    swim_95: float


BARS = {"true": Bar(0.15, 1.0, 0.1, 0.1, 0.4), PERTURBATION: Bar(0.25, 1.5, 0.25, 0.2, 0.7)}
WHIP = Bar(LARGE, LARGE, LARGE, LARGE, 0.5)
FOLLOW = Bar(1.0, LARGE, 0.15, LARGE, LARGE)
FOCAL = 2.0
PSNR, PSNR_ORBIT = 1.5, 2.9
"""dB by which a locked-off view by the estimate may stay behind one by the true poses; the orbit turns 30 degrees."""
CORE_SECONDS = 0.6
"""A frame: 0.3 s on two cores."""
STILL = Bar(0.0, LARGE, 0.0, 0.0, 0.0)


def main() -> int:
    """Judge, write, print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--moves", nargs="+", choices=list(MOVES), default=list(MOVES))
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--height", type=int)
    parser.add_argument("--no_lock_off", action="store_true", help="leave out the pictures of a locked-off camera")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for move in options.moves:
        height = options.height or options.width * 3 // 4
        filmed = film(move, seed=options.seed, width=options.width, height=height, frames=options.frames)
        for case in cases(move):
            rows.append(judged(filmed, case, options))
            print(line(rows[-1]), file=sys.stderr, flush=True)
    settings = {k: v for k, v in vars(options).items() if k in ("seed", "frames", "width")}
    told = [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()} for row in rows]
    (options.out / "moving.json").write_text(json.dumps({"settings": settings, "rows": told}, indent=1) + "\n")
    text = table(rows)
    (options.out / "moving.md").write_text(text)
    print(text)
    return 0 if all(row["met"] for row in rows) else 1


@dataclass(frozen=True)
class Case:
    """What the estimate is given."""

    depth: str
    matte: bool = False
    focal: str = "given"


def cases(move: str) -> list[Case]:
    """Both depths; what is followed with and without a matte; an unknown lens once."""
    both = [Case(depth, matte=move == "follow") for depth in BARS]
    if move == "follow":
        both.append(Case("true"))
    if move not in ("still", "follow"):
        both.append(Case("true", focal="changing" if move == "zoom" else "shared"))
    return both


def judged(filmed: Filmed, case: Case, options: argparse.Namespace) -> dict[str, object]:
    """One row: errors, what was told, and whether the bars are met."""
    clip = filmed.clip
    if case.depth != "true":
        clip = replace(clip, depth=perturbed(clip.depth, case.depth, seed=options.seed))
    lens = filmed.camera.intrinsics
    if case.focal == "shared":  # begun with a focal length that is 30 % too long
        lens = lens * [1.3, 1.3, 1, 1]
    elif case.focal == "changing":
        lens = np.tile(lens[:1], (len(lens), 1))
    matte = (lambda t: filmed.matte[t]) if case.matte else None
    began, used = time.perf_counter(), time.process_time()
    focal = "fixed" if case.focal == "given" else case.focal
    solved = solve_camera(clip, lens=lens, focal=focal, matte=matte)
    seconds = (time.perf_counter() - began) / clip.num_frames
    used = (time.process_time() - used) / clip.num_frames
    errors = camera_errors(filmed, solved.camera, fit_scale=case.depth != "true")
    if case == cases(filmed.name)[-1 if filmed.name == "follow" else 0]:
        residual_picture(clip, solved, options.out / f"{filmed.name}.png")
    given = {"depth": case.depth, "matte": case.matte, "lens": case.focal}
    row: dict[str, object] = {"move": filmed.name, **given, **asdict(errors), **asdict(solved.verdict)}
    row |= {"seconds_a_frame": seconds, "core_seconds_a_frame": used}
    if case.focal == "given" and not options.no_lock_off and not solved.verdict.failure:
        row |= locked_off_psnr(filmed, clip, solved.camera)
    return row | {"met": met(row, solved, case)}


def met(row: dict[str, object], solved: Solved, case: Case) -> bool:
    """Whether the bars of this row are reached."""
    if float(row["core_seconds_a_frame"]) > CORE_SECONDS:  # type: ignore[arg-type]
        return False
    if case.focal != "given":
        return not solved.verdict.focal_known or float(row["focal"]) <= FOCAL  # type: ignore[arg-type]
    move = row["move"]
    if move == "follow" and not case.matte:
        return bool(solved.verdict.failure)
    bar = {"whip": WHIP, "follow": FOLLOW, "still": STILL}.get(str(move), BARS[case.depth])
    limits = asdict(bar)
    if not math.isnan(float(row["ate_of_path"])):  # type: ignore[arg-type]
        limits.pop("ate_of_depth" if move not in ("follow", "still") else "ate_of_path")
    if "psnr_true" in row:
        behind = float(row["psnr_true"]) - float(row["psnr_estimated"])  # type: ignore[arg-type]
        if behind > (PSNR_ORBIT if move == "orbit" else PSNR):
            return False
    return not solved.verdict.failure and all(
        math.isnan(float(row[name])) or float(row[name]) <= most  # type: ignore[arg-type]
        for name, most in limits.items()
    )


HEAD = (
    "move",
    "depth",
    "lens",
    "ATE % of depth (of path)",
    "rotation, deg",
    "swim median / 95 %, % of width",
    "focal, %",
    "locked-off PSNR: still / estimated / true poses",
    "core s a frame",
    "bar",
)


def cell(row: dict[str, object]) -> list[str]:
    """A row of the table."""
    number = {name: float(value) for name, value in row.items() if isinstance(value, float)}
    path = "" if math.isnan(number["ate_of_path"]) else f" ({number['ate_of_path']:.2f})"
    focal = "-" if row["lens"] == "given" or not row["focal_known"] else f"{number['focal']:.1f}"
    psnr = f"{number['psnr_still']:.1f} / {number['psnr_estimated']:.1f} / {number['psnr_true']:.1f}" \
        if "psnr_true" in number else "-"  # fmt: skip
    depth = f"{row['depth']}, matte" if row["matte"] else str(row["depth"])
    lens = str(row["lens"]) + ("" if row["focal_known"] else ", says unknown")
    shown = [f"{number['ate_of_depth']:.2f}{path}", f"{number['rotation_deg']:.3f}",
             f"{number['swim_median']:.2f} / {number['swim_95']:.2f}"]  # fmt: skip
    if row["failure"]:
        shown = ["says that it failed", "-", "-"]
    return [str(row["move"]), depth, lens, *shown, focal, psnr, f"{number['core_seconds_a_frame']:.2f}",
            "met" if row["met"] else "MISSED"]  # fmt: skip


def line(row: dict[str, object]) -> str:
    """The same for the log."""
    return "  ".join(cell(row))


def table(rows: list[dict[str, object]]) -> str:
    """Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *map(cell, rows)]
    return "\n".join("| " + " | ".join(each) + " |" for each in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
