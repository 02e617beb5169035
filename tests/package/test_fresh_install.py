"""An install as people make it, with the newest version of everything that the project allows, works.

The other tests run with the versions of ``constraints.txt``; an install from an index takes what came out since, which
may have taken an argument away.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import blender_versions  # noqa: E402

sys.path.pop(0)
EXAMPLE = ("--input_video", ROOT / "examples" / "clip.mp4", "--depth", ROOT / "examples" / "depth.npz")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of an environment with the newest Python that there is and this checkout, nothing pinned."""
    python = blender_versions.find_python("3.13", "3.12", "3.11")
    assert python is not None
    folder = tmp_path_factory.mktemp("fresh") / "env"
    subprocess.run([str(python), "-m", "venv", str(folder)], check=True)
    own = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(own / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    done = subprocess.run([*pip, str(ROOT)], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return own


def run(own: Path, *command: object) -> str:
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    line = [str(own / str(command[0])), *map(str, command[1:])]
    done = subprocess.run(line, capture_output=True, text=True, timeout=900, env=outside, cwd=own, check=False)
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout


def test_a_preview_and_its_export(fresh: Path, tmp_path: Path) -> None:
    run(fresh, "ex4d", "preview", *EXAMPLE, "--cam", "orbit_left", "--num_frames", 5, "--output_dir", tmp_path)
    [take] = tmp_path.glob("take_*.mp4")
    assert take.stat().st_size > 1000
    for kind in ("exr", "prores"):
        run(fresh, "ex4d", "export", tmp_path / take.stem, "--kind", kind, "--output_dir", tmp_path / kind)
        assert any(path.stat().st_size > 1000 for path in (tmp_path / kind).rglob("*.*"))


def test_a_take_of_a_backend(fresh: Path, tmp_path: Path) -> None:
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    port = tmp_path / "port"
    command = [fresh / "ex4d-backend", "--address", "tcp://127.0.0.1:auto", "--device", "cpu", "--port-file", port]
    with (tmp_path / "log").open("w") as log:
        backend = subprocess.Popen(
            [*map(str, command), "--data-dir", str(tmp_path / "data")], env=outside, stdout=log, stderr=log
        )
    try:
        end = time.monotonic() + 120
        while not port.exists():
            assert backend.poll() is None and time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.1)
        address = ("--backend", port.read_text().strip())
        run(fresh, "ex4d", "remote", "generate", *address, *EXAMPLE, "--cam", "orbit_left", "--engine", "preview",
            "--num_frames", 5, "--output_dir", tmp_path)  # fmt: skip
    finally:
        backend.terminate()
        assert backend.wait(120) == 0
    assert [path.name for path in tmp_path.glob("take_*.mp4")] == ["take_001.mp4"]
