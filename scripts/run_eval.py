"""Make the ground-truth scenes and evaluate them, in one command.

    python scripts/run_eval.py OUT                     the full set (about half an hour on two idle cores)
    python scripts/run_eval.py OUT --ablate            and what each choice is worth
    python scripts/run_eval.py OUT --set ci            three tiny scenes (about two minutes)
    python scripts/run_eval.py OUT --seed 7            other scenes of the same kinds
    python scripts/run_eval.py OUT --scenes FOLDER     score scenes that are there, without Blender

Writes OUT/eval.json, OUT/tables.md and OUT/report.html. It may be stopped at any time: scenes in OUT/scenes are kept,
and so are finished scenes' scores in OUT/scores, as long as neither scenes nor code change.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from ex4d.eval import angle_table, default_ablation, evaluate, main_variants, write_evaluation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", choices=["full", "ci"], default="full")
    parser.add_argument("--seed", type=int, default=1, help="what the scenes are drawn from (default 1)")
    parser.add_argument("--scenes", type=Path, help="score the scenes of this folder instead of making some")
    parser.add_argument("--summary", type=Path, help="also write the means alone to this JSON file")
    parser.add_argument("--ablate", action="store_true", help="all variants of the ablation")
    args = parser.parse_args()
    started = time.monotonic()
    scenes = args.scenes or make_scenes(args.out / "scenes", args.set, args.seed)
    made = time.monotonic()
    variants = main_variants() + (default_ablation() if args.ablate else ())
    what = f"scenes of {scenes.name}" if args.scenes else f"{args.set} set, seed {args.seed}"
    evaluation = evaluate(
        scenes, variants, title=f"Guides against ground truth, {what}", with_extras=True, keep=args.out / "scores"
    )
    _, page = write_evaluation(evaluation, args.out)
    if args.summary is not None:
        args.summary.write_text(json.dumps(evaluation.summary_json(), indent=1) + "\n")
    print(angle_table(evaluation.scores).text())
    print(f"scenes {made - started:.0f} s, evaluation {time.monotonic() - made:.0f} s; {page}")


def make_scenes(folder: Path, kind: str, seed: int) -> Path:
    """Render what is missing of one seed's set; returns the folder that holds this set alone."""
    folder = folder / f"{kind}_{seed}"
    maker = Path(__file__).parent / "make_scenes.py"
    # Blender runs in a process of its own: it prints to standard output, and its memory is not needed any more.
    command = [sys.executable, str(maker), str(folder), "--set", kind, "--seed", str(seed)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


if __name__ == "__main__":
    main()
