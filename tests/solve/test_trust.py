"""How much depth counts: as much as the pictures let it."""

from dataclasses import replace

import numpy as np
import pytest

from ex4d.solve.bundle import Observations, Solution, Trust, adjusted, residuals
from ex4d.solve.trust import DEPTH_RANGE, depth_scatter, nearer_to_depth, trust_of
from ex4d_ground.poses import se3_exp

FRAMES, POINTS, WIDTH = 8, 120, 320
BENT = 0.02
WAY = np.array([0.25, -0.05, 0.1, 0.02, -0.05, 0.01])


def filmed(noise_px: float) -> tuple[Solution, Observations]:
    """A small sideways move, its points' places with noise and their depth to half a per cent."""
    chance = np.random.default_rng(3)
    points = chance.uniform([-1.5, -1.2, 2.5], [1.5, 1.2, 6], (POINTS, 3))
    poses = np.stack([se3_exp(t / (FRAMES - 1) * WAY) for t in range(FRAMES)])
    lens, zeros = np.tile([290.0, 290.0, 160.0, 120.0], (FRAMES, 1)), np.zeros(FRAMES)
    state = Solution(poses, lens, zeros, zeros, points)
    frame, point = (part.ravel() for part in np.meshgrid(np.arange(FRAMES), np.arange(POINTS), indexing="ij"))
    bare = Observations(point, frame, np.zeros((len(point), 2)), np.ones(len(point)))
    exact = residuals(state, bare)
    depth = np.exp(exact.log_depth + chance.normal(0, 0.005, len(point)))
    return state, replace(bare, xy=exact.pixels + chance.normal(0, noise_px, (len(point), 2)), depth=depth)


def by_pictures(start: Solution, seen: Observations) -> Solution:
    """Cameras for which depth counts next to nothing."""
    return adjusted(start, seen, Trust(trust_of(WIDTH, 0).pixel, DEPTH_RANGE[1]), rounds=40)[0]


def position_error(found: Solution, truth: Solution) -> float:
    return float(np.linalg.norm((found.camera_from_world - truth.camera_from_world)[:, :3, 3], axis=1).max())


def test_where_pictures_are_a_little_wrong_depth_keeps_the_path() -> None:
    truth, seen = filmed(noise_px=0.3)
    off = (seen.xy - [160, 120]) / 290
    seen = replace(seen, xy=seen.xy + 290 * BENT * off * (off**2).sum(axis=1, keepdims=True))  # by a lens unknown
    state = by_pictures(truth, seen)
    nearer = nearer_to_depth(state, seen, WIDTH)
    assert position_error(nearer, truth) < 0.9 * position_error(state, truth)


def test_depth_that_pictures_contradict_does_not_bend_the_path() -> None:
    truth, seen = filmed(noise_px=0.02)
    bent = replace(seen, depth=seen.depth**1.2)
    state = by_pictures(truth, bent)
    assert nearer_to_depth(state, bent, WIDTH) is state


def test_depth_that_says_nothing_changes_nothing_much() -> None:
    truth, seen = filmed(noise_px=0.1)
    blind = replace(seen, depth=np.full(len(seen), np.nan))
    state = by_pictures(truth, blind)
    found = nearer_to_depth(state, blind, WIDTH)
    np.testing.assert_allclose(found.camera_from_world, state.camera_from_world, atol=1e-3)


def test_a_state_that_explains_nothing_is_left_as_it_is() -> None:
    truth, seen = filmed(noise_px=0.1)
    assert nearer_to_depth(truth, replace(seen, xy=seen.xy + WIDTH), WIDTH) is truth


def test_scatter_is_told_by_points_that_are_seen_often() -> None:
    chance = np.random.default_rng(0)
    often, once = np.repeat(np.arange(500), 6), 500 + np.arange(300)
    wrong_alike = np.repeat(chance.normal(0, 0.2, 500), 6)  # of a whole point: no scatter
    off = np.concatenate([wrong_alike + chance.normal(0, 0.01, 3000), chance.normal(0, 0.5, 300)])
    assert depth_scatter(np.concatenate([often, once]), off) == pytest.approx(0.009, rel=0.15)
    assert depth_scatter(once, off[3000:]) == np.inf
