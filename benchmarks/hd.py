"""What HD and 4K shots cost on this machine: processor time, memory, disk and wall time of whole commands.

    python benchmarks/hd.py [--baseline PATH] [--rows preview filled coverage recon still length 4k first]
                            [--frames 240] [--kernels FOLDER]
                            [--output benchmarks/results/hd.json]

Runs commands on made-up clips (a box that moves before a wall, seen from a camera that goes round it), each in a
process of its own once compiled loops are there:

- ``preview``, ``coverage``, ``recon`` (guides): 1920x1080, ``--frames`` frames.
- ``filled``: ``preview`` whose holes are filled without what the clip shows there (``known_first=no``); in a baseline
  it is the same as ``preview``.
- ``still``: ``preview`` of such a clip whose wall stands still, too: of a filming camera that does not move, whose
  holes are filled with the place itself.
- ``length``: preview takes of ``--frames`` and of 1,000 frames at 960x540, a quarter of the pixels: whether memory
  grows with the clip shows at that size, too. Not run with the baseline.
- ``4k``: a preview take of 100 frames of 3840x2160. Not run with the baseline.
- ``first``: the first picture after an install, as ``benchmarks/first_use.py`` measures it on the example clip, with
  the kernels of ``--kernels`` (``scripts/compile_kernels.py FOLDER``) where they are given.

Before the first row half of the free memory is written to once, by a process of its own: a virtual machine's host gives
memory out at its first use, which would be charged to whichever command comes first.

``--baseline`` is a checkout of another commit, whose commands are run on the same clips in turn. Where both make a
take, ``psnr_to_baseline`` says how far their pictures are apart. JSON is written after every row. The ``4k``
row needs 16 GB of disk. docs/footage.md shows the result.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
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
sys.path[:0] = [str(ROOT), str(ROOT / "protocol"), str(ROOT / "benchmarks")]
from first_use import measured  # noqa: E402 - from its own folder

COMMANDS = ("preview", "filled", "coverage", "recon")
ROWS = (*COMMANDS, "still", "length", "4k", "first")
LONG, LARGE = (960, 540, 1000), (3840, 2160, 100)
CHILD = """
import resource, sys
from ex4d.cli.app import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print("USED", used.ru_utime, used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
TOUCH = """
import mmap, os
size = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
with mmap.mmap(-1, size) as memory:
    for at in range(0, size, mmap.PAGESIZE):
        memory[at] = 1
"""


def write_clip(folder: Path, width: int, height: int, count: int, *, wall_moves: bool = True) -> None:
    """A box that moves before a wall, as clip.mp4 and depth.npz, in little memory. The wall's picture slides, too."""
    from ex4d.clip import video_writer
    from ex4d.frames.archive import write_array_frames

    folder.mkdir(parents=True)
    y, x = np.mgrid[:height, :width]
    with video_writer(folder / "clip.mp4", fps=24) as write:
        for t in range(count):
            picture = np.stack([(x + 2 * t * wall_moves) % 256, y % 256, (x + y) % 256], -1).astype(np.uint8)
            if not wall_moves:
                picture[box(width, height, t)] //= 2
            write(picture)

    def depths() -> Iterator[NDArray[np.float32]]:
        for t in range(count):
            depth = np.full((height, width), 8.0, np.float32)
            depth[box(width, height, t)] = 4.0
            yield depth

    with zipfile.ZipFile(folder / "depth.npz", "w") as archive:
        write_array_frames(archive, "depth", depths(), shape=(count, height, width), dtype=np.float32)


def box(width: int, height: int, t: int) -> tuple[slice, slice]:
    """Where the box is in frame ``t``: rows and columns."""
    left = width // 4 + 2 * t % (width // 2)
    return slice(height // 3, 2 * height // 3), slice(left, left + width // 5)


def run(command: str, clip: Path, out: Path, root: Path) -> dict[str, Any]:
    """One command of the checkout ``root``: CPU seconds and those of the system among them, wall seconds, MiB of memory
    at most, MiB left on disk.
    """
    paths = [root, root / "protocol", *map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))]
    arguments = ["--input_video", clip / "clip.mp4", "--depth", clip / "depth.npz", "--cam", "orbit_left"]
    rest = ["--rasterizer", "cpu", "--output_dir", out]
    if command in ("filled", "still"):
        if command == "filled" and root == ROOT:  # checkouts of before have neither the setting nor what it leaves out
            rest += ["--set", "known_first=no"]
        command = "preview"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its modules compiled
    os.sync()  # or the system writes the clip itself while the command is measured
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, command, *map(str, arguments + rest)],
        env=env, cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    user, system, peak = map(float, done.stderr.rpartition("USED ")[2].split()[:3])
    left = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {
        "cpu_seconds": round(user + system, 1),
        "system_seconds": round(system, 1),
        "wall_seconds": round(seconds, 1),
        "memory_mib": round(peak / 1024),
        "disk_mib": round(left / 2**20, 1),
    }


def first_use(roots: dict[str, Path], kernels: Path | None) -> dict[str, Any]:
    """The first picture after an install, of every checkout; kernels that come along belong to this one."""
    out: dict[str, Any] = {"command": "first"}
    for name, root in roots.items():
        out[name] = measured(root, kernels if name == "now" else None)["first"]
    return out


def psnr_between(one: Path, other: Path) -> float:
    """PSNR of two takes' pictures, every eighth of them; infinite where they are the same."""
    import cv2

    names = sorted(path.name for path in one.glob("take_001/*.png"))[::8]
    errors = []
    for name in names:
        a, b = (np.asarray(cv2.imread(str(folder / "take_001" / name)), np.float64) for folder in (one, other))
        errors.append(((a - b) ** 2).mean())
    mean = float(np.mean(errors))
    return round(10 * float(np.log10(255**2 / mean)), 1) if mean else float("inf")


def measure(
    chosen: list[str], count: int, roots: dict[str, Path], work: Path, kernels: Path | None
) -> Iterator[dict[str, Any]]:
    """The chosen rows, one after the other; a clip is written when it is needed and removed after its last use."""
    if "first" in chosen:
        yield first_use(roots, kernels)
    if chosen == ["first"]:
        return
    write_clip(work / "warm", 96, 64, 4)
    for command in COMMANDS:
        for name, root in roots.items():
            run(command, work / "warm", work / f"warm-{name}-{command}", root)
    alone = {"now": roots["now"]}
    commands = [name for name in chosen if name in COMMANDS]
    if commands:
        yield from commands_on(commands, (1920, 1080, count), roots, work / "hd")
    if "still" in chosen:
        yield from commands_on(["still"], (1920, 1080, count), roots, work / "still")
    if "length" in chosen:
        for length in (count, max(LONG[2], count)):
            yield from commands_on(["preview"], (*LONG[:2], length), alone, work / f"long-{length}")
    if "4k" in chosen:
        yield from commands_on(["preview"], LARGE, alone, work / "4k")


def commands_on(
    commands: list[str], size: tuple[int, int, int], roots: dict[str, Path], clip: Path
) -> Iterator[dict[str, Any]]:
    """Every command of every checkout on one clip, which is written before and removed afterwards."""
    width, height, count = size
    write_clip(clip, width, height, count, wall_moves=commands != ["still"])
    for command in commands:
        row: dict[str, Any] = {"command": command, "width": width, "height": height, "frames": count}
        for name, root in roots.items():
            row[name] = run(command, clip, clip / f"{name}-{command}", root)
        if command in ("preview", "filled", "still") and len(roots) > 1:
            row["psnr_to_baseline"] = psnr_between(*(clip / f"{name}-{command}" for name in roots))
        yield row
    shutil.rmtree(clip)


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--baseline", type=Path, help="a checkout of another commit, measured beside this one")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, help="what to measure; by default all")
    parser.add_argument("--frames", type=int, default=240, help="of the clips of 1920x1080 and the shorter of 960x540")
    parser.add_argument("--kernels", type=Path, help="a folder of kernels compiled from these sources, for 'first'")
    parser.add_argument("--output", type=Path, help="also write the JSON here")
    parser.add_argument("--work", type=Path, help="folder for clips and results; by default a temporary one")
    given = parser.parse_args()
    roots = {"now": ROOT} | ({} if given.baseline is None else {"baseline": given.baseline.resolve()})
    kernels = None if given.kernels is None else given.kernels.resolve()
    load, rows, text = os.getloadavg()[0], [], ""
    if hasattr(os, "sysconf"):
        subprocess.run([sys.executable, "-c", TOUCH], check=True)
    with tempfile.TemporaryDirectory(prefix="ex4d-", dir=given.work) as folder:
        for row in measure(list(given.rows), given.frames, roots, Path(folder), kernels):
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
            text = json.dumps({"cores": os.cpu_count(), "load_before": round(load, 1), "rows": rows}, indent=1)
            if given.output is not None:
                given.output.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
