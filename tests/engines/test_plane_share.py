"""Holes that go on a floor or a wall are told from those that can only be invented, from the masks alone."""

from __future__ import annotations

import numpy as np
import pytest

from ex4d import Clip
from ex4d.engines.plane_share import SIDE, PlaneShares
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


def test_nothing_is_said_where_the_filming_camera_moves() -> None:
    rng = np.random.default_rng(0)
    moving = rng.integers(0, 255, (2, HEIGHT, WIDTH, 3), np.uint8)
    said: list[str] = []
    planes = PlaneShares(
        Clip(moving, floor_before_a_sky().depth, LENS), static(), on_progress=lambda step: said.append(step.message)
    )
    planes.add(0, None, np.zeros((HEIGHT, WIDTH), np.bool_))
    assert planes.shares is None and planes.missing == said[-1] != ""
