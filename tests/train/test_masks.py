from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_training import depth_clip, moving_clip

from ex4d.engines.wan.erosion import erode, erosion_kernels
from ex4d.train.degrade import degraded
from ex4d.train.encoding import hidden_share
from ex4d.train.masks import ClipMasks, MaskRecipe, TrackingRecipe, eroded_on_device, hide_patch
from ex4d.train.paths import PathRecipe, random_path
from ex4d.train.tracking import CoTracker, LucasKanade, good_points
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import SettingError


@pytest.fixture(scope="module")
def clip():
    return depth_clip()


def test_a_seed_makes_one_mask_and_another_seed_another(clip) -> None:
    masks = [ClipMasks(clip).draw(seed) for seed in (1, 1, 2)]
    assert np.array_equal(masks[0].mask, masks[1].mask) and masks[0].about == masks[1].about
    assert not np.array_equal(masks[0].mask, masks[2].mask)


@pytest.mark.parametrize("kind", ["rendering", "tracking"])
def test_masks_begin_whole_and_hide_a_usable_share(clip, kind) -> None:
    maker = ClipMasks(clip)
    found = [maker.draw_kind(kind, seed) for seed in range(12)]
    assert all(m.mask[0].all() and m.mask.shape == clip.depth.shape for m in found)
    shares = np.array([m.hidden for m in found])
    assert ((shares >= 0.02) & (shares <= 0.85)).mean() >= 0.8
    assert shares.std() > 0.02


def test_a_mixture_has_both_kinds_in_their_shares(clip) -> None:
    maker = ClipMasks(clip, MaskRecipe(kinds={"rendering": 0.25, "tracking": 0.75}))
    kinds = [maker.draw(seed).kind for seed in range(24)]
    assert 3 <= kinds.count("rendering") <= 11


def test_occluders_are_chosen_or_mixed(clip) -> None:
    for occluders, expected in (("endless", {"endless"}), ("solid", {"solid"}), ("mixed", {"endless", "solid"})):
        maker = ClipMasks(clip, MaskRecipe(kinds={"rendering": 1.0}, occluders=occluders, tries=1))
        assert {maker.draw(seed).about.split(",")[0] for seed in range(10)} == expected


def test_paths_start_at_the_source_and_keep_to_their_ranges(clip) -> None:
    chance = np.random.default_rng(0)
    recipe = PathRecipe()
    paths = [random_path(clip, chance, recipe) for _ in range(200)]
    for path in paths:
        start: Trajectory = path.trajectory
        assert np.allclose(start.world_from_camera[0], np.eye(4), atol=1e-9)
        assert abs(path.yaw_deg) <= recipe.yaw_deg and abs(path.pitch_deg) <= recipe.pitch_deg
        assert np.isfinite(start.world_from_camera).all()
    yaws = np.array([path.yaw_deg for path in paths])
    assert 0.35 < (yaws > 0).mean() < 0.65 and np.abs(yaws).max() > 40
    assert 0.15 < np.mean([path.first_frame_only for path in paths]) < 0.35
    steps = np.diff([p.trajectory.world_from_camera[:, :3, 3] for p in paths], axis=1)
    assert np.isfinite(steps).all()


def test_a_path_through_the_first_frame_alone_shows_it_all_along(clip) -> None:
    path = random_path(clip, np.random.default_rng(1), PathRecipe(first_frame_only=1.0))
    assert (path.trajectory.source_time == 0).all()
    path = random_path(clip, np.random.default_rng(1), PathRecipe(first_frame_only=0.0))
    assert path.trajectory.source_time.tolist() == list(range(clip.num_frames))


def test_erosion_on_the_device_is_the_engines_to_the_pixel() -> None:
    mask = np.random.default_rng(0).uniform(size=(9, 40, 56)) < 0.97
    kernels = erosion_kernels(3, len(mask))
    expected = erode(mask.astype(np.uint8) * np.uint8(255), kernels) > 127
    assert len(set(kernels.tolist())) > 3
    assert np.array_equal(eroded_on_device(torch.from_numpy(mask), kernels.tolist()).numpy(), expected)


def test_points_follow_what_they_sit_on() -> None:
    frames = moving_clip(0, (12, 96, 128))  # slides to the left by two pixels a frame
    points = good_points(frames[5], 20, np.random.default_rng(0))
    inside = points[(points[:, 0] > 30) & (points[:, 0] < 100)]
    tracks, found = LucasKanade().follow(frames, inside, 5)
    expected = inside[None] - np.array([2.0, 0.0]) * (np.arange(12) - 5)[:, None, None]
    assert found.mean() > 0.8
    miss = np.linalg.norm(tracks - expected, axis=-1)[found]
    assert np.quantile(miss, 0.9) < 0.5


def test_a_point_that_is_covered_is_lost_and_stays_lost() -> None:
    frames = moving_clip(1, (10, 96, 128)).copy()
    frames[6:] = np.random.default_rng(3).integers(0, 256, frames[6:].shape, np.uint8)
    _, found = LucasKanade().follow(frames, good_points(frames[0], 12, np.random.default_rng(0)), 0)
    assert found[5].any() and found[-1].mean() < 0.3
    assert not (found[1:] & ~found[:-1]).any()


def test_a_patch_opens_stays_on_its_track_and_closes() -> None:
    mask = np.ones((40, 64, 96), np.bool_)
    track = np.stack([20 + np.arange(40), np.full(40, 30)], axis=1).astype(np.float32)
    recipe = TrackingRecipe(size=(0.3, 0.3), duration=(0.6, 0.6))
    hide_patch(mask, track, np.ones(40, np.bool_), np.random.default_rng(2), recipe)
    areas = (~mask).sum(axis=(1, 2))
    shown = np.flatnonzero(areas)
    assert len(shown) == 24 and (np.diff(shown) == 1).all()
    assert areas[shown[0]] < 0.6 * areas.max() and areas[shown[-1]] < 0.6 * areas.max()
    for t in shown[5:-5]:
        rows, columns = np.nonzero(~mask[t])
        assert abs(columns.mean() - track[t, 0]) < 1 and abs(rows.mean() - 30) < 1


def test_hidden_shares_are_those_of_each_latents_pixels() -> None:
    mask = torch.ones(9, 16, 16, dtype=torch.bool)
    mask[1:3, :8, 8:] = False  # half of the first latent after frame 0, in one cell
    share = hidden_share(mask)
    assert share.shape == (3, 2, 2)
    assert share[1].tolist() == [[0, 0.5], [0, 0]] and share[0].sum() == share[2].sum() == 0


def test_degraded_guides_keep_frame_0_and_differ_within_bounds(clip) -> None:
    mask = ClipMasks(clip).draw(3).mask
    spoilt = degraded(clip, mask, 5)
    assert np.array_equal(spoilt[0], clip.frames[0])
    assert not spoilt[~mask].any()
    change = np.abs(spoilt[1:].astype(int) - clip.frames[1:])[mask[1:]]
    assert 1 < change.mean() < 40
    assert np.array_equal(spoilt, degraded(clip, mask, 5)) and not np.array_equal(spoilt, degraded(clip, mask, 6))


def test_cotracker_says_what_it_lacks(tmp_path) -> None:
    with pytest.raises(SettingError, match="CoTracker"):
        CoTracker(tmp_path / "none.pth", "cpu")
