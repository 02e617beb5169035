from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from ex4d.train.scenes import SceneOptions, Scenes
from ex4d.train.statistics import SIZE_EDGES, hole_statistics

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from train_masks import truly_seen

OPTIONS = SceneOptions(frames=5, size=48)


def drawn(count: int = 3, seed: int = 0) -> Scenes:
    return Scenes.draw(count, torch.Generator().manual_seed(seed), OPTIONS)


def test_scenes_are_those_of_their_seed() -> None:
    first, again, other = drawn(), drawn(), drawn(seed=1)
    pictures = [s.render(s.still()).colour for s in (first, again, other)]
    assert torch.equal(pictures[0], pictures[1]) and not torch.equal(pictures[0], pictures[2])
    assert pictures[0].shape == (3, 5, 48, 48, 3) and pictures[0].std() > 0.05


def test_depth_is_that_of_the_room_and_of_what_stands_in_it() -> None:
    scenes = drawn()
    depth = scenes.render(scenes.still()).depth
    assert torch.isfinite(depth).all() and (depth > 0.5).all()
    assert (depth <= scenes.room[:, 4].view(-1, 1, 1, 1) + 1e-3).all()
    nearest = (scenes.centre[..., 2] - scenes.half.norm(dim=-1) - scenes.speed[..., 2].abs() / 2).amin(1)
    assert (depth.flatten(1).amin(1) >= nearest.clamp_max(2.0) - 1e-3).all()


def test_things_move_and_the_source_camera_does_not() -> None:
    scenes = drawn()
    colour = scenes.render(scenes.still()).colour
    assert (colour[:, 0] - colour[:, -1]).abs().flatten(1).amax(1).min() > 0.05
    assert torch.equal(scenes.still()[:, 0], scenes.still()[:, -1])


def test_an_orbit_starts_at_the_source_camera_and_turns_by_its_angle() -> None:
    scenes = drawn()
    pose = scenes.orbit(torch.tensor([40.0, -20.0, 0.0]), torch.zeros(3), torch.full((3,), 4.0))
    assert torch.allclose(pose[:, 0], torch.eye(4).expand(3, 4, 4), atol=1e-6)
    forward = pose[:, -1, :3, 2]
    turned = torch.rad2deg(torch.acos(forward[:, 2].clamp(-1, 1)))
    assert torch.allclose(turned, torch.tensor([40.0, 20.0, 0.0]), atol=0.1)
    target = torch.tensor([0.0, 0.0, 4.0])
    assert torch.allclose(pose[:, -1, :3, 3] + 4.0 * forward, target.expand(3, 3), atol=1e-4)


def test_two_cameras_agree_on_what_both_see() -> None:
    scenes = drawn(1, seed=4)
    pose = scenes.orbit(torch.tensor([25.0]), torch.tensor([3.0]), torch.tensor([4.0]))
    source, target = scenes.render(scenes.still()), scenes.render(pose)
    seen = truly_seen(source.depth[0], target.depth[0], pose[0], OPTIONS.fov_deg)
    assert seen[0].mean() > 0.98
    assert 0.5 < seen[-1].mean() < 0.98
    assert not truly_seen(source.depth[0] * 2, target.depth[0], pose[0], OPTIONS.fov_deg)[0].any()


def test_a_camera_in_a_wall_is_not_free() -> None:
    scenes = drawn()
    pose = scenes.still()
    assert scenes.is_free(pose).all()
    pose[0, -1, 0, 3] = 10.0
    pose[1, 2, :3, 3] = scenes.centre[1, 0]
    assert scenes.is_free(pose).tolist() == [False, False, True]


def test_hole_statistics_count_what_is_hidden_how_long_and_how_large() -> None:
    mask = np.ones((5, 10, 10), np.bool_)
    mask[1:, :2, :2] = False  # stays
    mask[3, 9, 9] = False  # for one frame
    found = hole_statistics([mask])
    assert found.hidden == (4 * 4 + 1) / 400
    assert found.persistence == 12 / 13
    assert sum(found.area_by_size) == 1
    small = sum(share for share, low in zip(found.area_by_size, SIZE_EDGES, strict=False) if low < 0.03)
    assert small == np.float64(round(1 / 17, 4))
