"""A wheel with kernels, installed where nothing was ever compiled: the first take compiles nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from ex4d.compiled import shipped

from .conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import build_wheel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    without = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NUMBA"))}
    words, elsewhere = [str(word) for word in command], Path(sys.prefix)  # not where the checkout's library lies
    where = without | environment
    return subprocess.run(words, capture_output=True, text=True, env=where, cwd=elsewhere, check=False)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled by this very Python."""
    folder = tmp_path_factory.mktemp("kernels")
    done = run(sys.executable, ROOT / "scripts" / "compile_kernels.py", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(kernels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel; its dependencies are those of this environment."""
    home = tmp_path_factory.mktemp("installed")
    wheel = build_wheel.build(home / "wheel", kernels=kernels)
    assert wheel.name.endswith(f"-py3-none-{build_wheel.system()}.whl")
    venv.create(home / "env", with_pip=True)
    python = home / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = run(python, "-m", "pip", "install", "--no-index", "--no-deps", wheel)
    assert done.returncode == 0, done.stderr
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    Path(site, "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def take(python: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """A preview take of a few frames, with a cache of its own."""
    clip = "--input_video", ROOT / "examples" / "clip.mp4", "--depth", ROOT / "examples" / "depth.npz"
    more = "--num_frames", 4, "--cam", 30, "--output_dir", out / "take"
    return run(python, "-m", "ex4d", "run", "--engine", "preview", *clip, *more, NUMBA_CACHE_DIR=str(out / "cache"))


def test_the_first_take_compiles_nothing(installed: Path, tmp_path: Path) -> None:
    done = take(installed, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "take" / "take_001.mp4").is_file()
    assert not list((tmp_path / "cache").rglob("*.nb?")) and "Preparing" not in done.stderr


def test_with_another_numba_the_take_is_the_same_and_it_is_said_why_it_took_longer(
    installed: Path, tmp_path: Path
) -> None:
    assert take(installed, tmp_path / "shipped").returncode == 0
    code = "from ex4d.compiled import shipped; print(shipped.SHIPPED / shipped.python_folder() / shipped.ABOUT)"
    about = Path(run(installed, "-c", code).stdout.strip())
    held = about.read_text(encoding="utf-8")
    about.write_text(json.dumps(json.loads(held) | {"numba": "0.60.0"}), encoding="utf-8")
    try:
        done = take(installed, tmp_path / "compiled")
    finally:
        about.write_text(held, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Preparing compiled parts for this machine, once") == 1
    assert "Those that came along are for numba 0.60.0; this is" in done.stderr
    assert list((tmp_path / "compiled" / "cache").rglob("*.nbc"))
    films = [(tmp_path / name / "take" / "take_001.mp4").read_bytes() for name in ("shipped", "compiled")]
    assert films[0] == films[1]


def test_what_a_pure_wheel_holds_is_not_for_one_system(tmp_path: Path) -> None:
    wheel = build_wheel.build(tmp_path)
    assert wheel.name.endswith("-py3-none-any.whl") and wheel.stat().st_size < 2e6
    assert shipped.ABOUT not in run(sys.executable, "-m", "zipfile", "-l", wheel).stdout


def test_the_versions_that_a_wheel_asks_for_are_those_that_its_kernels_are_compiled_with() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wanted = project["optional-dependencies"]["compiled"]
    assert [pin.split("==")[0] for pin in wanted] == ["numba", "llvmlite"] and set(wanted) <= set(pins)
