"""Bundle adjustment against a truth without pictures: what was measured exactly is found exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ex4d.solve.bundle import Observations, Solution, Trust, adjusted, residuals
from ex4d_ground.poses import se3_exp

FRAMES, POINTS = 7, 60


def truth(zoom: float = 1.0) -> tuple[Solution, Observations]:
    chance = np.random.default_rng(4)
    points = chance.uniform([-2, -1.5, 3], [2, 1.5, 7], (POINTS, 3))
    poses = np.stack([se3_exp(t / FRAMES * np.array([0.8, -0.2, 0.4, 0.1, -0.3, 0.05])) for t in range(FRAMES)])
    lens = np.tile([300.0, 290.0, 160.0, 120.0], (FRAMES, 1))
    scale = np.linspace(-0.03, 0.03, FRAMES)
    focal = np.log(np.linspace(1, zoom, FRAMES))
    state = Solution(poses, lens, scale, focal, points)
    frame, point = (part.ravel() for part in np.meshgrid(np.arange(FRAMES), np.arange(POINTS), indexing="ij"))
    empty = Observations(point, frame, np.zeros((len(point), 2)), np.ones(len(point)))
    left = residuals(state, empty)
    return state, replace(empty, xy=left.pixels, depth=np.exp(left.log_depth))


def disturbed(state: Solution) -> Solution:
    chance = np.random.default_rng(5)
    poses = np.stack([se3_exp(chance.normal(0, 0.02, 6)) @ pose for pose in state.camera_from_world])
    poses[0] = np.eye(4)
    points = state.points * (1 + chance.normal(0, 0.04, (POINTS, 1)))
    return replace(state, camera_from_world=poses, points=points, log_scale=np.zeros(FRAMES))


def test_poses_points_and_depth_scales_are_found_from_a_rough_start() -> None:
    state, seen = truth()
    found, deviation = adjusted(disturbed(state), seen, Trust(0.3, 0.02), rounds=40)
    np.testing.assert_allclose(found.camera_from_world, state.camera_from_world, atol=2e-4)
    np.testing.assert_allclose(found.points, state.points, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.log_scale, state.log_scale, atol=1e-3)
    assert (deviation == 0).all() and (found.camera_from_world[0] == np.eye(4)).all()


def test_points_that_go_their_own_way_do_not_bend_the_path() -> None:
    state, seen = truth()
    xy = seen.xy.copy()
    own = seen.point < POINTS // 6
    xy[own, 0] += 6.0 * seen.frame[own]
    found, _ = adjusted(disturbed(state), replace(seen, xy=xy), Trust(0.3, 0.02), rounds=40)
    np.testing.assert_allclose(found.camera_from_world, state.camera_from_world, atol=2e-3)


def test_a_wrong_focal_length_is_mended_and_its_doubt_told() -> None:
    state, seen = truth()
    wrong = replace(disturbed(state), lens=state.lens * [1.1, 1.1, 1, 1])
    found, deviation = adjusted(wrong, seen, Trust(0.3, 0.02), focal="shared", rounds=60)
    np.testing.assert_allclose(found.intrinsics[:, 0], 300.0, rtol=2e-3)
    assert np.ptp(deviation) < 1e-9 and 0 < deviation[0] < 0.02


def test_a_zoom_is_found_frame_by_frame() -> None:
    state, seen = truth(zoom=1.3)
    unzoomed = replace(disturbed(state), log_focal=np.zeros(FRAMES))
    found, _ = adjusted(unzoomed, seen, Trust(0.3, 0.02), focal="changing", rounds=60)
    np.testing.assert_allclose(found.intrinsics[:, 0], state.intrinsics[:, 0], rtol=0.01)


@pytest.mark.parametrize("missing", [0.3, 1.0])
def test_depth_may_say_nothing_of_points(missing: float) -> None:
    state, seen = truth()
    depth = np.where(np.random.default_rng(6).random(len(seen)) < missing, np.nan, seen.depth)
    found, _ = adjusted(disturbed(state), replace(seen, depth=depth), Trust(0.3, 0.02), rounds=40)
    assert np.median(residuals(found, seen).lengths) < 1e-3
