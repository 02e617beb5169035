"""Make the ground-truth scenes and evaluate them, in one command.

    python scripts/run_eval.py OUT               the full set with the ablation (about an hour on two cores)
    python scripts/run_eval.py OUT --set ci      three tiny scenes, two variants (about two minutes)

Scenes already in OUT/scenes are kept; OUT/report.html and OUT/eval.json are made anew.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from ex4d.eval import Variant, angle_table, default_ablation, evaluate, write_evaluation
from ex4d.types import MeshOptions

QUICK = (Variant("endless"), Variant("published (parity)", MeshOptions.ex4d_parity()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", choices=["full", "ci"], default="full")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="two variants instead of the ablation")
    args = parser.parse_args()
    scenes = args.out / "scenes"
    maker = Path(__file__).parent / "make_scenes.py"
    started = time.monotonic()
    # Blender runs in a process of its own: it prints to standard output, and its memory is not needed any more.
    command = [sys.executable, str(maker), str(scenes), "--set", args.set, "--seed", str(args.seed)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rendered = time.monotonic()
    variants = QUICK if args.quick or args.set == "ci" else default_ablation()
    evaluation = evaluate(scenes, variants, title=f"Guides against ground truth, {args.set} set, seed {args.seed}")
    _, page = write_evaluation(evaluation, args.out)
    print(angle_table(evaluation.scores))
    print(f"scenes {rendered - started:.0f} s, evaluation {time.monotonic() - rendered:.0f} s; {page}")


if __name__ == "__main__":
    main()
