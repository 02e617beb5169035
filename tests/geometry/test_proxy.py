"""The proxy grid: its vertices are the clip's own, and edits of it move the full mesh as the same edit there would."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from ex4d.dwmesh import DWMesh
from ex4d.dwmesh.proxy import ProxyGrid
from ex4d.guides import render_guides
from ex4d.trajectory import preset
from ex4d.types import Clip
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import ShapeError
from ex4d_ground.grids import grid_of
from ex4d_ground.options import MeshOptions

WIDTH, HEIGHT, SIDE = 384, 216, 128
"""Three pixels a vertex, as 1920x1080 has with the usual proxy."""


@pytest.fixture(scope="module")
def clip() -> Clip:
    """A bumpy slanted floor, a wall, a disc with detail between the grid's lines, and a thin pole."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    depth = 9 + 0.15 * np.sin(columns / 17) + 0.1 * np.cos(rows / 13)
    floor = 300.0 / np.maximum(rows - 60, 1)
    depth = np.minimum(depth, floor)
    disc = np.hypot(columns - 150, rows - 100) < 45
    depth[disc] = (3 + 0.02 * np.sin(columns * 2.1) + 0.02 * np.cos(rows * 1.7))[disc]
    depth[:, 290:292] = 4.5
    frames = np.random.default_rng(4).integers(0, 255, (2, HEIGHT, WIDTH, 3), np.uint8)
    return Clip(frames, np.stack([depth, depth + 0.5]).astype(np.float32), Intrinsics.from_fov(WIDTH, HEIGHT, 60))


@pytest.fixture(scope="module")
def mesh(clip: Clip) -> DWMesh:
    return DWMesh(clip)


@pytest.fixture(scope="module")
def proxy(mesh: DWMesh) -> ProxyGrid:
    return ProxyGrid(mesh, SIDE)


def at(grid, values: np.ndarray) -> np.ndarray:  # [H * W, ...] -> [grid vertices, ...]
    return values.reshape(HEIGHT, WIDTH, -1)[grid.rows[:, None], grid.columns].reshape(grid.num_vertices, -1)


def pixels() -> tuple[np.ndarray, np.ndarray]:  # rows and columns, each [H * W]
    return tuple(each.ravel() for each in np.mgrid[:HEIGHT, :WIDTH])


def bump(row: float, column: float, radius: float) -> np.ndarray:  # [H * W] 0..1, as a soft brush leaves it
    rows, columns = pixels()
    away = np.hypot(rows - row, columns - column) / radius
    return np.where(away < 1, (1 + np.cos(np.pi * np.minimum(away, 1))) / 2, 0)


def disc_only(values: np.ndarray) -> np.ndarray:
    rows, columns = pixels()
    return values * (np.hypot(columns - 150, rows - 100) < 45)


EDITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "everything farther along the ray": lambda p: p * 1.3,
    "everything shifted": lambda p: p + np.float32([0.2, -0.1, 0.4]),
    "a soft brush along the ray": lambda p: p * (1 - 0.25 * bump(150, 230, 40))[:, None],
    "a soft brush along z": lambda p: p + bump(60, 230, 40)[:, None] * [0, 0, -1.5],
    "a soft brush sideways": lambda p: p + bump(170, 100, 50)[:, None] * [0.2, 0.1, 0],
    "an object nearer, its outline kept": lambda p: p * (1 - 0.3 * disc_only(np.ones(len(p))))[:, None],
    "an object aside, its outline kept": lambda p: p + disc_only(np.ones(len(p)))[:, None] * [0.3, 0.1, -0.2],
    "an object bent": lambda p: p * (1 + 0.2 * disc_only(bump(100, 150, 45)))[:, None],
}


def off_px(first: np.ndarray, second: np.ndarray, clip: Clip) -> float:
    """How far the same vertices of two surfaces lie apart at most, in pixels of a camera 30 degrees aside."""
    k, angle = clip.intrinsics, math.radians(30)
    turn = np.array([[math.cos(angle), 0, -math.sin(angle)], [0, 1, 0], [math.sin(angle), 0, math.cos(angle)]])
    seen = [(points.astype(np.float64) - [0, 0, 3]) @ turn.T + [0, 0, 3] for points in (first, second)]
    ahead = (seen[0][:, 2] > 0.2) & (seen[1][:, 2] > 0.2)
    flat = [each[ahead, :2] / each[ahead, 2:] * [k.fx, k.fy] for each in seen]
    return float(np.hypot(*(flat[0] - flat[1]).T).max())


def test_the_grid_keeps_the_shape_and_both_ends():
    grid = grid_of(1920, 1080, 640)
    assert (grid.width, grid.height) == (640, 360)
    assert (grid.columns[0], grid.columns[-1], grid.rows[-1]) == (0, 1919, 1079)
    assert set(np.diff(grid.columns)) == {3, 4} or set(np.diff(grid.columns)) == {3}
    for width, height, side in ((5000, 3, 640), (7, 3000, 100), (641, 2, 640)):
        odd = grid_of(width, height, side)
        assert (np.diff(odd.columns) > 0).all() and (np.diff(odd.rows) > 0).all()
        assert odd.columns[-1] == width - 1 and odd.rows[-1] == height - 1


@pytest.mark.parametrize("side", [0, 640, 1000])
def test_a_clip_that_is_not_longer_than_the_grid_has_all_its_pixels(side):
    grid = grid_of(640, 480, side)
    assert grid.num_vertices == 640 * 480 and grid.num_faces == 2 * 639 * 479 + 2


def test_vertices_of_the_grid_are_those_of_the_clip_to_the_bit(mesh, proxy):
    made = proxy.frame(1)
    np.testing.assert_array_equal(made.vertices(0), at(proxy.grid, mesh.vertices(1)))
    assert (made.width, made.height) == (SIDE, 72) and len(made.faces) == proxy.grid.num_faces


def test_an_untouched_grid_changes_nothing(mesh, proxy):
    np.testing.assert_array_equal(proxy.positions(0, at(proxy.grid, mesh.vertices(0))), mesh.vertices(0))


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_the_grid_moves_the_surface_as_the_same_edit_of_all_pixels(clip, mesh, proxy, name):
    before = mesh.vertices(0)
    full = EDITS[name](before).astype(np.float32)
    ring = np.ones((HEIGHT, WIDTH), np.bool_)
    ring[1:-1, 1:-1] = False
    full[ring.ravel()] = before[ring.ravel()]
    scaled = proxy.positions(0, at(proxy.grid, full))
    assert off_px(full, before, clip) > 2, "the edit is to be seen"
    assert off_px(full, scaled, clip) < 0.5


def test_what_lies_among_vertices_that_did_not_move_stays_to_the_bit(mesh, proxy):
    before = mesh.vertices(0)
    edited = at(proxy.grid, before)
    edited[36 * SIDE + 60] *= np.float32(0.9)
    changed = (proxy.positions(0, edited) != before).any(axis=1).reshape(HEIGHT, WIDTH)
    rows, columns = np.nonzero(changed)
    assert changed[proxy.grid.rows[36], proxy.grid.columns[60]]
    assert proxy.grid.rows[35] < rows.min() and rows.max() < proxy.grid.rows[37]
    assert proxy.grid.columns[59] < columns.min() and columns.max() < proxy.grid.columns[61]


def test_guides_are_those_of_the_full_mesh_where_nothing_is_edited(clip, mesh, proxy):
    move = preset("30", clip, num_frames=3, source_time=np.zeros(3))
    plain = render_guides(mesh, move)
    scaled = render_guides(proxy.edited({}, {}), move)
    np.testing.assert_array_equal(plain.colour, scaled.colour)
    np.testing.assert_array_equal(plain.mask, scaled.mask)


@pytest.mark.parametrize("mode", ["endless", "solid"])
def test_guides_of_an_edited_grid_are_those_of_the_edited_mesh_but_for_single_pixels(clip, mode):
    mesh = DWMesh(clip, MeshOptions(mode=mode))
    before = mesh.lifted(0)
    full = EDITS["an object nearer, its outline kept"](before).astype(np.float32)
    move = preset("30", clip, num_frames=3, source_time=np.zeros(3))
    wanted = render_guides(DWMesh(clip, mesh.options, vertex_overrides={0: full}), move)
    proxy = ProxyGrid(mesh, SIDE)
    got = render_guides(proxy.edited({0: at(proxy.grid, full)}, {}), move)
    unedited = render_guides(mesh, move)
    assert (wanted.mask != unedited.mask).mean() > 0.005
    assert (wanted.mask != got.mask).mean() < 1e-3


def test_paint_of_a_face_is_that_of_the_faces_within_it(mesh, proxy):
    grid = proxy.grid
    flags = np.zeros(grid.num_faces, np.int8)
    half = (grid.height - 1) * (grid.width - 1)
    cell = 20 * (grid.width - 1) + 30
    flags[cell], flags[half + cell], flags[-1] = 1, 2, 2
    full = proxy.flags(flags)
    assert full.shape == (len(mesh.faces),) and full[-1] == 2 and full[-2] == 0
    faces = mesh.faces[:-2]
    middle_row, middle_column = (faces // WIDTH).mean(axis=1), (faces % WIDTH).mean(axis=1)
    top, left = grid.rows[20], grid.columns[30]
    down, right = grid.rows[21] - top, grid.columns[31] - left
    v, u = (middle_row - top) / down, (middle_column - left) / right
    inside = (v > 0) & (v < 1) & (u > 0) & (u < 1)
    wanted = np.where(inside, np.where(u + v < 1, 1, 2), 0)
    unclear = inside & (np.abs(u + v - 1) < 1e-9)
    assert inside.sum() == 2 * down * right
    np.testing.assert_array_equal(full[:-2][~unclear], wanted[~unclear])


def test_painted_thickness_ends_at_the_outline_of_what_was_painted(mesh, proxy):
    rows, columns = pixels()
    disc = np.hypot(columns - 150, rows - 100) < 45
    painted = at(proxy.grid, np.where(disc, 0.7, np.nan).astype(np.float32)).ravel()
    of_frame = proxy.thickness(painted, 0)
    np.testing.assert_array_equal(np.isfinite(of_frame).ravel(), disc)
    assert np.allclose(of_frame.ravel()[disc], 0.7)
    of_all = proxy.thickness(painted, None)
    assert np.isfinite(of_all).ravel()[disc].all() and np.isfinite(of_all).sum() < disc.sum() * 1.25


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p: p.positions(0, np.zeros((5, 3), np.float32)),
        lambda p: p.flags(np.zeros(9, np.int8)),
        lambda p: p.thickness(np.zeros(9, np.float32), 0),
    ],
)
def test_edits_of_another_grid_are_refused(proxy, wrong):
    with pytest.raises(ShapeError, match="do not fit a proxy grid of 128x72"):
        wrong(proxy)


def test_positions_that_are_no_numbers_are_refused(mesh, proxy):
    edited = at(proxy.grid, mesh.vertices(0))
    edited[7, 1] = np.nan
    with pytest.raises(ShapeError, match="frame 1 hold NaN"):
        proxy.positions(0, edited)
