"""The GPU rasterizers against the oracle, the CPU and the published program's numbers.

They need a CUDA device. ``TRITON_INTERPRET=1 pytest -m gpu tests/geometry/test_gpu.py`` runs the Triton kernels
in Python instead, slowly, on any machine that has Triton.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mask_bars import assert_masks_meet_the_bars
from msgspec import structs

from ex4d.dwmesh import DWMesh
from ex4d.guides import render_guides
from ex4d.guides.request import GuideRequest
from ex4d.progress import CancelToken, Progress
from ex4d.raster import Camera, Rasterizer, get_rasterizer
from ex4d.surface import QUAD_DROP, QUAD_HIDE_LOWER, QUAD_HIDE_UPPER
from ex4d.types import Clip, Guides
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import Cancelled, RasterError, SettingError
from ex4d_ground.options import MeshOptions, RasterOptions

from .conftest import (
    GOLDEN,
    INTERPRETED,
    ON_DEVICE,
    assert_surfaces_equal,
    edited_mesh,
    make_clip,
    make_trajectory,
    usable_rasterizer,
)
from .test_cpu_vs_oracle import compare, random_lens, random_pose, random_soup
from .test_fill_rule import (
    LAYOUTS,
    assert_cut_triangles_stay_joined,
    expected_cover,
    flat_camera,
    flat_grid,
    single_quads,
    single_triangles,
    times_covered,
)

pytestmark = ON_DEVICE
NAMES = ["triton", "nvdiffrast"]
SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(
    max_examples=6 if INTERPRETED else 40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="session", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Each rasterizer that can run here."""
    usable_rasterizer(request.param)
    return request.param


@pytest.fixture(scope="session")
def triton_raster() -> Rasterizer:
    return usable_rasterizer("triton")


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


@FEW
@given(seed=SEEDS, kind=st.sampled_from(["any", "sliver", "huge"]))
def test_random_triangles_are_drawn_as_the_oracle_does(triton_raster: Rasterizer, seed: int, kind: str) -> None:
    """In front, behind, across the near plane, out of the guard band."""
    rng = np.random.default_rng(seed)
    options = RasterOptions(near=float(rng.choice([0.001, 0.3])), far=float(rng.choice([4.0, 1000.0])))
    camera = Camera(random_pose(rng, 1.0, 1.0), random_lens(rng))
    compare(random_soup(rng, kind), camera, options, exact=False, raster=triton_raster)


@FEW
@given(seed=SEEDS, turn=st.sampled_from([0.02, 0.2, 1.0]))
def test_random_meshes_are_drawn_as_the_oracle_does(triton_raster: Rasterizer, seed: int, turn: float) -> None:
    """In front of the camera exactly, samples on edges included."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(1, 6, (1, *rng.integers(3, 12, 2))).astype(np.float32)
    mesh = DWMesh(make_clip(seed, depth=depth), MeshOptions(min_angle_deg=float(rng.uniform(0, 30)), border_depth=8.0))
    surface, camera = mesh.surface(0), Camera(random_pose(rng, turn, 0.5), random_lens(rng))
    z = surface.vertices @ camera.camera_from_world[2, :3] + camera.camera_from_world[2, 3]
    compare(surface, camera, exact=bool((z > 0.01).all()), raster=triton_raster)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shift", [(0, 0), (-9, 8), (1, 17)])
def test_each_sample_is_covered_exactly_once(triton_raster: Rasterizer, layout: str, shift: tuple[int, int]) -> None:
    grid = flat_grid(layout, seed=abs(sum(shift)))
    for mirrored in (False, True):
        placed = np.ascontiguousarray(grid[:, ::-1]) if mirrored else grid
        wanted = expected_cover(grid, *shift)
        for surfaces in (single_triangles(placed), single_quads(placed)):
            np.testing.assert_array_equal(times_covered(triton_raster, surfaces, flat_camera(*shift)), wanted)


def test_cut_triangles_stay_joined_at_the_near_plane(triton_raster: Rasterizer) -> None:
    assert_cut_triangles_stay_joined(triton_raster)


@pytest.mark.parametrize("one_sided", [False, True])
def test_dropped_and_hidden_quads_and_backs_are_as_on_the_cpu(name: str, one_sided: bool) -> None:
    rng = np.random.default_rng(3)
    plain = DWMesh(make_clip(3, frames=1)).surface(0)
    flags = rng.choice([0, 0, 0, QUAD_DROP, QUAD_HIDE_UPPER, QUAD_HIDE_LOWER], 23 * 31).astype(np.uint8)
    surface = replace(plain, quad_flags=flags, one_sided=one_sided)
    for turn in (0.05, 1.0):
        camera = Camera(random_pose(rng, turn, 0.3), Intrinsics(30.0, 26.0, 17.0, 11.0, 40, 30))
        colour, mask = usable_rasterizer(name).draw(surface, camera)
        wanted_colour, wanted_mask = get_rasterizer("cpu").draw(surface, camera)
        assert iou(mask, wanted_mask) >= (0.999 if name == "triton" else 0.97)
        both = mask & wanted_mask
        assert np.abs(colour[both].astype(int) - wanted_colour[both]).mean() <= (0.01 if name == "triton" else 3)


def parity_mesh(golden: dict[str, np.ndarray], config: dict) -> DWMesh:
    k, (_, height, width, _) = golden["K"], golden["frames"].shape
    lens = Intrinsics(float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]), width, height)
    options = structs.replace(
        MeshOptions.ex4d_parity(), border_depth=config["border_depth"], min_angle_deg=config["min_angle_deg"]
    )
    return DWMesh(Clip(golden["frames"], golden["depth"], lens), options)


@pytest.mark.parametrize("preset", json.loads((GOLDEN / "recon" / "config.json").read_text())["presets"])
@pytest.mark.parametrize("antialias", [False, True])
def test_guides_agree_with_the_published_ones(name: str, preset: str, antialias: bool, recon_dir: Path) -> None:
    config = json.loads((recon_dir / "config.json").read_text())
    with np.load(recon_dir / f"recon_{preset}.npz") as data:
        golden = dict(data)
    mesh = parity_mesh(golden, config)
    poses = np.linalg.inv(np.diag([-1.0, 1, 1, 1]) @ golden["view"].astype(np.float64))
    k, n = mesh.clip.intrinsics, len(poses)
    lens = np.tile([k.fx, k.fy, k.cx, k.cy], (n, 1))
    trajectory = Trajectory(poses, lens, np.arange(n, dtype=float), k.width, k.height)
    options = structs.replace(
        RasterOptions.ex4d_parity(), near=config["near"], far=config["far"],
        mask_threshold=config["mask_threshold"], antialias=antialias,
    )  # fmt: skip
    guides = render_guides(mesh, trajectory, rasterizer=name, options=options, source_first_frame=True)
    wanted = golden["rgba"]
    np.testing.assert_array_equal(guides.rgba[0], wanted[0])
    assert_masks_meet_the_bars(guides.mask[1:], wanted[1:, ..., 3] > 0, blended=antialias)
    for t in range(1, n):
        both = guides.mask[t] & (wanted[t, ..., 3] > 0)
        error = np.abs(guides.colour[t].astype(int) - wanted[t, ..., :3])[both]
        assert error.size == 0 or error.mean() <= 1.0


@pytest.mark.parametrize("mode", ["endless", "solid"])
def test_antialiased_built_pictures_are_the_cpu_s(triton_raster: Rasterizer, mode: str) -> None:
    """In front of the camera and cut by it; the few samples where two triangles are as near may differ."""
    rng = np.random.default_rng(5)
    options = RasterOptions(antialias=True)
    built = MeshOptions.ex4d_parity() if mode == "endless" else MeshOptions(mode="solid")
    mesh = DWMesh(make_clip(4, frames=1), built)
    for turn in (0.05, 1.0):
        camera = Camera(random_pose(rng, turn, 0.3), Intrinsics(30.0, 26.0, 17.0, 11.0, 40, 30))
        colour, mask = triton_raster.draw(mesh.surface(0), camera, options)
        wanted_colour, wanted_mask = get_rasterizer("cpu").draw(mesh.surface(0), camera, options)
        assert (mask != wanted_mask).sum() <= 2
        both = mask & wanted_mask
        # Where a solid's front and back meet at a rim, both are as near, and rounding decides which is in front: 5 of
        # 631 samples of this scene, one of them by 62 levels, which makes a mean of 0.14. Endless meshes have no ties.
        bar = 0.2 if mode == "solid" else 0.01
        assert both.any() and np.abs(colour[both].astype(int) - wanted_colour[both]).mean() <= bar


@pytest.mark.parametrize("options", [MeshOptions(), MeshOptions.ex4d_parity(), MeshOptions(hidden_by="face")])
def test_meshes_built_by_kernels_equal_the_cpu_s(triton_raster: Rasterizer, options: MeshOptions) -> None:
    from ex4d.dwmesh.gpu.build import DeviceMesh

    mesh = edited_mesh(options)
    on_device = DeviceMesh(mesh, triton_raster.device, kernels=True)  # type: ignore[attr-defined]
    for times in ([0, 1, 2], [2, 0, 0, 1]):
        vertices = on_device.vertices(times)
        occluded = on_device.face_occluded(times, vertices)
        for n, t in enumerate(times):
            np.testing.assert_array_equal(occluded[n].cpu().numpy(), mesh.face_occluded(t))
        assert_surfaces_equal(on_device.surfaces(times), mesh, times)


def wide_trajectory(clip: Clip, seed: int, width: int, height: int) -> Trajectory:
    """Roll, unequal focal lengths, a shifted centre, another picture size, source frames out of order."""
    rng = np.random.default_rng(seed)
    poses = np.stack([np.linalg.inv(random_pose(rng, 0.06, 0.15)) for _ in range(6)])
    k = clip.intrinsics
    scale = width / k.width
    lens = np.tile([0.9 * k.fx * scale, 1.1 * k.fy * scale, 0.55 * width, 0.46 * height], (6, 1))
    return Trajectory(poses, lens, np.array([0.0, 2.0, 1.4, 1.0, 1.0, 0.0]), width, height)


@pytest.mark.parametrize("seed", range(4))
def test_rasterizers_agree_on_random_scenes(name: str, seed: int) -> None:
    size = (32, 40) if INTERPRETED else (192, 256)
    clip = make_clip(seed, frames=3, height=size[0], width=size[1])
    mesh, trajectory = DWMesh(clip), wide_trajectory(clip, seed, 5 * size[1] // 4, size[0])
    drawn, wanted = (render_guides(mesh, trajectory, rasterizer=r) for r in (name, "cpu"))
    assert 0.1 < wanted.mask.mean() < 0.95
    if name == "triton":
        assert (drawn.mask != wanted.mask).mean() <= 2e-4
        both = drawn.mask & wanted.mask
        assert np.abs(drawn.colour[both].astype(int) - wanted.colour[both]).mean() <= 0.01
    assert min(iou(drawn.mask[i], wanted.mask[i]) for i in range(6)) >= 0.995


def test_the_source_view_is_the_source_exactly(triton_raster: Rasterizer) -> None:
    del triton_raster
    clip = make_clip(3, frames=2, height=24, width=32)
    mesh = DWMesh(clip)
    trajectory = make_trajectory(clip, np.tile(np.eye(4), (2, 1, 1)))
    guides = render_guides(mesh, trajectory, rasterizer="triton")
    inner = np.s_[1:-1, 1:-1]
    for t in range(2):
        visible = mesh.vertex_visible(t).reshape(24, 32)[inner]
        np.testing.assert_array_equal(guides.mask[t][inner], visible)
        np.testing.assert_array_equal(guides.colour[t][inner][visible], clip.frames[t][inner][visible])


def test_the_batch_size_does_not_change_a_byte(name: str) -> None:
    from ex4d.guides.gpu import render_guides_gpu

    clip = make_clip(frames=5)
    mesh, trajectory = DWMesh(clip), make_trajectory(clip)
    results = [render_guides_gpu(GuideRequest(mesh, trajectory, frames_per_batch=n), name).to_host() for n in (1, 2, 5)]
    assert results[0].mask.any()
    for other in results[1:]:
        np.testing.assert_array_equal(other.colour, results[0].colour)
        np.testing.assert_array_equal(other.mask, results[0].mask)


def test_depth_is_that_of_the_visible_surface(name: str) -> None:
    from ex4d.guides.gpu import render_guides_gpu

    clip = make_clip(frames=2)
    trajectory = make_trajectory(clip, np.tile(np.eye(4), (2, 1, 1)))
    guides = render_guides_gpu(GuideRequest(DWMesh(clip), trajectory, depth=True), name).to_host()
    assert guides.depth is not None
    inner = np.zeros(guides.mask.shape, bool)
    inner[:, 1:-1, 1:-1] = guides.mask[:, 1:-1, 1:-1]
    np.testing.assert_allclose(guides.depth[inner], clip.depth[inner], rtol=1e-3)
    assert not guides.depth[~guides.mask].any()


def test_frames_and_progress_arrive_in_order_from_the_caller_s_thread(name: str) -> None:
    clip = make_clip(frames=7)
    seen: list[tuple[int, bytes]] = []
    steps: list[Progress] = []

    def on_frame(i: int, colour: np.ndarray, mask: np.ndarray) -> None:
        assert threading.current_thread() is threading.main_thread()
        seen.append((i, colour.tobytes() + mask.tobytes()))

    guides: Guides = render_guides(
        DWMesh(clip), make_trajectory(clip), rasterizer=name, on_frame=on_frame, on_progress=steps.append
    )
    assert seen == [(i, guides.colour[i].tobytes() + guides.mask[i].tobytes()) for i in range(7)]
    assert [(s.done, s.total) for s in steps] == [(n, 7) for n in range(8)]


def test_cancel_stops_between_batches(name: str) -> None:
    from ex4d.guides.gpu import render_guides_gpu

    token = CancelToken()

    def on_progress(step: Progress) -> None:
        if step.done >= 1:
            token.cancel()

    clip = make_clip(frames=7)
    with pytest.raises(Cancelled):
        request = GuideRequest(DWMesh(clip), make_trajectory(clip), frames_per_batch=1)
        render_guides_gpu(request, name, on_progress=on_progress, cancel=token)


def test_what_cannot_be_drawn_is_said(name: str) -> None:

    clip = make_clip()
    mesh, trajectory = DWMesh(clip), make_trajectory(clip)
    with pytest.raises(RasterError, match="0 < near < far"):
        render_guides(mesh, trajectory, rasterizer=name, options=RasterOptions(near=2.0, far=1.0))
    with pytest.raises(SettingError, match="At least one frame a batch"):
        GuideRequest(mesh, trajectory, frames_per_batch=0)
