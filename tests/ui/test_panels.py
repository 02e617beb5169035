"""The panels in a real Blender window: opened, clicked through, and pictured into out/ui/."""

from __future__ import annotations

import json
import os
import re
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
"""Packages of this environment that the system's Blender, of the same Python, is shown."""

LIMIT_S = 840
STATES = (
    "01_unsaved", "02_connecting", "03_connected", "03_estimator", "04_failed", "04_importing", "05_imported",
    "06_camera", "06_coverage", "06_live", "07_cost", "07_generating", "08_take", "09_marked", "10_disconnected",
    "11_compare", "12_partial", "13_restore",
)  # fmt: skip


pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What Blender printed while it was driven."""
    for program in ("blender", "xvfb-run", "xdotool"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is not installed; run: bash scripts/system_packages.sh ui")
    folder = tmp_path_factory.mktemp("ui")
    shutil.rmtree(OUT, ignore_errors=True)
    (OUT / "scene").mkdir(parents=True)
    environment = {
        **os.environ,
        "EX4D_UI_OUT": str(OUT),
        "EX4D_UI_PATH": os.pathsep.join(
            (str(_borrowed(folder / "site")), str(ROOT), str(ROOT / "protocol"), str(HERE))
        ),
        "EX4D_UI_CLIP": str(ROOT / "examples" / "clip.mp4"),
        "EX4D_UI_DEPTH": str(ROOT / "examples" / "depth.npz"),
        "EX4D_BACKEND_COMMAND": shlex.join([sys.executable, "-m", "ex4d_backend"]),
        "EX4D_BACKEND_DATA_DIR": str(folder / "data"),
        "HOME": str(folder),
    }
    command = ["xvfb-run", "-a", "-s", "-screen 0 1280x1180x24", "blender", "--factory-startup", "--no-window-focus"]
    command += ["-p", "0", "0", "1280", "1180", "--python-exit-code", "3", "--python", str(HERE / "drive.py")]
    with (OUT / "console.txt").open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the X server and Blender with it
            process.wait()
    return (OUT / "console.txt").read_text()


def _borrowed(folder: Path) -> Path:
    folder.mkdir()
    site = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    for name in BORROWED:
        (folder / name).symlink_to(site / name)
    return folder


def test_every_button_does_its_work(console: str):
    assert (OUT / "result.json").exists(), f"Blender ended early:\n{console[-3000:]}"
    assert json.loads((OUT / "result.json").read_text()) == {"ok": True}, console[-3000:]


def test_console_shows_no_python_error(console: str):
    found = re.findall(r"(?m)^.*(?:Traceback|Error: Python|rna_uiItem|unknown icon|not found: class).*$", console)
    assert not found, console[-4000:]


@pytest.mark.parametrize("state", STATES)
def test_there_is_a_picture_of_every_state(console: str, state: str):
    assert (OUT / f"{state}.png").stat().st_size > 20_000
