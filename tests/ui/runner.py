"""Starting a Blender in a window of its own and letting a script drive it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
OUT = ROOT / "out" / "ui"
LIMIT_S = 840
PROGRAMS = ("Xvfb", "xdotool")

sys.path.insert(0, str(ROOT / "scripts"))

import blender_window  # noqa: E402
import stand_in  # noqa: E402


class WindowMissing(Exception):
    """One sentence about what is not installed."""


@dataclass(frozen=True)
class Look:
    """How big a window is and how it looks."""

    width: int = 1280
    height: int = 720
    ui_scale: float = 1.0
    theme: str = "dark"

    @property
    def name(self) -> str:
        """As in the names of pictures."""
        return f"{self.height}-{self.ui_scale:g}-{self.theme}"


@dataclass(frozen=True)
class Drive:
    """A script in tests/ui (or elsewhere), the Blender that runs it, and where its pictures go."""

    script: Path
    out: Path
    blender: str = "5.2"
    """A version of ``blender_window.BLENDERS``, or the path of a Blender of this machine."""
    look: Look = Look()
    more: dict[str, str] = field(default_factory=dict)
    """Environment variables for the script."""


def run(drive: Drive) -> str:
    """Run the script in Blender under a virtual X server; returns what Blender printed. Raises WindowMissing."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise WindowMissing(f"{missing[0]} is not installed; run: bash scripts/system_packages.sh ui")
    shutil.rmtree(drive.out, ignore_errors=True)
    (drive.out / "scene").mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="ex4d-ui-") as home, _x_server(drive.look) as display:
        command, onhost = _command(drive.blender)
        look = drive.look
        command += ["--factory-startup", "--no-window-focus", "-p", "0", "0", str(look.width), str(look.height)]
        command += ["--python-exit-code", "3", "--python", str(drive.script)]
        environment = {**os.environ, **_environment(drive, Path(home), onhost), "DISPLAY": display, **drive.more}
        with (drive.out / "console.txt").open("w") as output:
            _wait(
                subprocess.Popen(
                    command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, cwd=ROOT
                )
            )
    return (drive.out / "console.txt").read_text(errors="replace")


def errors_in(console: str) -> list[str]:
    """Lines of Blender's console that tell of a Python error, or of a panel that asks for what is not there."""
    return re.findall(r"(?m)^.*(?:Traceback|Error: Python|rna_uiItem|unknown icon|not found: class).*$", console)


def _command(blender: str) -> tuple[list[str], Sequence[str]]:
    """What starts this Blender, and what it must put before a program of this machine."""
    own = os.environ.get("EX4D_UI_BLENDER", "")
    if own or blender not in blender_window.BLENDERS:
        return [own or blender], ()
    which = blender_window.BLENDERS[blender]
    blender_window.fetch(which)
    return blender_window.command(which, []), ("/usr/local/bin/onhost",)


def _environment(drive: Drive, home: Path, onhost: Sequence[str]) -> dict[str, str]:
    config = home / "depth.toml"
    config.write_text(stand_in.configuration(sys.executable, drive.out / "go"))
    packages = [str(path) for path in (ROOT, ROOT / "backend", ROOT / "protocol")]
    backend = [*onhost, "env", f"PYTHONPATH={os.pathsep.join(packages)}", sys.executable, "-m", "ex4d_backend"]
    return {
        "EX4D_UI_OUT": str(drive.out),
        "EX4D_UI_PATH": os.pathsep.join((str(ROOT), str(ROOT / "protocol"), str(HERE))),
        "EX4D_UI_ONHOST": shlex.join(onhost),
        "EX4D_UI_PYTHON": sys.executable,
        "EX4D_UI_SCALE": str(drive.look.ui_scale),
        "EX4D_UI_THEME": drive.look.theme,
        "EX4D_UI_CLIP": str(ROOT / "examples" / "clip.mp4"),
        "EX4D_UI_DEPTH": str(ROOT / "examples" / "depth.npz"),
        "EX4D_BACKEND_COMMAND": shlex.join(backend),
        "EX4D_BACKEND_DATA_DIR": str(home / "data"),
        "EX4D_DEPTH_CONFIG": str(config),
        "EX4D_WEIGHTS": str(home / "weights"),
        "HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@contextmanager
def _x_server(look: Look) -> Iterator[str]:
    """A virtual screen just as big as the window; gives its DISPLAY."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{look.width}x{look.height}x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL) as server:
        os.close(write)
        try:
            with os.fdopen(read) as stream:
                number = stream.readline().strip()
            if not number:
                raise WindowMissing(f"Xvfb ended with {server.wait()} before it had a screen.")
            yield f":{number}"
        finally:
            server.terminate()


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=LIMIT_S)
    except BaseException as stopped:
        os.killpg(process.pid, signal.SIGKILL)  # Blender and the backend that it may have started
        process.wait()
        if not isinstance(stopped, subprocess.TimeoutExpired):
            raise


def measured(drive: Drive) -> dict[str, Any]:
    """What a script has measured in its window, and ``out``, where its pictures are."""
    console = run(drive)
    assert (drive.out / "result.json").exists(), f"Blender ended early:\n{console[-3000:]}"
    found = json.loads((drive.out / "result.json").read_text())
    assert found["ok"], console[-3000:]
    assert not errors_in(console), console[-3000:]
    return {**found, "out": drive.out}
