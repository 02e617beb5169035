from __future__ import annotations

import math

import numpy as np
import pytest

from ex4d.eval import flow_stability, mask_scores, perturbed, psnr, ssim
from ex4d_ground.errors import SettingError, ShapeError


def row(text: str) -> np.ndarray:
    """One picture row from letters: 1 is true."""
    return np.array([[c == "1" for c in text]])


def test_mask_scores_of_a_case_counted_by_hand():
    #             hit hit wrong wrong(unknowable) missed empty...
    mask = row("1111000000")
    visible = row("1100110000")
    unknowable = row("0001000000")
    s = mask_scores(mask, visible, unknowable)
    assert (s.precision, s.recall, s.iou) == (0.5, 0.5, 2 / 6)
    assert (s.false_visible, s.false_visible_known, s.false_visible_of_picture) == (0.5, 0.25, 0.2)
    assert s.iou_known == 2 / 5
    assert (s.coverage, s.true_coverage) == (0.4, 0.4)


def test_a_perfect_mask_scores_one_and_an_empty_one_has_no_precision():
    visible = row("1100")
    none = np.zeros_like(visible)
    perfect, empty = mask_scores(visible, visible, none), mask_scores(none, visible, none)
    assert (perfect.iou, perfect.precision, perfect.recall, perfect.false_visible) == (1, 1, 1, 0)
    assert empty.recall == 0 and empty.iou == 0 and math.isnan(empty.precision)


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(ShapeError, match="one size"):
        mask_scores(row("11"), row("111"), row("11"))


def test_psnr_of_a_known_difference():
    a = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(a, a + np.uint8(10)) == pytest.approx(10 * math.log10(255**2 / 100))
    assert psnr(a, a) == 100.0


def test_psnr_counts_only_where_asked():
    a, b = np.full((4, 4, 3), 50, np.uint8), np.full((4, 4, 3), 50, np.uint8)
    b[0] = 255
    where = np.ones((4, 4), bool)
    where[0] = False
    assert psnr(a, b, where) == 100.0
    assert psnr(a, b) < 20
    assert math.isnan(psnr(a, b, np.zeros((4, 4), bool)))


def test_ssim_of_two_flat_pictures_is_the_luminance_term():
    a, b = np.full((32, 32, 3), 100, np.uint8), np.full((32, 32, 3), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), abs=1e-9)


def test_ssim_is_one_for_equal_and_near_zero_for_unrelated_pictures():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    assert ssim(a, a) == pytest.approx(1)
    assert abs(ssim(a, b)) < 0.05


def test_ssim_is_blind_to_what_lies_outside_the_mask():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    b = a.copy()
    b[:, 16:] = 0
    where = np.zeros((32, 32), bool)
    where[:, :16] = True
    assert ssim(b, a, where) == pytest.approx(1)


def moving_texture(steps: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    import cv2

    big = cv2.GaussianBlur(rng.integers(0, 256, (96, 160, 3)).astype(np.float32), (0, 0), 3)
    big = ((big - big.min()) / np.ptp(big) * 255).astype(np.uint8)
    return np.stack([big[:96, 2 * i : 2 * i + 96] for i in range(steps)])


def test_a_picture_that_only_moves_is_stable():
    s = flow_stability(moving_texture(4))
    assert s.followed > 0.8
    assert s.warped_error < 2


def test_flicker_is_seen_through_motion_and_measured_in_levels():
    still, flickering = moving_texture(4), moving_texture(4).astype(np.int16)
    flickering[1::2] += 20
    flickering = flickering.clip(0, 255).astype(np.uint8)
    s = flow_stability(flickering, reference=still)
    assert s.warped_error == pytest.approx(20, abs=2.5)


def test_mask_flicker_is_the_share_that_changes():
    frames = np.repeat(moving_texture(1), 3, axis=0)
    mask = np.ones(frames.shape[:3], bool)
    mask[1, :, :48] = False
    s = flow_stability(frames, mask)
    assert s.mask_flicker == pytest.approx(0.5, abs=0.02)


def test_one_frame_has_no_stability():
    with pytest.raises(ShapeError, match="two or more frames"):
        flow_stability(moving_texture(1))


def test_perturbed_depth_is_repeatable_and_as_large_as_said():
    depth = np.full((5, 40, 40), 4.0, np.float32)
    drift, noise = perturbed(depth, "drift", seed=1), perturbed(depth, "noise", seed=1)
    assert np.array_equal(drift, perturbed(depth, "drift", seed=1))
    assert not np.array_equal(drift, perturbed(depth, "drift", seed=2))
    assert 0.01 < np.abs(drift / depth - 1).max() <= 0.05 + 1e-6
    assert np.abs(np.diff(drift, axis=2)).max() < 0.02 * 4.0
    assert np.std(noise / depth) == pytest.approx(0.01, rel=0.05)


def test_blur_changes_edges_only():
    depth = np.full((1, 40, 40), 8.0, np.float32)
    depth[:, :, 20:] = 4.0
    blurred = perturbed(depth, "blur")
    assert np.allclose(blurred[:, :, :14], 8, atol=1e-3)
    assert np.allclose(blurred[:, :, 26:], 4, atol=1e-3)
    assert 4.2 < blurred[0, 20, 19] < 7.8


def test_an_unknown_fault_is_told_with_the_known_ones():
    with pytest.raises(SettingError, match="drift"):
        perturbed(np.ones((1, 4, 4), np.float32), "fog")
