"""What the first picture after an install costs: nothing compiled yet, a fresh process, the example clip of 512x512.

    python benchmarks/first_use.py [--kernels FOLDER] [--baseline PATH] [--output FILE]

For this checkout, for it with the kernels of FOLDER as a wheel carries them (``scripts/compile_kernels.py FOLDER``, or
build/kernels/made), and for the checkout at PATH, all in one run: CPU seconds and seconds of a process up to its first
guide, its first picture of the preview engine and its end, how many loops were compiled and how long a second process
takes. CPU seconds count on a busy machine. The bar: 5 s to the first picture with kernels that came along.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BAR_S = 5.0
CODE = """
import json, os, sys, time
begun = time.monotonic()
marks, compiled = {}, []

def mark(name):
    if name not in marks:
        used = os.times()
        marks[name] = {"cpu_s": round(used.user + used.system, 2), "s": round(time.monotonic() - begun, 2)}

from numba.core import event

class Count(event.Listener):
    def on_start(self, happened):
        compiled.append(1)

    def on_end(self, happened):
        pass

event.register("numba:compile", Count())
from ex4d import generate, load_clip, preset
from ex4d.trajectory import source_times

clip = load_clip(sys.argv[1], sys.argv[2])
mark("clip_read")
n = clip.num_frames
times = source_times("play", num_frames=n, num_source_frames=n)
path = preset("orbit_right", num_frames=n, intrinsics=clip.intrinsics, near_depth=4.0, amount=30.0, source_time=times)
generate(
    clip, path, engine="preview",
    on_frame=lambda *frame: mark("first_picture"),
    on_progress=lambda step: mark("first_guide") if step.stage == "guides" and step.done else None,
)
mark("end")
print(json.dumps({**marks, "compiled": len(compiled)}))
"""


def main() -> int:
    """Measure, print, and say whether the bar was met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", type=Path, help="a folder of kernels compiled from these sources")
    parser.add_argument("--baseline", type=Path, help="another checkout, measured in the same run")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count(), "clip": "49 x 512 x 512"}
    if options.baseline is not None:
        result["baseline"] = measured(options.baseline.absolute())
    result["compiled_here"] = measured(ROOT)
    if options.kernels is not None:
        result["came_along"] = measured(ROOT, options.kernels.absolute())
        first = result["came_along"]["first"]
        result["passed"] = first["compiled"] == 0 and first["first_picture"]["cpu_s"] <= BAR_S
    text = json.dumps(result, indent=2)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")
    return 0 if result.get("passed", True) else 1


def measured(checkout: Path, kernels: Path | None = None) -> dict[str, Any]:
    """A first and a second process, with a copy of the packages in which nothing is compiled."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        leave_out = shutil.ignore_patterns("__pycache__", "cp3*")
        for source, name in ((checkout / "ex4d", "ex4d"), (checkout / "protocol" / "ex4d_ground", "ex4d_ground")):
            shutil.copytree(source, work / "code" / name, ignore=leave_out)
        if kernels is not None:
            shutil.copytree(kernels, work / "code" / "ex4d" / "compiled" / "shipped")
        paths = {"PYTHONPATH": str(work / "code"), "NUMBA_CACHE_DIR": str(work / "cache")}
        clip = [str(ROOT / "examples" / name) for name in ("clip.mp4", "depth.npz")]
        runs = []
        for _ in range(2):
            command = [sys.executable, "-c", CODE, *clip]
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **paths}, cwd=work)
            if done.returncode:
                raise SystemExit(done.stderr)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        return {"first": runs[0], "second": runs[1]}


if __name__ == "__main__":
    sys.exit(main())
