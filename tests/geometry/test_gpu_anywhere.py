"""What of the GPU path can be held against the CPU on a machine without a GPU, and what such a machine is told."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from ex4d.dwmesh import FACE_OCCLUDED, FACE_VISIBLE, DWMesh
from ex4d.errors import RasterError
from ex4d.guides import render_guides
from ex4d.raster import Camera
from ex4d.types import Intrinsics, MeshOptions, RasterOptions

from .conftest import make_clip, make_trajectory
from .test_cpu_vs_oracle import random_pose

CPU_GUIDES = """
import sys
import numpy as np
from ex4d.dwmesh import DWMesh
from ex4d.guides import render_guides
from ex4d.types import Clip, Intrinsics, Trajectory
clip = Clip(np.zeros((1, 8, 8, 3), np.uint8), np.full((1, 8, 8), 3, np.float32), Intrinsics.from_fov(8, 8))
k = clip.intrinsics
path = Trajectory(np.eye(4)[None], np.array([[k.fx, k.fy, k.cx, k.cy]]), np.zeros(1), 8, 8)
assert render_guides(DWMesh(clip), path).mask.any()
loaded = {"torch", "triton", "nvdiffrast"} & set(sys.modules)
assert not loaded, loaded
"""


def test_cpu_guides_never_load_torch() -> None:
    done = subprocess.run([sys.executable, "-c", CPU_GUIDES], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("options", [MeshOptions(), MeshOptions.ex4d_parity()])
def test_meshes_built_with_tensors_equal_the_cpu_s(options: MeshOptions) -> None:
    torch = pytest.importorskip("torch")
    from ex4d.raster.gpu.build import DeviceMesh

    clip = make_clip(frames=3, height=33, width=21)
    flags = np.zeros(2 * 32 * 20 + 2, np.int8)
    flags[5:20], flags[100:120], flags[-1] = FACE_VISIBLE, FACE_OCCLUDED, FACE_VISIBLE
    edited = DWMesh(clip, options).vertices(2) * np.float32(1.1)
    mesh = DWMesh(clip, options, face_flags={1: flags}, vertex_overrides={2: edited})
    built = DeviceMesh(mesh, torch.device("cpu"), kernels=False)
    for times in ([0, 1, 2], [2, 0, 0, 1]):
        vertices = built.vertices(times)
        occluded = built.face_occluded(times, vertices)
        colors = built.colors(times, occluded)
        for n, t in enumerate(times):
            np.testing.assert_array_equal(vertices[n].numpy(), mesh.vertices(t))
            np.testing.assert_array_equal(occluded[n].numpy(), mesh.face_occluded(t))
            np.testing.assert_array_equal(colors[n].numpy(), mesh.colors(t))


@pytest.mark.parametrize("seed", range(3))
def test_clip_space_puts_a_point_where_the_camera_sees_it(seed: int) -> None:
    """Shifted centre, unequal focal lengths, roll; near and far lie at z = -w and z = w, and the order is kept."""
    torch = pytest.importorskip("torch")
    from ex4d.raster.gpu.batch import CameraBatch
    from ex4d.raster.gpu.nvdiffrast_raster import clip_space

    rng = np.random.default_rng(seed)
    k = Intrinsics(70.0, 55.0, 37.3, 20.9, 64, 44)
    camera = Camera(random_pose(rng, 0.3, 0.5), k)
    points = rng.uniform([-2, -2, 4], [2, 2, 90], (50, 3)).astype(np.float32)
    batch = CameraBatch.of([camera], RasterOptions(near=0.01, far=100.0), torch.device("cpu"))
    x, y, z, w = clip_space(torch.from_numpy(points)[None], batch)[0].double().numpy().T
    seen = points.astype(float) @ camera.camera_from_world[:3, :3].T + camera.camera_from_world[:3, 3]
    np.testing.assert_allclose(w, seen[:, 2], rtol=1e-5)
    np.testing.assert_allclose((x / w + 1) / 2 * 64, k.fx * seen[:, 0] / seen[:, 2] + k.cx, atol=1e-3)
    np.testing.assert_allclose((y / w + 1) / 2 * 44, k.fy * seen[:, 1] / seen[:, 2] + k.cy, atol=1e-3)
    assert (np.abs(z / w) <= 1).all()
    order = np.argsort(seen[:, 2])
    assert (np.diff((z / w)[order]) > -1e-6).all()


def test_a_machine_without_the_device_is_told_what_to_do() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET"):
        pytest.skip("this machine has a CUDA device, or Triton's interpreter stands in for one")
    clip = make_clip()
    for name in ("triton", "nvdiffrast"):
        with pytest.raises(RasterError, match=r"not installed|needs a CUDA device") as caught:
            render_guides(DWMesh(clip), make_trajectory(clip), rasterizer=name)
        assert name in str(caught.value)
