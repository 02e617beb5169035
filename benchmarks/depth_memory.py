"""Memory of estimating depth, against the length of the clip: windows, alignment, temporal filter and edge care.

    python benchmarks/depth_memory.py [--frames 60 250 1000] [--output benchmarks/results/depth_memory.json]

Runs DepthCrafter's pipeline with a tiny model and everything that follows it on clips whose frames exist only while
they are looked at, each length in a process of its own, and prints JSON. Per length: the most bytes in arrays (and
other Python objects) since the first frame, and in tensors besides the weights at any denoising step. Both are exact,
and ``passed`` says that a further frame of the clip costs less than a twentieth of the bytes of its depth. Beside them
what the system saw: ``peak_anonymous_mib`` holds modules and weights too and wavers by some tens of MiB;
``peak_rss_mib`` also counts pages of the working files, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "tests" / "golden" / "depthcrafter_tiny"
ALLOWED_GROWTH = 0.05
"""Of one depth frame's bytes, per further frame of the clip: room for a few numbers a frame (scale, shift, flicker)."""


class MovingPicture:
    """A textured picture that pans, made frame by frame."""

    fps = 15.0

    def __init__(self, num_frames: int, side: int):
        self.num_frames, self.height, self.width = num_frames, side, side

    def __iter__(self) -> Iterator[np.ndarray]:
        y, x = np.mgrid[0 : self.height, 0 : self.width]
        for t in range(self.num_frames):
            waves = [np.sin((x + t) / a + y / b + c) for a, b, c in ((3, 7, 0), (5, -4, 1), (9, 11, 2))]
            yield (127 + 40 * np.stack(waves, axis=-1) + 40 * waves[0][..., None] * waves[2][..., None]).astype(
                np.uint8
            )


def run_one(num_frames: int, side: int, window: int, overlap: int, steps: int, model: Path) -> dict[str, Any]:
    """Estimate one clip in this process and return what it took."""
    import torch

    from ex4d.depth import DepthOptions, estimate_depth, store

    torch.set_num_threads(1)
    store.IN_MEMORY_BYTES = 0  # working arrays on disk, as for clips too long to be held
    peaks = {"anonymous": 0, "tensors": 0}

    def look(progress: Any) -> None:
        if not tracemalloc.is_tracing():
            tracemalloc.start()  # from the first frame on: modules and weights are loaded by then
        if progress.done % 8 == 0 or progress.done == progress.total:
            peaks["anonymous"] = max(peaks["anonymous"], anonymous_bytes())
        if progress.stage == "depth: denoise":
            peaks["tensors"] = max(peaks["tensors"], tensor_bytes())

    start = time.perf_counter()
    estimate_depth(
        MovingPicture(num_frames, side),
        estimator="depthcrafter",
        settings={"model_dir": str(model), "device": "cpu", "num_steps": steps, "window": window, "overlap": overlap},
        options=DepthOptions(align=True, steady=True),
        on_progress=look,
    )
    return {
        "frames": num_frames,
        "seconds": round(time.perf_counter() - start, 1),
        "peak_array_bytes": tracemalloc.get_traced_memory()[1],
        "peak_tensor_bytes": peaks["tensors"],
        "peak_anonymous_mib": round(peaks["anonymous"] / 2**20, 1),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, 1),
    }


def anonymous_bytes() -> int:
    """Memory of this process that no file stands behind (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status has no RssAnon; this benchmark needs Linux")


def tensor_bytes() -> int:
    import torch

    alive = [o for o in gc.get_objects() if type(o) is torch.Tensor and not o.requires_grad]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in alive}.values())


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Each length in a fresh process, shortest first."""
    runs = []
    for num_frames in sorted(args.frames):
        command = [
            sys.executable,
            __file__,
            "--one",
            str(num_frames),
            "--side",
            str(args.side),
            "--model",
            str(args.model),
        ]
        command += ["--window", str(args.window), "--overlap", str(args.overlap), "--steps", str(args.steps)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protocol'}"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    settings = {"side": args.side, "window": args.window, "overlap": args.overlap, "steps": args.steps}
    return {**settings, **judged(runs, args.side)}


def judged(runs: list[dict[str, Any]], side: int) -> dict[str, Any]:
    """The runs, shortest first, and what a further frame costs in memory."""
    first, last = runs[0], runs[-1]
    further = max(last["frames"] - first["frames"], 1)
    grown = sum(last[k] - first[k] for k in ("peak_array_bytes", "peak_tensor_bytes"))
    share = grown / further / (side * side * 4)
    return {
        "runs": runs,
        "bytes_per_further_frame": round(grown / further, 1),
        "share_of_a_depth_frame": round(share, 4),
        "passed": share <= ALLOWED_GROWTH,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", nargs="+", type=int, default=[60, 250, 1000], help="lengths of the clips")
    parser.add_argument("--side", type=int, default=64, help="height and width of the frames")
    parser.add_argument("--window", type=int, default=24)
    parser.add_argument("--overlap", type=int, default=6)
    parser.add_argument("--steps", type=int, default=2, help="denoising steps")
    parser.add_argument("--model", type=Path, default=MODEL, help="folder with a model's parts")
    parser.add_argument("--output", type=Path, help="also write the JSON here")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(run_one(args.one, args.side, args.window, args.overlap, args.steps, args.model)))
        return 0
    result = measure(args)
    text = json.dumps(result, indent=2)
    print(text)
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(text + "\n")
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
