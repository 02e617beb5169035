"""What of the GPU path can be held against the CPU on a machine without a GPU, and what such a machine is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ex4d.dwmesh import DWMesh
from ex4d.guides import render_guides
from ex4d.raster import Camera
from ex4d.surface import QUAD_HIDE_LOWER, QUAD_HIDE_UPPER, grid_faces
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import RasterError
from ex4d_ground.options import MeshOptions, RasterOptions

from .conftest import assert_surfaces_equal, edited_mesh, make_clip, make_trajectory
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
for rasterizer in ("auto", "cpu"):
    guides = render_guides(DWMesh(clip), path, rasterizer=rasterizer)
    assert guides.mask.any() and guides.rasterizer == "cpu"
loaded = {"torch", "triton", "nvdiffrast"} & set(sys.modules)
assert not loaded, loaded
"""


def test_cpu_guides_never_load_torch() -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", CPU_GUIDES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("options", [MeshOptions(), MeshOptions.ex4d_parity(), MeshOptions(hidden_by="face")])
def test_meshes_built_where_triton_cannot_run_equal_the_cpu_s(options: MeshOptions) -> None:
    torch = pytest.importorskip("torch")
    from ex4d.dwmesh.gpu.build import DeviceMesh

    mesh = edited_mesh(options)
    built = DeviceMesh(mesh, torch.device("cpu"), kernels=False)
    for times in ([0, 1, 2], [2, 0, 0, 1]):
        assert_surfaces_equal(built.surfaces(times), mesh, times)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "chosen"),
    [("test_gpu.py", "built"), ("test_gpu_solid.py", ""), ("test_gpu_objects.py", ""), ("test_gpu_memory.py", "")],
)
def test_the_device_s_claims_hold_in_the_interpreter(module: str, chosen: str) -> None:
    """In Triton's interpreter where there is no device: Triton decides at import, hence a process of its own."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        pytest.skip("the tests marked gpu do it on the device")
    claims = Path(__file__).with_name(module)
    options = ["-q", "-m", "gpu", "-k", chosen, "-p", "no:cacheprovider", "-o", "filterwarnings=default"]
    command = [sys.executable, "-m", "pytest", *options, str(claims)]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stdout[-4000:]


def test_frames_with_triangles_of_their_own_are_joined() -> None:
    """Their vertices follow one another; a dropped quad's triangles have no area."""
    torch = pytest.importorskip("torch")
    from ex4d.raster.gpu.nvdiffrast_raster import joined_faces
    from ex4d.surface.batch import SurfaceBatch

    mesh = DWMesh(make_clip(frames=2, height=9, width=11), MeshOptions(mode="solid"))
    surfaces = [mesh.surface(t) for t in range(2)]
    batch = SurfaceBatch.of(surfaces, torch.device("cpu"))
    faces, ranges = joined_faces(batch, torch.from_numpy(grid_faces(11, 13)))
    for t, surface in enumerate(surfaces):
        assert surface.quad_flags is not None
        first, count = ranges[t].tolist()
        own = faces[first : first + count].numpy() - t * batch.num_vertices
        dropped = np.tile(surface.quad_flags != 0, 2)
        assert dropped.any()
        np.testing.assert_array_equal(own[: 2 * 120][~dropped], grid_faces(11, 13)[~dropped])
        assert not own[: 2 * 120][dropped].any()
        np.testing.assert_array_equal(own[2 * 120 :][: len(surface.faces)], surface.faces)


def test_what_a_triangle_shows_follows_its_side_and_its_quad_s_flags() -> None:
    """The same answers with one topology for all frames and with triangles of their own."""
    torch = pytest.importorskip("torch")
    from ex4d.raster.gpu.nvdiffrast_raster import joined_faces, shown
    from ex4d.surface.batch import SurfaceBatch

    rng = np.random.default_rng(0)
    flags = torch.from_numpy(rng.choice([0, QUAD_HIDE_UPPER, QUAD_HIDE_LOWER], (2, 6)).astype(np.uint8))
    faces = torch.tensor([[[0, 1, 5], [5, 1, 0]]], dtype=torch.int32)
    colors = torch.zeros((2, 12, 4), dtype=torch.uint8)
    batch = SurfaceBatch(torch.zeros((2, 12, 3)), colors, faces, 3, 4, flags, one_sided=True)
    grid = torch.from_numpy(grid_faces(3, 4))
    places = torch.from_numpy(rng.uniform(-1, 1, (2, 12, 4)).astype(np.float32)).abs()
    number = torch.from_numpy(rng.integers(0, 14, (2, 5, 7)))
    hits = torch.zeros((2, 5, 7, 4))
    hits[..., 3] = number + 1
    together = shown(hits, places, torch.cat([grid, faces[0]]), batch)
    hits[1, ..., 3] += 14
    joined, _ = joined_faces(batch, grid)
    apart = shown(hits, places.flatten(0, 1), joined, batch)
    assert together is not None
    assert apart is not None
    corners = torch.cat([grid, faces[0]]).numpy()
    for at in np.ndindex(2, 5, 7):
        x, y, _, w = places[at[0]].numpy().T
        a, b, c = corners[int(number[at])]
        front = np.linalg.det([[v[k] for v in (x, y, w)] for k in (a, b, c)]) >= 0
        half, quad = divmod(int(number[at]), 6)
        hides = half < 2 and int(flags[at[0], quad]) == (QUAD_HIDE_UPPER, QUAD_HIDE_LOWER)[half]
        assert bool(together[at]) == bool(apart[at]) == (bool(front) and not hides)


def test_large_triangle_numbers_are_read_back() -> None:
    """Beyond what float32 can count, nvdiffrast gives their bits with an offset (its common.h)."""
    torch = pytest.importorskip("torch")
    from ex4d.raster.gpu.nvdiffrast_raster import triangle_numbers

    numbers = np.array([0, 1, 2**24, 2**24 + 1, 2**24 + 2, 40_000_001], np.int32)
    coded = np.where(
        numbers <= 2**24, numbers.astype(np.float32), (numbers + 0x4A800000).astype(np.int32).view(np.float32)
    )
    hits = torch.zeros((1, 1, 6, 4))
    hits[0, 0, :, 3] = torch.from_numpy(coded.astype(np.float32))
    np.testing.assert_array_equal(triangle_numbers(hits)[0, 0].numpy(), numbers.astype(np.int64) - 1)


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
        with pytest.raises(RasterError, match=r"needs a CUDA device") as caught:
            render_guides(DWMesh(clip), make_trajectory(clip), rasterizer=name)
        assert name in str(caught.value)
