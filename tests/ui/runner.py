"""Starting a Blender in a window of its own and letting a script drive it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
OUT = ROOT / "out" / "ui"
BORROWED = ("numpy", "numpy.libs", "zmq", "pyzmq.libs", "msgspec")
"""Packages of this environment that a Blender of the same Python is shown."""
LIMIT_S = 840


def drive(blender: str, script: str, folder: Path, out: Path) -> str:
    """Run ``script`` in ``blender`` under Xvfb; pictures go to ``out``. Returns what Blender printed.

    EX4D_UI_SITE names a folder with numpy, zmq and msgspec for a Blender of another Python than this one's.
    """
    for program in (blender, "xvfb-run", "xdotool"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is not installed; run: bash scripts/system_packages.sh ui")
    shutil.rmtree(out, ignore_errors=True)
    (out / "scene").mkdir(parents=True)
    site = os.environ.get("EX4D_UI_SITE") or str(_borrowed(folder / "site"))
    environment = {
        **os.environ,
        "EX4D_UI_OUT": str(out),
        "EX4D_UI_PYTHON": sys.executable,
        "EX4D_UI_PATH": os.pathsep.join((site, str(ROOT), str(ROOT / "protocol"), str(HERE))),
        "EX4D_UI_CLIP": str(ROOT / "examples" / "clip.mp4"),
        "EX4D_UI_DEPTH": str(ROOT / "examples" / "depth.npz"),
        "EX4D_BACKEND_COMMAND": shlex.join([sys.executable, "-m", "ex4d_backend"]),
        "EX4D_BACKEND_DATA_DIR": str(folder / "data"),
        "HOME": str(folder),
    }
    command = ["xvfb-run", "-a", "-s", "-screen 0 1280x1180x24", blender, "--factory-startup", "--no-window-focus"]
    command += ["-p", "0", "0", "1280", "1180", "--python-exit-code", "3", "--python", str(HERE / script)]
    with (out / "console.txt").open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the X server and Blender with it
            process.wait()
    return (out / "console.txt").read_text()


def _borrowed(folder: Path) -> Path:
    folder.mkdir()
    site = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    for name in BORROWED:
        (folder / name).symlink_to(site / name)
    return folder
