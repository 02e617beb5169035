from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., list[str]]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the library, without anything compiled."""
    for source, name in ((ROOT / "ex4d", "ex4d"), (ROOT / "protocol" / "ex4d_ground", "ex4d_ground")):
        shutil.copytree(source, tmp_path / "code" / name, ignore=shutil.ignore_patterns("__pycache__", "cp3*"))
    return tmp_path / "code"


@pytest.fixture
def run(package: Path) -> Run:
    """``run(code, **environment)``: the words that ``code`` prints, run with the copy and with a cache of its own."""

    def run_it(code: str, **environment: str) -> list[str]:
        paths = {"PYTHONPATH": str(package), "NUMBA_CACHE_DIR": str(package.parent / "cache")}
        command = [sys.executable, "-B", "-c", code]
        where = {**os.environ, **paths, **environment}
        done = subprocess.run(command, capture_output=True, text=True, env=where, cwd=package, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return run_it
