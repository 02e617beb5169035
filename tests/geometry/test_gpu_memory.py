"""World memory on the device, against the CPU's.

They need a CUDA device. ``TRITON_INTERPRET=1 pytest -m gpu tests/geometry/test_gpu_memory.py`` runs the small ones in
Python instead, slowly, on any machine that has Triton.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from ex4d.dwmesh import FACE_OCCLUDED, FACE_VISIBLE, DWMesh, memory
from ex4d.guides import FrameRenderer, render_guides
from ex4d.guides.request import GuideRequest
from ex4d.raster import Camera
from ex4d.types import Clip
from ex4d_ground.arrays import Float64
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions
from ex4d_ground.poses import pose
from ex4d_ground.source_camera import SourceCamera

from .conftest import INTERPRETED, ON_DEVICE, make_trajectory, usable_rasterizer

pytestmark = ON_DEVICE
REMEMBERS = MeshOptions(mode="solid", other_frames=True, world_memory=True, sharpen_edges="off", steady_depth="off")
large = pytest.mark.skipif(INTERPRETED, reason="takes hours in Triton's interpreter")
SMALL = (12, 15)


def filmed(size: tuple[int, int], count: int = 5, *, shaken: bool = True) -> Clip:
    """A wall, a floor, two boxes before them and one that moves, from a camera that trucks, pans and dollies."""
    height, width = size
    lens = Intrinsics.from_focal(width, height, 0.9 * width)
    x, y = (np.arange(width) + 0.5 - width / 2) / lens.fx, (np.arange(height) + 0.5 - height / 2) / lens.fy
    rays = np.stack([*np.meshgrid(x, y), np.ones((height, width))], axis=-1)
    poses = travel(count)
    frames, depth = np.empty((count, height, width, 3), np.uint8), np.empty((count, height, width), np.float32)
    for t in range(count):
        boxes = [(9.0, 0.0, 0.0, 99.0), (4.0, -0.9, 0.2, 0.5), (5.5, 1.2, -0.4, 0.7), (3.0, -0.5 + 0.5 * t, 0.9, 0.3)]
        seen, z = rays @ poses[t, :3, :3].T, np.full((height, width), np.inf)
        for n, (far, left, top, half) in enumerate(boxes):
            reach = (far - poses[t, 2, 3]) / seen[..., 2]
            at = poses[t, :2, 3] + seen[..., :2] * reach[..., None]
            hit = (np.abs(at - (left, top)) < half).all(axis=-1) & (reach < z)
            waves = np.stack([np.sin(2 * at[..., 0]), np.cos(1.7 * at[..., 1]), np.sin(at.sum(-1) + n)], -1)
            frames[t][hit], z = (128 + 20 * n + 40 * waves)[hit].astype(np.uint8), np.where(hit, reach, z)
        depth[t] = z
    if shaken:
        depth *= (1 + 0.004 * np.random.default_rng(0).standard_normal(depth.shape)).astype(np.float32)
    return Clip(frames, depth, lens, source_camera=SourceCamera.of(poses, lens))


def travel(count: int) -> Float64:  # [T, 4, 4]
    turns = []
    for angle in np.radians(-2.5) * np.arange(count):
        c, s = np.cos(angle), np.sin(angle)
        turns.append([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return pose(np.array(turns), np.outer(np.arange(count), [0.15, 0.02, 0.05]))


def edited(clip: Clip) -> DWMesh:
    """A frame with vertices that were moved, and two with flags."""
    rng, height, width = np.random.default_rng(1), clip.height, clip.width
    count = 2 * (height - 1) * (width - 1) + 2
    flags = {t: rng.choice([0, 0, 0, FACE_VISIBLE, FACE_OCCLUDED], count).astype(np.int8) for t in (1, 2)}
    moved = DWMesh(clip, REMEMBERS).vertices(1)
    moved[20:70] *= rng.uniform(0.8, 1.3, (50, 3)).astype(np.float32)
    return DWMesh(clip, REMEMBERS, face_flags=flags, vertex_overrides={1: moved})


def mesh_of(case: str) -> DWMesh:
    clip = filmed(SMALL)
    if case == "edits":
        return edited(clip)
    if case == "painted":
        painted = np.full(SMALL, np.nan, np.float32)
        painted[4:9] = 0.25
        return DWMesh(clip, REMEMBERS, thickness_map=painted)
    options = {
        "a length": structs.replace(REMEMBERS, thickness=0.7, thickness_unit="depth", pixel_anchor="corner"),
        "prepared": structs.replace(REMEMBERS, sharpen_edges="on"),
    }
    return DWMesh(clip, options.get(case, REMEMBERS))


@pytest.fixture(scope="session")
def device() -> Any:
    return usable_rasterizer("triton").device


def triangles(vertices: np.ndarray, colors: np.ndarray, faces: np.ndarray) -> np.ndarray:  # [F, 21]
    """Corners and colours of all triangles, sorted."""
    rows = np.concatenate([vertices, colors], axis=1)[faces].reshape(len(faces), -1)
    return rows[np.lexsort(np.round(rows, 4).T)]


def assert_the_same_memory(mesh: DWMesh, device: Any) -> None:
    from ex4d.dwmesh.gpu.memory import DeviceMemory

    assert mesh.solid is not None and mesh.solid.memory is not None
    wanted, found = mesh.solid.memory.memory, DeviceMemory(mesh, device).mesh
    assert len(wanted.faces) > 100
    assert (found.num_vertices, found.num_faces) == (len(wanted.vertices), len(wanted.faces))
    built = triangles(*(part.cpu().numpy() for part in (found.vertices, found.colors, found.faces)))
    np.testing.assert_allclose(built, triangles(*wanted), atol=1e-5)


def with_the_cpu_s_memory(mesh: DWMesh, device: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A device mesh whose memory has the CPU's vertices in its order."""
    from ex4d.dwmesh.gpu import memory as device_memory
    from ex4d.dwmesh.gpu.build import DeviceMesh
    from ex4d.dwmesh.gpu.remembered import Remembered

    assert mesh.solid is not None and mesh.solid.memory is not None
    given = Remembered.of(mesh.solid.memory.memory, device)
    monkeypatch.setattr(device_memory.DeviceMemory, "_voted", lambda self: given)
    return DeviceMesh(mesh, device, kernels=True)


def assert_surfaces_equal(on_device: Any, mesh: DWMesh, times: list[int]) -> None:
    assert on_device.solid is not None
    built = on_device.surfaces(times)
    sizes = []
    for n, t in enumerate(times):
        wanted = mesh.surface(t)
        count, further = len(wanted.vertices), len(wanted.faces)
        vertices, colors, faces = (part[n].cpu().numpy() for part in (built.vertices, built.colors, built.faces))
        np.testing.assert_array_equal(faces[:further], wanted.faces)
        np.testing.assert_array_equal(colors[:count], wanted.colors)
        np.testing.assert_array_equal(vertices[:count], wanted.vertices)
        assert not faces[further:].any() and not colors[count:].any()
        sizes.append((count, further))
    assert (built.num_vertices, built.faces.shape[1]) == tuple(np.max(sizes, axis=0))


def test_it_is_the_cpu_s(device: Any) -> None:
    assert_the_same_memory(DWMesh(filmed(SMALL), REMEMBERS), device)


def test_one_that_is_full_takes_no_more(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, mesh = (DWMesh(filmed(SMALL), REMEMBERS) for _ in range(2))
    assert mesh.solid is not None and mesh.solid.memory is not None
    assert whole.solid is not None and whole.solid.memory is not None
    assert len(whole.solid.memory.memory.faces) > 400
    monkeypatch.setattr(memory, "MOST_FACES", 400)
    assert 400 < len(mesh.solid.memory.memory.faces) < len(whole.solid.memory.memory.faces)
    assert_the_same_memory(mesh, device)


@pytest.mark.parametrize("case", ["plain", "edits", "painted", "a length", "prepared"])
def test_surfaces_equal_the_cpu_s(case: str, device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = mesh_of(case)
    alone = DWMesh(mesh.clip, structs.replace(mesh.options, other_frames=False, world_memory=False))
    assert len(mesh.surface(0).faces) > len(alone.surface(0).faces)
    assert_surfaces_equal(with_the_cpu_s_memory(mesh, device, monkeypatch), mesh, [3, 0, 1, 1])


def test_walls_end_where_the_cpu_s_do(device: Any) -> None:
    """Walls that are drawn too thick are shortened by what other frames see, in the same places."""
    from ex4d.bands import serial
    from ex4d.dwmesh.gpu.build import DeviceMesh
    from ex4d.dwmesh.thickness import estimated

    mesh = DWMesh(filmed(SMALL, shaken=False), REMEMBERS)
    solid = DeviceMesh(mesh, device, kernels=True).solid
    assert solid is not None and mesh.solid is not None and mesh.solid.memory is not None
    parts = solid.parts([2])
    found = int(parts.ends[0, 1, -1])
    inverse = np.float32(1) / mesh.solid._depth(2, None)
    cuts = mesh.solid.cuts(2, None, None, serial)
    wanted = mesh.solid._thickness(2, inverse, cuts, serial).reshape(-1)
    guessed = estimated(inverse, cuts, mesh.solid.optics(2).pitch, mesh.solid.bush_px, serial).reshape(-1)
    upper_left = parts.quads[0, :found, 0].cpu().numpy()
    corners = upper_left[:, None] + [0, 1, solid.width + 1, solid.width]
    assert (wanted[corners] < guessed[corners]).any()
    np.testing.assert_array_equal(solid.thickness(parts)[0, :found].cpu().numpy(), wanted[corners])


def test_a_batch_is_as_large_as_there_is_room_for(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ex4d.guides import gpu

    mesh = DWMesh(filmed(SMALL, 3), REMEMBERS)
    with gpu.GpuGuideRenderer(mesh, device=device) as renderer:
        assert renderer.surfaces.solid is not None
        vertices, triangles = renderer.surfaces.sizes()
        sizes = [(len(s.vertices), len(s.faces)) for s in map(mesh.surface, range(3))]
        assert vertices == max(v for v, _ in sizes)
        assert triangles == max(f for _, f in sizes) + 2 * (SMALL[0] + 1) * (SMALL[1] + 1)
        each = renderer.surfaces.bytes_per_frame()
        assert each > renderer.surfaces.solid._memory.bytes_per_frame() > 0  # type: ignore[union-attr]
        monkeypatch.setattr(
            gpu, "BATCH_BYTES", 3 * (each + renderer.rasterizer.bytes_per_frame(vertices, triangles, 9))
        )
        assert renderer.frames_per_batch(9) == 3


def turning(clip: Clip, degrees: float) -> Trajectory:
    """Along with the source camera, and more and more away from it."""
    turns = []
    for angle in np.radians(np.linspace(0, degrees, clip.num_frames)):
        c, s = np.cos(angle), np.sin(angle)
        turns.append([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    assert clip.source_camera is not None
    relative = make_trajectory(clip, pose(np.array(turns), np.zeros((clip.num_frames, 3))))
    return clip.source_camera.in_world(relative)


def assert_drawn_as_on_the_cpu(clip: Clip, degrees: float, least: float) -> None:
    mesh, move = DWMesh(clip, REMEMBERS), turning(clip, degrees)
    without = DWMesh(clip, structs.replace(REMEMBERS, other_frames=False, world_memory=False))
    alone = render_guides(without, move, rasterizer="triton")
    drawn, wanted = (render_guides(mesh, move, rasterizer=r) for r in ("triton", "cpu"))
    one, other = np.asarray(drawn.mask), np.asarray(wanted.mask)
    assert other.mean() > np.asarray(alone.mask).mean() + 0.02
    assert (one & other).sum() / (one | other).sum() >= least
    both = one & other
    assert np.abs(np.asarray(drawn.colour)[both].astype(int) - np.asarray(wanted.colour)[both]).mean() <= 0.1
    with FrameRenderer(mesh, rasterizer="triton") as live:
        i = clip.num_frames - 1
        colour, _ = live.render(i, Camera.of(clip.seen_by_source(move), i))
    np.testing.assert_array_equal(colour, drawn.colour[i])


def test_small_pictures_are_the_cpu_s(device: Any) -> None:
    del device
    assert_drawn_as_on_the_cpu(filmed(SMALL), 20.0, 0.99)


def test_a_zoom_is_remembered_on_the_host(device: Any) -> None:
    from ex4d.dwmesh.gpu.build import DeviceMesh

    clip = filmed(SMALL)
    k, camera = clip.intrinsics, clip.source_camera
    assert camera is not None
    lenses = np.tile([k.fx, k.fy, k.cx, k.cy], (clip.num_frames, 1)) * (
        1 + 1e-3 * np.arange(clip.num_frames)[:, None] * [1, 1, 0, 0]
    )
    zooms = SourceCamera(camera.world_from_camera, lenses, clip.width, clip.height)
    mesh = DWMesh(replace(clip, source_camera=zooms), REMEMBERS)
    on_device = DeviceMesh(mesh, device, kernels=True)
    assert on_device.solid is None
    built = on_device.surfaces([1])
    np.testing.assert_array_equal(built.vertices[0].cpu().numpy(), mesh.surface(1).vertices)


@large
def test_a_large_one_is_the_cpu_s(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = DWMesh(filmed((240, 320), 9), REMEMBERS)
    assert_the_same_memory(mesh, device)
    assert_surfaces_equal(with_the_cpu_s_memory(mesh, device, monkeypatch), mesh, [0, 4, 8])


@large
def test_large_pictures_are_the_cpu_s(device: Any) -> None:
    del device
    assert_drawn_as_on_the_cpu(filmed((256, 384), 9), 30.0, 0.999)


@large
def test_the_batch_size_does_not_change_a_byte(device: Any) -> None:
    from ex4d.guides.gpu import render_guides_gpu

    clip = filmed((96, 128), 7)
    mesh, move = DWMesh(clip, REMEMBERS), turning(clip, 30.0)
    requests = [GuideRequest(mesh, move, frames_per_batch=n) for n in (1, 3, 7)]
    first, *others = (render_guides_gpu(request, device=device).to_host() for request in requests)
    assert np.asarray(first.mask).any()
    for other in others:
        np.testing.assert_array_equal(other.colour, first.colour)
        np.testing.assert_array_equal(other.mask, first.mask)
