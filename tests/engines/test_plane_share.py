"""Holes that go on a floor or a wall are told from those that can only be invented, from the masks alone."""

from __future__ import annotations

import numpy as np
import pytest

from ex4d import Clip
from ex4d.bands import Bands
from ex4d.engines.plane_share import SIDE, PlaneShares, enlarged, going_on
from ex4d.fill import world_of
from ex4d_ground.cameras import Intrinsics, Trajectory

WIDTH, HEIGHT = 4 * SIDE, 96
LENS = Intrinsics.from_fov(WIDTH, HEIGHT, 90.0)


def floor_before_a_sky() -> Clip:
    rng = np.random.default_rng(0)
    y = (np.arange(HEIGHT) + 0.5 - LENS.cy) / LENS.fy
    depth = np.minimum(np.where(y > 0, 1.5 / np.maximum(y, 1e-6), np.inf), 400.0)
    frame = rng.integers(90, 160, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    return Clip(
        np.stack([frame] * 2), np.broadcast_to(depth[:, None], (2, HEIGHT, WIDTH)).astype(np.float32).copy(), LENS
    )


def static() -> Trajectory:
    lens = np.array([[LENS.fx, LENS.fy, LENS.cx, LENS.cy]] * 2)
    return Trajectory(np.tile(np.eye(4), (2, 1, 1)), lens, np.zeros(2), WIDTH, HEIGHT)


def test_holes_over_the_floor_go_on_it_and_those_in_the_sky_are_invented() -> None:
    planes = PlaneShares(floor_before_a_sky(), static())
    mask = np.ones((HEIGHT, WIDTH), np.bool_)
    mask[:, WIDTH // 4 : WIDTH // 2] = False
    planes.add(0, None, mask)
    planes.add(1, None, np.ones((HEIGHT, WIDTH), np.bool_))
    assert planes.missing == "" and planes.shares is not None
    assert planes.shares[0] == pytest.approx(0.25 / 2, abs=0.03) and planes.shares[1] == 0
    where = planes.where(0, mask)
    assert not where[mask].any() and where[-8:][:, WIDTH // 4 : WIDTH // 2].all() and not where[: HEIGHT // 2 - 4].any()


def test_planes_are_told_as_they_are_painted() -> None:
    world = world_of(floor_before_a_sky())
    assert world is not None
    wanted = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.7
    pose = np.eye(4)
    pose[:3, 3] = 0.3, -0.2, 1.0
    lens = np.array([LENS.fx / 3, LENS.fy / 3, LENS.cx, LENS.cy])  # past what the clip shows, where trust falls
    painted = world.paint(wanted, lens, pose)
    trust = float(np.quantile(painted.trust[painted.on_plane], 0.3))
    expected = painted.on_plane & (painted.trust >= trust)
    assert expected.any() and (painted.on_plane & ~expected).any()
    with Bands(2) as bands:
        np.testing.assert_array_equal(world.shows_plane(wanted, lens, pose, trust, bands), expected)


def test_a_rough_look_is_at_fewer_pixels_of_small_pictures_alone() -> None:
    world = world_of(floor_before_a_sky())
    assert world is not None
    lens, holes = static().intrinsics[0], np.zeros((HEIGHT, WIDTH), np.bool_)
    for width, rough in ((WIDTH, (HEIGHT // 4, SIDE)), (2 * SIDE - 2, (HEIGHT // 2, SIDE - 1)), (SIDE, (HEIGHT, SIDE))):
        exact = going_on(world, holes[:, :width], lens, np.eye(4))
        roughly = going_on(world, holes[:, :width], lens, np.eye(4), roughly=True)
        assert roughly.shape == rough and exact.shape[1] == (width if width < 2 * SIDE else SIDE)
        assert roughly.mean() == pytest.approx(exact.mean(), abs=0.02)


@pytest.mark.parametrize("size", [(3, 8 * SIDE), (8 * SIDE, 3), (1, 2 * SIDE), (1, 1)])
@pytest.mark.parametrize("roughly", [False, True])
def test_of_a_narrow_picture_too_something_is_looked_at(size: tuple[int, int], roughly: bool) -> None:
    world, (height, width) = world_of(floor_before_a_sky()), size
    assert world is not None
    down = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # on the floor
    holes, lens = np.zeros(size, np.bool_), np.array([width, width, width / 2, height / 2], np.float64)
    on_floor = going_on(world, holes, lens, down, roughly=roughly)
    assert on_floor.size and enlarged(on_floor, holes).shape == size


def test_nothing_is_said_where_the_filming_camera_moves() -> None:
    rng = np.random.default_rng(0)
    moving = rng.integers(0, 255, (2, HEIGHT, WIDTH, 3), np.uint8)
    said: list[str] = []
    planes = PlaneShares(
        Clip(moving, floor_before_a_sky().depth, LENS), static(), on_progress=lambda step: said.append(step.message)
    )
    planes.add(0, None, np.zeros((HEIGHT, WIDTH), np.bool_))
    assert planes.shares is None and planes.missing == said[-1] != ""
