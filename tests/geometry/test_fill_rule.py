"""Every sample on a shared edge or vertex is covered exactly once, whichever code path draws it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ex4d.dwmesh import FACE_VISIBLE, DWMesh
from ex4d.raster import Camera, Rasterizer, get_rasterizer
from ex4d.raster.clip import cut
from ex4d.surface import Surface
from ex4d_ground.arrays import Float32, Int32, UInt8
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.options import MeshOptions

from .conftest import make_clip
from .oracle import OracleRasterizer

SIZE = 24
Z = 4.0  # a power of two, so that dividing by it is exact
LAYOUTS = ["regular", "halves", "random", "coarse"]


def flat_grid(layout: str, seed: int) -> Float32:  # [R, C, 3]
    """A planar grid whose vertices lie on sample points (or edges between them), projected by :func:`flat_camera`."""
    rng = np.random.default_rng(seed)
    spacing, count = (7, 3) if layout == "coarse" else (2, 8)
    steps = np.arange(count + 1) * spacing + 3.5
    x, y = np.meshgrid(steps, steps)
    if layout == "halves":  # edges pass through sample points, vertices lie between them
        x, y = x + 0.5, y + 0.5
    if layout == "random":  # inner vertices leave their places without folding a triangle over
        x[1:-1, 1:-1] += rng.integers(-128, 129, x[1:-1, 1:-1].shape) / 256
        y[1:-1, 1:-1] += rng.integers(-128, 129, y[1:-1, 1:-1].shape) / 256
    return (np.stack([x, y, np.ones_like(x)], axis=-1) * Z).astype(np.float32)


def flat_camera(dx: int = 0, dy: int = 0) -> Camera:
    return Camera(np.eye(4), Intrinsics(1.0, 1.0, dx, dy, SIZE, SIZE))


def white(vertices: int) -> UInt8:
    return np.full((vertices, 4), 255, np.uint8)


def times_covered(raster: Rasterizer, surfaces: list[Surface], camera: Camera) -> np.ndarray:  # [H, W]
    return np.sum([raster.draw(s, camera)[1] for s in surfaces], axis=0)


def single_triangles(grid: Float32) -> list[Surface]:
    """Each triangle of the grid alone, given by index."""
    vertices = grid.reshape(-1, 3)
    return [Surface(vertices, white(len(vertices)), f[None]) for f in grid_faces(*grid.shape[:2])]


def grid_faces(rows: int, columns: int) -> Int32:
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    faces = np.stack([np.stack([c, a, b], -1), np.stack([c, b, d], -1)], axis=2)
    return faces.reshape(-1, 3)


def single_quads(grid: Float32) -> list[Surface]:
    """Each quad alone as a 2x2 grid, which takes the grid's code path (and its tiny-triangle path)."""
    none = np.empty((0, 3), np.int32)
    rows, columns = grid.shape[0] - 1, grid.shape[1] - 1
    return [
        Surface(np.ascontiguousarray(grid[j : j + 2, i : i + 2].reshape(4, 3)), white(4), none, 2, 2)
        for j, i in itertools.product(range(rows), range(columns))
    ]


def expected_cover(grid: Float32, dx: int, dy: int) -> np.ndarray:  # [H, W]
    """1 on the samples of the half-open rectangle [left, right) x [top, bottom), else 0."""
    x, y = grid[..., 0] / Z + dx, grid[..., 1] / Z + dy
    centre = np.arange(SIZE) + 0.5
    inside_x, inside_y = (centre >= x.min()) & (centre < x.max()), (centre >= y.min()) & (centre < y.max())
    return (inside_y[:, None] & inside_x[None, :]).astype(int)


@pytest.mark.parametrize("name", ["cpu", "oracle"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-9, 8), (1, 17)])
def test_each_sample_is_covered_exactly_once(name: str, layout: str, shift: tuple[int, int]) -> None:
    raster: Rasterizer = OracleRasterizer() if name == "oracle" else get_rasterizer(name)
    grid = flat_grid(layout, seed=abs(sum(shift)))
    for mirrored in (False, True):  # both windings
        placed = np.ascontiguousarray(grid[:, ::-1]) if mirrored else grid
        wanted = expected_cover(grid, *shift)
        cover = times_covered(raster, single_triangles(placed), flat_camera(*shift))
        np.testing.assert_array_equal(cover, wanted)
        if name == "cpu":
            cover = times_covered(raster, single_quads(placed), flat_camera(*shift))
            np.testing.assert_array_equal(cover, wanted)


@pytest.mark.parametrize("turn", range(4))
def test_a_fan_around_a_sample_point_covers_it_exactly_once(turn: int) -> None:
    """Slivers of all directions meet in one vertex that lies on a sample."""
    rng = np.random.default_rng(turn)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 37))
    rim = np.stack([11.5 + 9 * np.cos(angle), 11.5 + 9 * np.sin(angle)], axis=1)
    points = np.concatenate([[[11.5, 11.5]], np.round(rim * 256) / 256])
    vertices = np.concatenate([points * Z, np.full((len(points), 1), Z)], axis=1).astype(np.float32)
    order = np.arange(1, 38)
    faces = np.stack([np.zeros(37), order, np.roll(order, -1)], axis=1).astype(np.int32)
    surfaces = [Surface(vertices, white(38), f[None]) for f in faces]
    cover = times_covered(get_rasterizer("cpu"), surfaces, flat_camera())
    assert cover.max() == 1
    assert cover[5:18, 5:18].min() == 1


def test_a_cut_edge_gives_both_neighbours_the_same_point() -> None:
    """To the last bit, whichever way round each triangle walks it."""
    rng = np.random.default_rng(9)
    plane = np.array([0.0, 0.0, 1.0, -0.3])
    for _ in range(200):
        p, q, r, s = rng.normal(size=(4, 7))
        p[2], q[2], r[2], s[2] = 1 + p[2] ** 2, -(q[2] ** 2), -1, -1  # only p is in front
        ends = []
        for polygon in ([p, q, r], [q, p, s]):
            out = np.empty((9, 7))
            count = cut(np.array(polygon), 3, plane, out)
            ends.append({point.tobytes() for point in out[:count]} - {p.tobytes()})
        assert len(ends[0] & ends[1]) == 1


def test_cut_triangles_stay_joined_at_the_near_plane() -> None:
    assert_cut_triangles_stay_joined(get_rasterizer("cpu"))


def assert_cut_triangles_stay_joined(raster: Rasterizer) -> None:
    """A floor that runs under and behind the camera: every sample below the horizon is covered."""
    rng = np.random.default_rng(5)
    x, z = np.meshgrid(np.linspace(-110, 110, 23), np.linspace(-30, 60, 31))
    x[1:-1, 1:-1] += rng.uniform(-1, 1, x[1:-1, 1:-1].shape)
    z[1:-1, 1:-1] += rng.uniform(-1, 1, z[1:-1, 1:-1].shape)
    floor = np.stack([x, np.ones_like(x), z], axis=-1).astype(np.float32)
    k = Intrinsics(20.0, 26.0, 30.3, 11.7, 64, 48)
    none = np.empty((0, 3), np.int32)
    surface = Surface(floor.reshape(-1, 3), white(x.size), none, *x.shape)
    _, mask = raster.draw(surface, Camera(np.eye(4), k))
    horizon = k.cy + k.fy / 55
    below = np.arange(48) + 0.5 > horizon
    assert mask[below].all()
    assert not mask[np.arange(48) + 0.5 < k.cy].any()


@pytest.mark.parametrize(("height", "width"), [(24, 32), (17, 23), (40, 16)])
def test_the_source_view_is_the_source_exactly(height: int, width: int) -> None:
    clip = make_clip(3, height=height, width=width)
    mesh = DWMesh(clip, MeshOptions(pixel_anchor="center"))
    camera = Camera(np.eye(4), clip.intrinsics)
    for t in range(clip.num_frames):
        colour, mask = get_rasterizer("cpu").draw(mesh.surface(t), camera)
        inner = np.s_[1:-1, 1:-1]
        visible = mesh.vertex_visible(t).reshape(height, width)
        np.testing.assert_array_equal(mask[inner], visible[inner])
        np.testing.assert_array_equal(colour[inner][mask[inner]], clip.frames[t][inner][mask[inner]])


@pytest.mark.parametrize("seed", range(5))
def test_the_source_view_has_no_cracks_at_depth_steps(seed: int) -> None:
    """With every face painted visible, no sample inside the border may be left out."""
    rng = np.random.default_rng(seed)
    clip = make_clip(seed, depth=np.exp(rng.uniform(-1, 4, (1, 33, 47))).astype(np.float32))
    flags = np.full(2 * 32 * 46 + 2, FACE_VISIBLE, np.int8)
    mesh = DWMesh(clip, face_flags={0: flags})
    _, mask = get_rasterizer("cpu").draw(mesh.surface(0), Camera(np.eye(4), clip.intrinsics))
    assert mask[1:-1, 1:-1].all()
