"""The training's kernels against autograd: in Triton's interpreter, or on the GPU where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

INSIDE = "EX4D_TEST_KERNELS_INSIDE"

if os.environ.get(INSIDE):
    from train_kernel_claims import *  # noqa: F403


@pytest.mark.skipif(bool(os.environ.get(INSIDE)), reason="is the inner run")
def test_kernels_have_the_gradients_of_the_plain_functions() -> None:
    """Triton decides at import whether it interprets: hence a process of its own."""
    environment = {**os.environ, INSIDE: "1"}
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    # Triton's own warnings are not ours.
    options = ["-q", "-p", "no:cacheprovider", "-o", "filterwarnings=default"]
    command = [sys.executable, "-m", "pytest", *options, str(Path(__file__))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout[-4000:]
