"""What HD and 4K shots cost on this machine: processor time, memory, scratch disk and wall time of whole commands.

    python benchmarks/hd.py [--baseline PATH] [--sizes 1920x1080x240 ...] [--output benchmarks/results/hd.json]

Runs ``ex4d recon``, ``ex4d coverage`` and ``ex4d preview`` on made-up clips, each in a process of its own once compiled
loops are there. ``--baseline`` is a checkout of another commit, whose commands are run on the same clips in turn. Where
both make a take, ``same_pictures`` says whether their pictures are equal bit by bit. docs/footage.md shows the result.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]
COMMANDS = ("preview", "coverage", "recon")
CHILD = """
import resource, sys
from ex4d.cli.app import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print("USED", used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def write_clip(folder: Path, width: int, height: int, count: int) -> None:
    """A box that moves before a wall, as clip.mp4 and depth.npz, in little memory."""
    from ex4d.clip import video_writer
    from ex4d.frames.archive import write_array_frames

    folder.mkdir(parents=True)
    y, x = np.mgrid[:height, :width]
    with video_writer(folder / "clip.mp4", fps=24) as write:
        for t in range(count):
            write(np.stack([(x + 2 * t) % 256, y % 256, (x + y) % 256], -1).astype(np.uint8))

    def depths() -> Iterator[NDArray[np.float32]]:
        for t in range(count):
            depth = np.full((height, width), 8.0, np.float32)
            left = width // 4 + 2 * t % (width // 2)
            depth[height // 3 : 2 * height // 3, left : left + width // 5] = 4.0
            yield depth

    with zipfile.ZipFile(folder / "depth.npz", "w") as archive:
        write_array_frames(archive, "depth", depths(), shape=(count, height, width), dtype=np.float32)


def run(command: str, clip: Path, out: Path, root: Path) -> dict[str, Any]:
    """One command of the checkout ``root``: CPU seconds, wall seconds, MiB of memory at most, MiB left on disk."""
    paths = [root, root / "protocol", *map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))]
    arguments = ["--input_video", clip / "clip.mp4", "--depth", clip / "depth.npz", "--cam", "orbit_left"]
    rest = ["--rasterizer", "cpu", "--output_dir", out]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, command, *map(str, arguments + rest)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    cpu, peak = done.stderr.rpartition("USED ")[2].split()[:2]
    left = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {
        "cpu_seconds": round(float(cpu), 1),
        "wall_seconds": round(seconds, 1),
        "memory_mib": round(int(peak) / 1024),
        "disk_mib": round(left / 2**20, 1),
    }


def same_pictures(one: Path, other: Path) -> bool:
    """Whether two takes hold the same pixels."""
    import cv2

    names = [sorted(path.name for path in folder.glob("take_001/*.png")) for folder in (one, other)]
    return names[0] == names[1] and all(
        np.array_equal(
            np.asarray(cv2.imread(str(one / "take_001" / name))), np.asarray(cv2.imread(str(other / "take_001" / name)))
        )
        for name in names[0]
    )


def measure(sizes: list[tuple[int, int, int]], roots: dict[str, Path], work: Path) -> Iterator[dict[str, Any]]:
    """Every command of every checkout on every size."""
    write_clip(work / "warm", 96, 64, 4)
    for command in COMMANDS:
        for name, root in roots.items():
            run(command, work / "warm", work / f"warm-{name}-{command}", root)
    for width, height, count in sizes:
        clip = work / f"{width}x{height}x{count}"
        write_clip(clip, width, height, count)
        for command in COMMANDS:
            row: dict[str, Any] = {"command": command, "width": width, "height": height, "frames": count}
            for name, root in roots.items():
                row[name] = run(command, clip, clip / f"{name}-{command}", root)
            if command == "preview" and len(roots) > 1:
                row["same_pictures"] = same_pictures(*(clip / f"{name}-preview" for name in roots))
            yield row


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--baseline", type=Path, help="a checkout of another commit, measured beside this one")
    parser.add_argument("--sizes", nargs="+", default=["1920x1080x240"], help="WIDTHxHEIGHTxFRAMES")
    parser.add_argument("--output", type=Path, help="also write the JSON here")
    parser.add_argument("--work", type=Path, help="folder for clips and results; by default a temporary one")
    given = parser.parse_args()
    roots = {"now": ROOT} | ({} if given.baseline is None else {"baseline": given.baseline.resolve()})
    parts = [tuple(int(n) for n in size.split("x")) for size in given.sizes]
    load, rows = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory(prefix="ex4d-", dir=given.work) as folder:
        for row in measure([(w, h, n) for w, h, n in parts], roots, Path(folder)):
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    text = json.dumps({"cores": os.cpu_count(), "load_before": round(load, 1), "rows": rows}, indent=1)
    print(text)
    if given.output is not None:
        given.output.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
