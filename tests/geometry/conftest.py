from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ex4d.types import Clip, Float32, Intrinsics, Trajectory

GOLDEN = Path(os.environ.get("EX4D_GOLDEN_DIR", Path(__file__).parents[1] / "golden"))


@pytest.fixture(scope="session")
def recon_dir() -> Path:
    return GOLDEN / "recon"


def stepped_depth(rng: np.random.Generator, frames: int, height: int, width: int) -> Float32:
    """A tilted background with boxes and a ball in front, moving from frame to frame."""
    y, x = np.mgrid[0:height, 0:width]
    depth = np.repeat((9.0 - 2.0 * y / height)[None], frames, axis=0)
    for t in range(frames):
        depth[t][(x > 0.6 * width) & (y > 0.2 * height)] = 6.0
        ball = np.hypot(x - (0.2 + 0.04 * t) * width, y - 0.5 * height) < 0.2 * height
        depth[t][ball] = 3.0
    return (depth + 0.002 * rng.random(depth.shape)).astype(np.float32)


def make_clip(seed: int = 0, frames: int = 3, height: int = 24, width: int = 32, depth: Float32 | None = None) -> Clip:
    rng = np.random.default_rng(seed)
    if depth is None:
        depth = stepped_depth(rng, frames, height, width)
    picture = rng.integers(0, 256, (*depth.shape, 3), dtype=np.uint8)
    return Clip(picture, depth, Intrinsics.from_fov(depth.shape[2], depth.shape[1]))


def make_trajectory(clip: Clip, poses: np.ndarray | None = None, source_time: np.ndarray | None = None) -> Trajectory:
    """One camera per source frame with the clip's lens: a small sideways truck unless ``poses`` says otherwise."""
    if poses is None:
        poses = np.tile(np.eye(4), (clip.num_frames, 1, 1))
        poses[:, 0, 3] = 0.1 * np.arange(clip.num_frames)
    n, k = len(poses), clip.intrinsics
    times = np.arange(n, dtype=float) if source_time is None else source_time
    return Trajectory(poses, np.tile([k.fx, k.fy, k.cx, k.cy], (n, 1)), times, clip.width, clip.height)
