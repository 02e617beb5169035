"""A process that stays warm compiles for more sizes than torch allows one function."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")


def test_sizes_and_closures_are_compiled_apart() -> None:
    """In a process of its own: once torch's compiler is at work, other tests' tensors live longer than they measure."""
    claims = Path(__file__).with_name("compiling_claims.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(claims)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout[-4000:]
