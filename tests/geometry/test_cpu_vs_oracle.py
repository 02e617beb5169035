"""The fast rasterizer held against the slow one, on random surfaces and cameras, and against plain ray casting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ex4d.dwmesh import DWMesh
from ex4d.raster import Camera, Rasterizer, get_rasterizer
from ex4d.surface import Surface
from ex4d_ground.arrays import Bool, Float64
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import RasterError
from ex4d_ground.options import MeshOptions, RasterOptions

from .conftest import make_clip
from .oracle import OracleRasterizer, all_faces, sample
from .rays import crossings

NO_FACES = np.empty((0, 3), np.int32)
SEEDS = st.integers(0, 2**32 - 1)


def random_pose(rng: np.random.Generator, turn: float, shift: float) -> Float64:  # [4, 4]
    axis = rng.normal(size=3)
    angle = turn * rng.uniform(-np.pi, np.pi)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    pose = np.eye(4)
    pose[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    pose[:3, 3] = shift * rng.normal(size=3)
    return pose


def random_lens(rng: np.random.Generator) -> Intrinsics:
    width, height = (int(v) for v in rng.integers(5, 24, 2))
    fx, fy = np.exp(rng.uniform(1, 4, 2))
    cx, cy = rng.uniform(-0.5, 1.5, 2) * [width, height]
    return Intrinsics(float(fx), float(fy), float(cx), float(cy), width, height)


def random_soup(rng: np.random.Generator, kind: str) -> Surface:
    """Triangles without any order: "any", "sliver" (two corners nearly the same) or "huge"."""
    count = int(rng.integers(1, 12))
    corner = rng.normal(size=(count, 3, 3)) * [2, 2, 4] + [0, 0, 3]
    if kind == "sliver":
        corner[:, 1] = corner[:, 0] + 10.0 ** rng.uniform(-7, -1) * rng.normal(size=(count, 3))
    if kind == "huge":
        corner *= 10.0 ** rng.uniform(1, 5, (count, 1, 1))
    colors = rng.integers(0, 256, (3 * count, 4), dtype=np.uint8)
    faces = np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    return Surface(corner.reshape(-1, 3).astype(np.float32), colors, faces)


def shifted(camera: Camera, dx: float, dy: float) -> Camera:
    k = camera.intrinsics
    moved = Intrinsics(k.fx, k.fy, k.cx + dx, k.cy + dy, k.width, k.height)
    return Camera(camera.camera_from_world, moved)


def unsettled(surface: Surface, camera: Camera, options: RasterOptions) -> Bool:  # [H, W]
    """Samples that a move of the picture by 1/64 pixel changes: next to an edge, or where two surfaces are so close.

    Corners are moved to the nearest 1/256 pixel before depth is reckoned, on a device but for those of cut triangles.
    """
    seen = sample(surface, camera, options)
    here = seen.nearest
    near_edge = np.zeros(here.shape, bool)
    for dx in (-1 / 64, 1 / 64):
        for dy in (-1 / 64, 1 / 64):
            there = sample(surface, shifted(camera, dx, dy), options).nearest
            moved = np.abs(there - here)
            near_edge |= (moved > 0.2 * np.maximum(here, there)) | ((moved >= here - seen.second) & (here > 0))
    return near_edge


def compare(
    surface: Surface,
    camera: Camera,
    options: RasterOptions = RasterOptions(),
    exact: bool = True,
    raster: Rasterizer | None = None,
) -> None:
    """``raster``, by default the CPU's, against the oracle."""
    colour, mask = (raster or get_rasterizer("cpu")).draw(surface, camera, options)
    wanted_colour, wanted_mask = OracleRasterizer().draw(surface, camera, options)
    seen = sample(surface, camera, options)
    # Which of two surfaces at the same depth wins is not defined, nor is an alpha on the very threshold.
    free = (seen.nearest - seen.second <= 1e-6 * seen.nearest) & (seen.nearest > 0)
    free |= np.abs(seen.rgba[..., 3] - options.mask_threshold) < 1e-3
    if not exact:
        free |= unsettled(surface, camera, options)
    np.testing.assert_array_equal(mask[~free], wanted_mask[~free])
    both = mask & wanted_mask & ~free
    assert np.abs(colour[both].astype(int) - wanted_colour[both]).max(initial=0) <= 1
    assert not colour[~mask].any()


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(["any", "sliver"]))
def test_random_triangles_in_front_behind_and_across_the_near_plane(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    options = RasterOptions(near=float(rng.choice([0.001, 0.3])), far=float(rng.choice([4.0, 1000.0])))
    compare(random_soup(rng, kind), Camera(random_pose(rng, 1.0, 1.0), random_lens(rng)), options, exact=False)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_huge_triangles(seed: int) -> None:
    """They leave the guard band; the cut may move an edge by a fraction of a subpixel, not more."""
    rng = np.random.default_rng(seed)
    compare(random_soup(rng, "huge"), Camera(random_pose(rng, 1.0, 1.0), random_lens(rng)), exact=False)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_wide_triangles_before_and_behind_each_other(seed: int) -> None:
    """Parts of their rows are passed over where all that is there is nearer: no part that is seen."""
    rng = np.random.default_rng(seed)
    count, width, height = 8, 300, 6
    z = rng.permutation(np.linspace(1.0, 3.0, count))[:, None] * rng.uniform(0.8, 1.2, (count, 3))
    x, y = rng.uniform(-0.2, 1.2, (count, 3)) * width, rng.uniform(-1.0, 2.0, (count, 3)) * height
    corners = np.stack([x * z, y * z, z], axis=-1)
    colors = rng.integers(0, 256, (3 * count, 4), dtype=np.uint8)
    faces = np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    surface = Surface(corners.reshape(-1, 3).astype(np.float32), colors, faces)
    compare(surface, Camera(np.eye(4), Intrinsics(1.0, 1.0, 0.0, 0.0, width, height)), exact=False)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from([0.02, 0.2, 1.0]))
def test_random_meshes_from_random_cameras(seed: int, turn: float) -> None:
    """A DW-mesh in front of the camera is drawn exactly as the oracle draws it, samples on edges included."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(1, 6, (1, *rng.integers(3, 12, 2))).astype(np.float32)
    options = MeshOptions(min_angle_deg=float(rng.uniform(0, 30)), border_depth=8.0)
    surface = DWMesh(make_clip(seed, depth=depth), options).surface(0)
    camera = Camera(random_pose(rng, turn, 0.5), random_lens(rng))
    z = (surface.vertices @ camera.camera_from_world[2, :3]) + camera.camera_from_world[2, 3]
    compare(surface, camera, exact=bool((z > 0.01).all()))


def bumpy_grid(rng: np.random.Generator, height: int, width: int, one_sided: bool) -> Surface:
    """A grid with steps and noise, some quads dropped or hidden, some vertices transparent."""
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    z = (
        3
        + (rng.random((height, width)) < 0.1) * rng.uniform(-1, 2, (height, width))
        + 0.1 * rng.random((height, width))
    )
    vertices = np.stack([(column - width / 2) / width * z, (row - height / 2) / width * z, z], axis=-1)
    colors = rng.integers(0, 256, (height * width, 4), dtype=np.uint8)
    colors[:, 3] = np.where(rng.random(height * width) < 0.1, 0, 255)
    quads = (height - 1) * (width - 1)
    flags = (rng.integers(0, 8, quads) * (rng.random(quads) < 0.1)).astype(np.uint8)
    points = vertices.reshape(-1, 3).astype(np.float32)
    return Surface(points, colors, NO_FACES, height, width, flags, one_sided=one_sided)


@pytest.mark.parametrize("one_sided", [False, True])
@pytest.mark.parametrize("zoom", [0.6, 1.0, 2.5, 6.0])
def test_rows_longer_than_what_is_drawn_in_one_go(zoom: float, one_sided: bool) -> None:
    """Triangles from less than a sample to many, over several chunks of quads and batches of samples."""
    rng = np.random.default_rng(int(10 * zoom) + one_sided)
    surface = bumpy_grid(rng, 3, 300, one_sided)
    camera = Camera(random_pose(rng, 0.02, 0.02), Intrinsics(150.0 * zoom, 150.0 * zoom, 80.0, 4.0, 160, 8))
    compare(surface, camera)


@pytest.mark.parametrize("turn", [0.0, 0.1, 1.0])
def test_a_grid_s_triangles_given_by_index_give_the_same_picture(turn: float) -> None:
    """The two have loops of their own. Behind the camera, too, where ``turn`` reaches that far."""
    rng = np.random.default_rng(5)
    grid = replace(bumpy_grid(rng, 120, 310, False), quad_flags=None)
    loose = Surface(grid.vertices, grid.colors, all_faces(grid))
    seen = 0
    for _ in range(4):
        camera = Camera(random_pose(rng, turn, 0.5), Intrinsics(300.0, 280.0, 150.0, 70.0, 310, 130))
        drawn, wanted = (get_rasterizer("cpu").draw(s, camera) for s in (loose, grid))
        np.testing.assert_array_equal(drawn[1], wanted[1])
        np.testing.assert_array_equal(drawn[0], wanted[0])
        seen += int(wanted[1].sum())
    assert seen > 0


@pytest.mark.parametrize("seed", range(4))
def test_a_tilted_mesh_agrees_with_ray_casting(seed: int) -> None:
    """No snapping, no fill rule, another algorithm: roll, unequal focal lengths, shifted centre."""
    rng = np.random.default_rng(seed)
    clip = make_clip(seed, frames=1, height=40, width=48)
    surface = DWMesh(clip, MeshOptions(border_depth=12.0)).surface(0)
    pose = random_pose(rng, 0.06, 0.15)
    k = Intrinsics(70.0, 55.0, 37.3, 20.9, 64, 44)
    _, mask = get_rasterizer("cpu").draw(surface, Camera(pose, k))

    row, column = np.mgrid[0 : k.height, 0 : k.width] + 0.5
    rays = np.stack([(column - k.cx) / k.fx, (row - k.cy) / k.fy, np.ones_like(row)], axis=-1).reshape(-1, 3)
    world_from_camera = np.linalg.inv(pose)
    directions = rays @ world_from_camera[:3, :3].T
    origins = np.broadcast_to(world_from_camera[:3, 3], directions.shape)
    faces = all_faces(surface)
    corners = surface.vertices[faces].astype(float)
    distance, face, _ = crossings(origins, directions, corners, chunk=64)
    hit = np.isfinite(distance)
    point = origins[hit] + distance[hit, None] * directions[hit]
    p0, p1, p2 = corners[face[hit]].transpose(1, 0, 2)
    normal = np.cross(p1 - p0, p2 - p0)
    area = (normal**2).sum(axis=1)
    share = [(np.cross(q - point, r - point) * normal).sum(axis=1) / area for q, r in ((p1, p2), (p2, p0), (p0, p1))]
    alpha = (np.stack(share, axis=1) * surface.colors[faces[face[hit]], 3]).sum(axis=1)
    cast = np.zeros(k.height * k.width, bool)
    cast[hit] = alpha > 125
    cast = cast.reshape(k.height, k.width)
    assert 0.1 < mask.mean() < 0.95
    assert (mask & cast).sum() / (mask | cast).sum() >= 0.99


def test_hidden_faces_block_what_is_behind_them() -> None:
    def plane(z: float, alpha: int) -> tuple[np.ndarray, np.ndarray]:
        v = np.array([[-9, -9, z], [9, -9, z], [-9, 9, z], [9, 9, z]], np.float32)
        return v, np.array([[200, 100, 50, alpha]] * 4, np.uint8)

    (near, hidden), (far, shown) = plane(2.0, 0), plane(5.0, 255)
    quad = np.array([[2, 0, 1], [2, 1, 3]], np.int32)
    camera = Camera(np.eye(4), Intrinsics(8.0, 8.0, 4.0, 4.0, 8, 8))
    for raster in (get_rasterizer("cpu"), OracleRasterizer()):
        assert raster.draw(Surface(far, shown, quad), camera)[1].all()
        for order in ([0, 1], [1, 0]):
            vertices = np.concatenate([(near, far)[n] for n in order])
            colors = np.concatenate([(hidden, shown)[n] for n in order])
            colour, mask = raster.draw(Surface(vertices, colors, np.concatenate([quad, quad + 4])), camera)
            assert not mask.any()
            assert not colour.any()


def test_colours_are_interpolated_in_space_not_on_the_image() -> None:
    """Halfway along a receding edge in the picture lies much nearer to its front end in space."""
    vertices = np.array([[-1, -1, 1], [9, -9, 9], [-1, 1, 1], [9, 9, 9]], np.float32)
    colors = np.array([[0, 0, 0, 255], [255, 255, 255, 255]] * 2, np.uint8)
    surface = Surface(vertices, colors, NO_FACES, 2, 2)
    camera = Camera(np.eye(4), Intrinsics(50.0, 50.0, 50.0, 10.0, 100, 20))
    colour, mask = get_rasterizer("cpu").draw(surface, camera)
    assert mask.all()
    x = (np.arange(100) + 0.5 - 50) / 50  # the plane is x = -1 + 10 s, z = 1 + 8 s at share s of the way
    share = (x + 1) / (10 - 8 * x)
    np.testing.assert_allclose(colour[10, :, 0], 255 * share, atol=0.51)


@pytest.mark.parametrize(
    ("near", "far"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.1, float("inf"))]
)
def test_planes_that_cannot_be_used_are_refused(near: float, far: float) -> None:
    surface = Surface(np.zeros((3, 3), np.float32), np.zeros((3, 4), np.uint8), NO_FACES)
    with pytest.raises(RasterError, match="0 < near < far"):
        camera = Camera(np.eye(4), Intrinsics.from_fov(8, 8))
        get_rasterizer("cpu").draw(surface, camera, RasterOptions(near=near, far=far))
