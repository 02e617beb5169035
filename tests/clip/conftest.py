"""A small moving picture and its depth, in the forms a user may have them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ex4d.clip import write_video
from ex4d_ground.arrays import Float32, UInt8


@pytest.fixture(scope="session")
def frames() -> UInt8:  # [T, H, W, 3]
    """Smooth colours with a hard-edged square that moves: what a codec sees in practice."""
    t, h, w = 7, 48, 64
    y, x = np.mgrid[:h, :w]
    stack = (
        np.stack([np.stack([3 * x + 2 * i, 4 * y, 255 - 2 * x], -1) for i in range(t)]).clip(0, 255).astype(np.uint8)
    )
    for i in range(t):
        stack[i, 16:32, 8 + 4 * i : 24 + 4 * i] = (230, 40, 60)
    return stack


@pytest.fixture(scope="session")
def depth() -> Float32:  # [T, H, W]
    return np.random.default_rng(0).uniform(1, 9, (7, 48, 64)).astype(np.float32)


@pytest.fixture
def video(tmp_path: Path, frames: UInt8) -> Path:
    path = tmp_path / "source.mp4"
    write_video(path, frames, fps=24)
    return path


@pytest.fixture
def upstream_example() -> Path:
    folder = Path(os.environ.get("EX4D_UPSTREAM_EXAMPLE", "shared/upstream-example/flower"))
    if not (folder / "input.mp4").is_file():
        pytest.skip("EX4D_UPSTREAM_EXAMPLE names no folder with EX-4D's own example clip")
    return folder
