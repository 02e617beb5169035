"""Frames' surfaces laid onto each other: by measured depth alone, and never by depth that drifts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ex4d.eval.filmed import Filmed
from ex4d.eval.perturb import perturbed
from ex4d.solve import surfaces
from ex4d.solve.bundle import Observations, Solution, Trust, adjusted, residuals
from ex4d.solve.links import Link, add_links, cost
from ex4d.solve.surfaces import is_steady, laid_links, laid_on, on_surfaces, surface
from ex4d.solve.tracks import Views, lifted
from ex4d_ground.arrays import Float32, Float64
from ex4d_ground.poses import inverse, se3_exp

NOISE = 0.002
"""Of the depth's logarithm, as a depth camera's."""
OFF = np.array([0.02, -0.01, 0.015, 0.004, -0.006, 0.003])


def measured(filmed: Filmed) -> Float32:
    """Depth as a camera measures it: noise, new in every pixel and frame."""
    depth = np.asarray(filmed.clip.depth, np.float32)
    return (depth * np.exp(np.random.default_rng(1).normal(0, NOISE, depth.shape))).astype(np.float32)


def views_of(filmed: Filmed, depth: Float32) -> Views:
    return Views(filmed.clip.frames, depth, filmed.clip.sky_from)


def seen_of(filmed: Filmed, depth: Float32, poses: Float64) -> tuple[Solution, Observations]:
    """Cameras at ``poses`` with points, and where these are truly seen, with the depth read there."""
    camera, (count, height, width) = filmed.camera, depth.shape
    chance, points = np.random.default_rng(2), []
    for t in range(0, count, 3):
        row, column = chance.integers(2, [height - 2, width - 2], (250, 2)).T
        deep = filmed.clip.depth[t, row, column].astype(np.float64)
        points.append(
            lifted(np.column_stack([column, row]) + 0.5, deep, camera.intrinsics[t], camera.world_from_camera[t])
        )
    zeros = np.zeros(count)
    state = Solution(camera.camera_from_world.copy(), camera.intrinsics, zeros, zeros, np.concatenate(points))
    frame, point = (a.ravel() for a in np.meshgrid(np.arange(count), np.arange(len(state.points)), indexing="ij"))
    bare = Observations(point, frame, np.zeros((len(point), 2)), np.ones(len(point)))
    exact = residuals(state, bare)
    column, row = exact.pixels.astype(int).T
    inside = (exact.z > 0) & (exact.pixels > 2).all(axis=1) & (column < width - 2) & (row < height - 2)
    truth = filmed.clip.depth[frame[inside], row[inside], column[inside]]
    shown = np.flatnonzero(inside)[np.abs(truth / exact.z[inside] - 1) < 0.01]
    seen = replace(bare, xy=exact.pixels + chance.normal(0, 0.15, exact.pixels.shape)).only(shown)
    column, row = column[shown], row[shown]
    return replace(state, camera_from_world=poses), replace(seen, depth=depth[seen.frame, row, column].astype(float))


def lens_bent(seen: Observations, filmed: Filmed, by: float) -> Observations:
    """Places as another lens, whose distortion is not known, shows them."""
    lens = filmed.camera.intrinsics[seen.frame]
    off = (seen.xy - lens[:, 2:]) / lens[:, :2]
    return replace(seen, xy=seen.xy + by * lens[:, :2] * off * (off**2).sum(axis=1, keepdims=True))


def path_error(found: Solution, filmed: Filmed) -> float:
    here = inverse(found.camera_from_world)[:, :3, 3]
    return float(np.sqrt(((here - filmed.camera.world_from_camera[:, :3, 3]) ** 2).sum(axis=1).mean()))


def test_two_views_of_a_room_are_laid_onto_each_other(filmed: Callable[[str], Filmed]) -> None:
    room, a, b = filmed("handheld"), 2, 5
    depth, camera = measured(room), room.camera
    views = views_of(room, depth)
    here, there = (surface(*views.usable(t), camera.intrinsics[t], 1.0) for t in (a, b))
    truth = camera.camera_from_world[a] @ camera.world_from_camera[b]
    found, information, count = laid_on(here, there, se3_exp(OFF) @ truth, NOISE)
    assert count > surfaces.FEWEST and np.linalg.eigvalsh(information).min() > 0
    assert np.abs(found - truth).max() < 0.2 * np.abs(se3_exp(OFF) @ truth - truth).max()


def test_a_wall_straight_ahead_tells_its_distance_and_leaves_the_rest(filmed: Callable[[str], Filmed]) -> None:
    lens, usable = filmed("handheld").camera.intrinsics[0], np.ones((192, 256), np.bool_)
    here, there = (surface(np.full(usable.shape, z, np.float32), usable, lens, 1.0) for z in (4.0, 3.98))
    guess = se3_exp(np.array([0.01, 0.02, 0.0, 0.0, 0.0, 0.0]))
    found, information, count = laid_on(here, there, guess, NOISE)
    assert count > surfaces.FEWEST and (information[3, 3], information[4, 4]) == (0, 0)
    np.testing.assert_allclose(found[:3, 3], [0.01, 0.02, 0.02], atol=1e-4)


def test_links_pull_cameras_to_what_was_measured() -> None:
    chance = np.random.default_rng(0)
    truth = np.stack([se3_exp(float(t) * np.array([0.2, 0.0, 0.1, 0.02, -0.05, 0.0])) for t in range(4)])
    links = [Link(a, b, truth[a] @ inverse(truth[b]), 1e4 * np.eye(6), 50.0) for a in range(4) for b in range(a)]
    poses = np.stack([se3_exp(chance.normal(0, 0.05, 6)) @ pose for pose in truth])
    poses[0] = truth[0]
    at = 6 * np.arange(4)
    for _ in range(8):
        matrix, right = np.zeros((24, 24)), np.zeros(24)
        add_links(links, poses, at, matrix, right)
        step = -np.linalg.solve(matrix[6:, 6:], right[6:]).reshape(3, 6)
        poses[1:] = np.stack([se3_exp(np.roll(s, 3)) @ pose for s, pose in zip(step, poses[1:], strict=True)])
    np.testing.assert_allclose(poses, truth, atol=1e-8)
    assert cost(links, poses) < 1e-8 < cost(links, np.tile(np.eye(4), (4, 1, 1)))


def test_links_of_frames_that_see_no_point_are_left_out(filmed: Callable[[str], Filmed]) -> None:
    room = filmed("handheld")
    state, seen = seen_of(room, measured(room), room.camera.camera_from_world.copy())
    links = [Link(1, 2, np.eye(4), 1e8 * np.eye(6), 100.0)]
    few = seen.only(seen.frame != 2)
    found, _ = adjusted(state, few, Trust(0.2, 0.02), links=links)
    without, _ = adjusted(state, few, Trust(0.2, 0.02))
    np.testing.assert_array_equal(found.camera_from_world, without.camera_from_world)


def test_measured_depth_keeps_a_path_that_an_unknown_lens_bends(filmed: Callable[[str], Filmed]) -> None:
    room = filmed("orbit")
    depth = measured(room)
    state, seen = seen_of(room, depth, room.camera.camera_from_world.copy())
    seen = lens_bent(seen, room, 0.03)
    bent, _ = adjusted(state, seen, Trust(0.15, 0.02), rounds=40)
    laid = on_surfaces(bent, seen, views_of(room, depth))
    assert path_error(laid, room) < 0.8 * path_error(bent, room)


@pytest.mark.parametrize("kind", ["drift", "drift+blur"])
def test_depth_that_drifts_lays_nothing(filmed: Callable[[str], Filmed], kind: str) -> None:
    room = filmed("orbit")
    slow = perturbed(np.repeat(np.asarray(room.clip.depth), 4, axis=0), kind, seed=3)[: room.clip.num_frames]
    state, seen = seen_of(room, slow, room.camera.camera_from_world.copy())
    assert not is_steady(seen, residuals(state, seen).log_depth)
    assert on_surfaces(state, seen, views_of(room, slow)) is state


def test_cameras_that_pictures_contradict_are_not_taken(
    filmed: Callable[[str], Filmed], monkeypatch: pytest.MonkeyPatch
) -> None:
    room = filmed("handheld")
    depth = measured(room)
    state, seen = seen_of(room, depth, room.camera.camera_from_world.copy())
    pan = np.array([0.0, 0.0, 0.0, 0.0, 0.01, 0.0])
    wrong = [replace(link, pose=se3_exp(float(link.second - link.first) * pan) @ link.pose, points=1e9)
             for link in laid_links(state, views_of(room, depth), NOISE)]  # fmt: skip
    assert wrong
    monkeypatch.setattr(surfaces, "laid_links", lambda *_, **__: wrong)
    assert on_surfaces(state, seen, views_of(room, depth)) is state
