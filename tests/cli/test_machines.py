"""Machines as people have them: consoles that are not UTF-8, farms without a home or a place to write to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Shot

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: object, user: int | None = None, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "ex4d", *(str(a) for a in arguments)]
    base = {k: v for k, v in os.environ.items() if k not in ("PYTHONUTF8", "PYTHONIOENCODING", "LC_ALL", "LANG")}
    return subprocess.run(command, capture_output=True, env=base | environment, user=user, timeout=300, check=False)


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"PYTHONIOENCODING": "ascii"}, marks=pytest.mark.slow),
        pytest.param({"PYTHONIOENCODING": "latin-1"}, marks=pytest.mark.slow),
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"},
    ],
    ids=["ascii", "latin-1", "cp1252", "C"],
)
def test_output_that_is_not_utf_8_loses_no_result(shot: Shot, tmp_path: Path, environment) -> None:
    out = tmp_path / "Größe 映像"
    done = run("coverage", *shot.source, "--cam", "90", "--output_dir", out, **environment)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr and (out / "coverage_90.png").is_file()
    rows = [line for line in done.stdout.splitlines() if b" % " in line or line.endswith(b" %")]
    assert len(rows) >= 6 and b"coverage_90.png" in done.stdout.splitlines()[-1]
    assert b"?" not in done.stdout
    refused = run("coverage", *shot.source, "--cam", "nö映", "--output_dir", out, **environment)
    assert refused.returncode == 2 and b"There is no camera" in refused.stderr and b"Traceback" not in refused.stderr


def test_json_is_read_whatever_the_encoding(shot: Shot, tmp_path: Path) -> None:
    out = tmp_path / "映像"
    done = run("coverage", *shot.source, "--cam", "90", "--output_dir", out, "--json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["plot"] == str(out / "coverage_90.png")


FARM = """
import os, ex4d
from ex4d.raster import kernels
folder = os.environ["NUMBA_CACHE_DIR"]
print(folder, oct(os.stat(os.path.dirname(folder)).st_mode & 0o777))
"""


def test_kernels_are_compiled_where_neither_code_nor_home_can_be_written(tmp_path: Path) -> None:
    if not hasattr(os, "getuid") or os.getuid() != 0:
        pytest.skip("needs root, to run as a user without a home")
    nobody = 65534
    tmp_path.chmod(0o777)
    paths = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", FARM],
            capture_output=True, text=True, env={**paths, "HOME": "/nonexistent"}, user=nobody, group=nobody, cwd="/",
            timeout=300, check=False,
        )  # fmt: skip
    except PermissionError:
        pytest.skip("a user without rights cannot run this Python")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / f"ex4d-kernels-{nobody}" / "numba"), "0o700"]


@pytest.mark.parametrize("writable", [True, False])
def test_the_cache_is_moved_only_where_no_usual_place_can_be_written(tmp_path: Path, monkeypatch, writable) -> None:
    from ex4d import compiled_cache

    monkeypatch.setattr(compiled_cache, "_writable", lambda path: writable)
    monkeypatch.setattr(compiled_cache, "_temporary", lambda: tmp_path)
    monkeypatch.setattr(compiled_cache.sys, "modules", {})
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", "mine")
    compiled_cache.choose_cache_folder()
    assert os.environ.get("NUMBA_CACHE_DIR") == (None if writable else str(tmp_path / "numba"))
    assert os.environ["TRITON_CACHE_DIR"] == "mine"
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)


def test_a_cache_that_somebody_else_could_write_to_is_not_used(tmp_path: Path, monkeypatch) -> None:
    from ex4d import compiled_cache

    monkeypatch.setattr(compiled_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(compiled_cache.tempfile, "tempdir", None)
    trap = tmp_path / f"ex4d-kernels-{os.getuid()}"
    trap.mkdir()
    trap.chmod(0o777)
    chosen = compiled_cache._temporary()
    assert chosen != trap and chosen.stat().st_mode & 0o077 == 0
    trap.chmod(0o700)
    assert compiled_cache._temporary() == trap


@pytest.mark.parametrize("program", ["ex4d.cli.app", "ex4d_backend.__main__"])
@pytest.mark.parametrize("given", ["", "3"])
def test_small_matrices_wait_for_no_threads_unless_asked_to(program, given):
    code = (
        f"import os, sys, {program}; import numpy\n"
        "names = list(sys.modules)\n"
        "print(names.index('ex4d.blas') < names.index('numpy'), os.environ['OPENBLAS_NUM_THREADS'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    environment |= {"OPENBLAS_NUM_THREADS": given} if given else {}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", given or "1"]
