"""How long a shot takes and what it needs of memory and disk on this machine.

    python benchmarks/footage_costs.py [--output benchmarks/results/footage_costs.json]

Runs ``ex4d recon`` (guides) and ``ex4d preview`` on made-up clips of usual sizes, each in a process of its own, once
compiled loops are there, and reports seconds, the process's largest memory and the size of what is left on disk.
docs/footage.md shows them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]
COMMANDS = ("recon", "preview")
SIZES = ((512, 512, 49), (1280, 720, 49), (1920, 1080, 24))


def write_clip(folder: Path, width: int, height: int, count: int) -> tuple[Path, Path]:
    """A box that moves before a wall, as MP4 and .npz."""
    from ex4d.clip import write_video

    y, x = np.mgrid[:height, :width]
    frames, depth = np.empty((count, height, width, 3), np.uint8), np.full((count, height, width), 8.0, np.float32)
    for t in range(count):
        frames[t] = np.stack([(x + 2 * t) % 256, y % 256, (x + y) % 256], -1)
        left = width // 4 + 2 * t
        depth[t, height // 3 : 2 * height // 3, left : left + width // 5] = 4.0
    write_video(folder / "clip.mp4", frames, fps=24)
    np.savez(folder / "depth.npz", depth=depth)
    return folder / "clip.mp4", folder / "depth.npz"


def run(command: str, clip: tuple[Path, Path], out: Path) -> dict[str, Any]:
    """One command on the clip: seconds, MiB of memory at most, MiB left on disk."""
    paths = os.pathsep.join(str(path) for path in (ROOT, ROOT / "protocol"))
    arguments = ["--input_video", clip[0], "--depth", clip[1], "--cam", "orbit_left", "--rasterizer", "cpu"]
    child = (
        "import resource, sys; from ex4d.cli.app import main; code = main(sys.argv[1:]);"
        "print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
    )
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", child, command, *map(str, arguments), "--output_dir", str(out)],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    peak = int(done.stderr.rpartition("PEAK ")[2].split()[0])
    left = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {"seconds": round(seconds, 1), "memory_mib": round(peak / 1024), "disk_mib": round(left / 2**20, 1)}


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="also write the JSON here")
    given = parser.parse_args()
    load = os.getloadavg()[0]  # other work beside this makes it slower
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="ex4d-") as folder:
        warm = Path(folder) / "warm"
        warm.mkdir()
        clip = write_clip(warm, 96, 64, 4)
        for command in COMMANDS:
            run(command, clip, warm / command)  # compiled loops and the disk's cache are there from now on
        for width, height, frames in SIZES:
            place = Path(folder) / f"{width}x{height}"
            place.mkdir()
            clip = write_clip(place, width, height, frames)
            for command in COMMANDS:
                measured = run(command, clip, place / command)
                rows.append({"command": command, "width": width, "height": height, "frames": frames, **measured})
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    text = json.dumps({"cores": len(os.sched_getaffinity(0)), "load_before": load, "rows": rows}, indent=1)
    print(text)
    if given.output is not None:
        given.output.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
