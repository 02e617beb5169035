"""Solid surfaces built on the device, against the CPU's: the same vertices, colours and faces in the same order.

They need a CUDA device. ``TRITON_INTERPRET=1 pytest -m gpu tests/geometry/test_gpu_solid.py`` runs the small ones in
Python instead, slowly, on any machine that has Triton.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from ex4d.bands import serial
from ex4d.dwmesh import FACE_OCCLUDED, FACE_VISIBLE, DWMesh
from ex4d.guides import render_guides
from ex4d.guides.request import GuideRequest
from ex4d.types import Clip
from ex4d_ground.arrays import Float32
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions

from .conftest import INTERPRETED, ON_DEVICE, make_clip, make_trajectory, usable_rasterizer

pytestmark = ON_DEVICE
SOLID = MeshOptions(mode="solid", sharpen_edges="off", steady_depth="off")
SMALL = (10, 13)
large = pytest.mark.skipif(INTERPRETED, reason="takes hours in Triton's interpreter")


def scene(frames: int, height: int, width: int, seed: int = 0) -> Float32:
    """A box before a tilted ground, and a ball that turns away towards its outline and moves."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    depth = np.repeat((9.0 - 2.0 * y / height)[None], frames, axis=0)
    radius = 0.3 * height
    for t in range(frames):
        depth[t][(x > 0.6 * width) & (y > 0.2 * height)] = 6.0
        from_middle = np.hypot(x - (0.3 + 0.04 * t) * width, y - 0.5 * height)
        ball = from_middle < radius
        depth[t][ball] = 3.0 - np.sqrt(radius**2 - from_middle[ball] ** 2) / radius
    return (depth + 0.002 * rng.random(depth.shape)).astype(np.float32)


def foliage(frames: int, height: int, width: int, seed: int = 0) -> Float32:
    """Leaves of one to some pixels before leaves before a wall: edges nearly everywhere."""
    rng = np.random.default_rng(seed)
    depth = np.full((frames, height, width), 8.0)
    for far, near, size in ((5.0, 6.0, 3), (2.0, 4.0, 1)):
        shape = (frames, -(-height // size), -(-width // size))
        leaf = np.repeat(np.repeat(rng.random(shape) < 0.3, size, 1), size, 2)[:, :height, :width]
        depth[leaf] = rng.uniform(far, near, int(leaf.sum()))
    return depth.astype(np.float32)


def noise(frames: int, height: int, width: int, seed: int = 0) -> Float32:
    return np.random.default_rng(seed).uniform(1, 6, (frames, height, width)).astype(np.float32)


def flagged(frames: int = 2) -> DWMesh:
    """Both frames flagged, one edited besides."""
    clip = make_clip(5, depth=noise(frames, *SMALL, seed=5))
    rng = np.random.default_rng(1)
    count = 2 * (SMALL[0] - 1) * (SMALL[1] - 1) + 2
    flags = {t: rng.choice([0, 0, FACE_VISIBLE, FACE_OCCLUDED], count).astype(np.int8) for t in range(frames)}
    edited = DWMesh(clip, SOLID).vertices(1)
    edited[20:70] *= rng.uniform(0.8, 1.3, (50, 3)).astype(np.float32)
    return DWMesh(clip, SOLID, face_flags=flags, vertex_overrides={1: edited})


def painted(shape: tuple[int, ...]) -> Float32:
    rng = np.random.default_rng(2)
    return np.where(rng.random(shape) < 0.5, np.nan, rng.uniform(0, 2, shape)).astype(np.float32)


def small_mesh(case: str) -> DWMesh:
    depth = {"foliage": foliage, "noise": noise}.get(case, scene)(2, *SMALL)
    clip = make_clip(depth=depth)
    if case == "flags and edits":
        return flagged()
    if case in ("map", "map of each frame"):
        shape = SMALL if case == "map" else (2, *SMALL)
        return DWMesh(clip, SOLID, thickness_map=painted(shape))
    options = {
        "share": structs.replace(SOLID, thickness=0.2),
        "length": structs.replace(
            SOLID, thickness=0.7, thickness_unit="depth", pixel_anchor="corner", border_depth=40.0
        ),
        "prepared": structs.replace(SOLID, sharpen_edges="on", steady_depth="on"),
    }
    return DWMesh(clip, options.get(case, SOLID))


@pytest.fixture(scope="session")
def device() -> Any:
    return usable_rasterizer("triton").device


def assert_equal_to_the_cpu(mesh: DWMesh, device: Any, times: list[int]) -> None:
    from ex4d.dwmesh.gpu.build import DeviceMesh

    on_device = DeviceMesh(mesh, device, kernels=True)
    assert on_device.solid is not None
    built = on_device.surfaces(times)
    assert built.quad_flags is not None
    assert built.one_sided
    for n, t in enumerate(times):
        wanted = mesh.surface(t)
        assert (built.grid_height, built.grid_width) == (wanted.grid_height, wanted.grid_width)
        count, further = len(wanted.vertices), len(wanted.faces)
        vertices, colors, faces = (part[n].cpu().numpy() for part in (built.vertices, built.colors, built.faces))
        assert wanted.quad_flags is not None
        np.testing.assert_array_equal(built.quad_flags[n].cpu().numpy(), wanted.quad_flags)
        np.testing.assert_array_equal(faces[:further], wanted.faces)
        np.testing.assert_array_equal(colors[:count], wanted.colors)
        np.testing.assert_array_equal(vertices[:count], wanted.vertices)
        assert not faces[further:].any()
        assert not colors[count:].any()
    sizes = [(len(s.vertices), len(s.faces)) for s in map(mesh.surface, times)]
    assert (built.num_vertices, built.faces.shape[1]) == tuple(np.max(sizes, axis=0))


CASES = ["scene", "foliage", "noise", "flags and edits", "map", "map of each frame", "share", "length", "prepared"]


@pytest.mark.parametrize("case", CASES)
def test_surfaces_equal_the_cpu_s(case: str, device: Any) -> None:
    assert_equal_to_the_cpu(small_mesh(case), device, [0, 1])


def test_frames_may_come_in_any_order_and_again(device: Any) -> None:
    assert_equal_to_the_cpu(flagged(), device, [1, 0, 1])


def test_thickness_equals_the_cpu_s_at_the_corners_of_cut_quads(device: Any) -> None:
    from ex4d.dwmesh.gpu.build import DeviceMesh

    mesh = small_mesh("noise")
    solid = DeviceMesh(mesh, device, kernels=True).solid
    assert solid is not None
    assert mesh.solid is not None
    parts = solid.parts([0])
    found = int(parts.ends[0, 1, -1])
    inverse = np.float32(1) / mesh.solid._depth(0, None)
    wanted = mesh.solid._thickness(0, inverse, mesh.solid.cuts(0, None, None, serial), serial).reshape(-1)
    upper_left = parts.quads[0, :found, 0].cpu().numpy()
    corners = upper_left[:, None] + [0, 1, solid.width + 1, solid.width]
    assert found > 50
    np.testing.assert_array_equal(solid.thickness(parts)[0, :found].cpu().numpy(), wanted[corners])


def test_a_backdrop_is_built_on_the_host(device: Any) -> None:
    from ex4d.dwmesh.gpu.build import DeviceMesh

    still = make_clip(frames=3, depth=scene(3, *SMALL))
    clip = Clip(np.repeat(still.frames[:1], 3, axis=0), still.depth, still.intrinsics)
    mesh = DWMesh(clip, structs.replace(SOLID, other_frames=True))
    on_device = DeviceMesh(mesh, device, kernels=True)
    assert on_device.solid is None
    wanted = mesh.surface(1)
    np.testing.assert_array_equal(on_device.surfaces([1]).vertices[0].cpu().numpy(), wanted.vertices)


def turned(clip: Clip, degrees: float) -> Trajectory:
    """Around the scene, from the source view to ``degrees`` aside."""
    angle = np.radians(degrees) * np.linspace(0, 1, clip.num_frames)
    poses = np.tile(np.eye(4), (clip.num_frames, 1, 1))
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angle)
    poses[:, 0, 2], poses[:, 2, 0] = -np.sin(angle), np.sin(angle)
    poses[:, 0, 3], poses[:, 2, 3] = 3.0 * np.sin(angle), 3.0 * (1 - np.cos(angle))
    return make_trajectory(clip, poses)


def least_iou(a: np.ndarray, b: np.ndarray) -> float:
    return min(float((x & y).sum() / max((x | y).sum(), 1)) for x, y in zip(a, b, strict=True))


def assert_drawn_as_on_the_cpu(mesh: DWMesh, name: str, degrees: float = 40.0, least: float = 0.999) -> None:
    trajectory = turned(mesh.clip, degrees)
    drawn, wanted = (render_guides(mesh, trajectory, rasterizer=r) for r in (name, "cpu"))
    assert 0.1 < wanted.mask.mean() < 0.999
    assert least_iou(drawn.mask, wanted.mask) >= least
    both = drawn.mask & wanted.mask
    assert np.abs(drawn.colour[both].astype(int) - wanted.colour[both]).mean() <= (0.01 if name == "triton" else 4.0)


def test_small_pictures_are_the_cpu_s(device: Any) -> None:
    del device
    assert_drawn_as_on_the_cpu(small_mesh("scene"), "triton", 20.0)


@large
@pytest.mark.parametrize("size", [(512, 512), (300, 1100)])
@pytest.mark.parametrize("kind", [scene, foliage])
def test_large_surfaces_equal_the_cpu_s(size: tuple[int, int], kind: Any, device: Any) -> None:
    assert_equal_to_the_cpu(DWMesh(make_clip(depth=kind(2, *size)), SOLID), device, [0, 1])


@large
@pytest.mark.parametrize(
    ("name", "kind", "least"),
    [
        ("triton", scene, 0.999),
        ("triton", foliage, 0.999),
        ("nvdiffrast", scene, 0.995),
        ("nvdiffrast", foliage, 0.9),  # its 1/16 pixel is coarse against leaves of one pixel
    ],
)
def test_large_pictures_are_the_cpu_s(name: str, kind: Any, least: float) -> None:
    usable_rasterizer(name)
    assert_drawn_as_on_the_cpu(DWMesh(make_clip(depth=kind(4, 512, 512)), SOLID), name, least=least)


@large
def test_an_estimated_clip_s_surfaces_equal_the_cpu_s(device: Any, recon_dir: Path) -> None:
    """The published program's depth: smeared edges, which are sharpened on the way."""
    with np.load(recon_dir / "recon_60.npz") as data:
        frames, depth, k = data["frames"], data["depth"], data["K"]
    lens = Intrinsics(float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]), depth.shape[2], depth.shape[1])
    mesh = DWMesh(Clip(frames, depth, lens), MeshOptions(mode="solid"))
    assert_equal_to_the_cpu(mesh, device, list(range(min(4, len(depth)))))


@large
def test_the_batch_size_does_not_change_a_byte(device: Any) -> None:
    from ex4d.guides.gpu import render_guides_gpu

    clip = make_clip(depth=foliage(5, 96, 128))
    mesh, trajectory = DWMesh(clip, SOLID), turned(clip, 30.0)
    requests = [GuideRequest(mesh, trajectory, frames_per_batch=n) for n in (1, 2, 5)]
    first, *others = (render_guides_gpu(request, device=device).to_host() for request in requests)
    assert first.mask.any()
    for other in others:
        np.testing.assert_array_equal(other.colour, first.colour)
        np.testing.assert_array_equal(other.mask, first.mask)
