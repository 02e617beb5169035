from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ex4d.dwmesh import FACE_OCCLUDED, FACE_VISIBLE, DWMesh
from ex4d.raster import get_rasterizer
from ex4d.types import Clip
from ex4d_ground.arrays import Float32
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import RasterError
from ex4d_ground.options import MeshOptions

ON_DEVICE = [  # marks of the modules that need a CUDA device, or Triton's interpreter
    pytest.mark.gpu,
    # Triton's interpreter divides by zero aloud.
    pytest.mark.filterwarnings("ignore:.*encountered in.*:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Conversion of an array with ndim > 0:DeprecationWarning"),
    pytest.mark.timeout(900),
]
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
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


def usable_rasterizer(name: str) -> Any:
    """The rasterizer ``name``; the test is skipped where it cannot run."""
    try:
        return get_rasterizer(name)
    except (RasterError, ImportError) as error:
        pytest.skip(str(error))


def edited_mesh(options: MeshOptions) -> DWMesh:
    """Three frames: as they are, with flags, and with vertices that were moved."""
    clip = make_clip(frames=3, height=33, width=21)
    flags = np.zeros(2 * 32 * 20 + 2, np.int8)
    flags[5:20], flags[100:120], flags[-1] = FACE_VISIBLE, FACE_OCCLUDED, FACE_VISIBLE
    moved = DWMesh(clip, options).vertices(2) * np.float32(1.1)
    return DWMesh(clip, options, face_flags={1: flags}, vertex_overrides={2: moved})


def assert_surfaces_equal(built: Any, mesh: DWMesh, times: list[int]) -> None:
    """A batch of endless surfaces against those that the mesh builds."""
    for n, t in enumerate(times):
        wanted = mesh.surface(t)
        np.testing.assert_array_equal(built.vertices[n].cpu().numpy(), wanted.vertices)
        np.testing.assert_array_equal(built.colors[n].cpu().numpy(), wanted.colors)
        np.testing.assert_array_equal(built.faces[0].cpu().numpy(), wanted.faces)
        assert (built.quad_flags is None) == (wanted.quad_flags is None)
        if wanted.quad_flags is not None:
            assert wanted.quad_flags.any()
            np.testing.assert_array_equal(built.quad_flags[n].cpu().numpy(), wanted.quad_flags)


def make_trajectory(clip: Clip, poses: np.ndarray | None = None, source_time: np.ndarray | None = None) -> Trajectory:
    """One camera per source frame with the clip's lens: a small sideways truck unless ``poses`` says otherwise."""
    if poses is None:
        poses = np.tile(np.eye(4), (clip.num_frames, 1, 1))
        poses[:, 0, 3] = 0.1 * np.arange(clip.num_frames)
    n, k = len(poses), clip.intrinsics
    times = np.arange(n, dtype=float) if source_time is None else source_time
    return Trajectory(poses, np.tile([k.fx, k.fy, k.cx, k.cy], (n, 1)), times, clip.width, clip.height)
