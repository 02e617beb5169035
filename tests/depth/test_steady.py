"""Alignment and the temporal filter against clips whose true depth is known."""

import cv2
import numpy as np
import pytest

from ex4d.depth import ArrayFrames, TemporalOptions, align, flicker, steady
from ex4d.depth.align import robust_line
from ex4d.depth.edges import depth_edges
from ex4d.errors import Cancelled, SettingError
from ex4d.progress import CancelToken


@pytest.fixture(scope="session")
def all_clips(raycast_clips, example_clip):
    return {**raycast_clips, "example": example_clip}


def spoiled(truth, seed):
    """The truth under a random scale and shift per frame, and those: truth = scale * value + shift."""
    rng = np.random.default_rng(seed)
    count = len(truth)
    scale = rng.uniform(0.7, 1.4, count)
    shift = rng.uniform(-0.25, 0.25, count) * truth.min()
    return ((truth - shift[:, None, None]) / scale[:, None, None]).astype(np.float32), scale, shift


def check_recovery(frames, truth, lens, meaning):
    """Largest error of any frame's recovered scale, and median error of its values, after one factor and offset
    for the whole clip, which no estimator of relative depth can know."""
    values, scale, _ = spoiled(truth, 5)
    found = align(values, ArrayFrames(frames), meaning, lens)
    aligned = found.apply(values.copy())
    factor, offset = robust_line(
        aligned.reshape(-1)[::17].astype(np.float64), truth.reshape(-1)[::17].astype(np.float64),
        1 / truth.reshape(-1)[::17].astype(np.float64),
    )  # fmt: skip
    scale_error = np.abs(found.scale * factor / scale - 1)
    value_error = np.abs(factor * aligned + offset - truth) / truth
    return scale_error.max(), np.median(value_error.reshape(len(truth), -1), axis=1).max(), found


@pytest.mark.parametrize("meaning", ["metric", "disparity"])
def test_alignment_recovers_random_scale_and_shift_within_one_per_cent(all_clips, meaning):
    for name, (frames, depth, lens) in all_clips.items():
        truth = depth if meaning == "metric" else 1 / depth
        scale_error, value_error, found = check_recovery(frames, truth, lens, meaning)
        assert scale_error <= 0.01, f"{name}: scale off by {scale_error:.2%}"
        assert value_error <= 0.01, f"{name}: depth off by {value_error:.2%}"
        assert found.cuts == ()


@pytest.mark.blender
def test_alignment_recovers_scale_and_shift_on_rendered_scenes_with_a_moving_camera(blender_clips):
    for name, (frames, depth, lens) in blender_clips.items():
        scale_error, value_error, found = check_recovery(frames, depth, lens, "metric")
        assert scale_error <= 0.01, f"{name}: scale off by {scale_error:.2%}"
        assert value_error <= 0.01, f"{name}: depth off by {value_error:.2%}"
        assert found.moving > 0


def test_alignment_leaves_consistent_depth_alone(raycast_clips):
    frames, depth, lens = raycast_clips["still camera"]
    found = align(depth, ArrayFrames(frames), "metric", lens)
    np.testing.assert_allclose(found.scale, 1, atol=1e-4)
    np.testing.assert_allclose(found.shift / depth.mean(), 0, atol=1e-4)


def test_a_cut_is_found_and_does_not_spoil_what_follows(raycast_clips):
    frames, depth, lens = raycast_clips["still camera"]
    other = np.random.default_rng(1).integers(0, 255, frames[:4].shape, dtype=np.uint8)
    other[:] = other[:1]  # a still picture of noise after the cut
    found = align(
        np.concatenate([depth[:4], depth[:4]]), ArrayFrames(np.concatenate([frames[:4], other])), "metric", lens
    )
    assert found.cuts == (4,)
    np.testing.assert_allclose(found.scale[4:], 1, atol=0.02)


def test_robust_line_ignores_a_third_of_outliers():
    rng = np.random.default_rng(2)
    x = rng.uniform(1, 5, 3000)
    y = 1.7 * x - 0.4
    y[::3] += rng.uniform(1, 8, 1000)
    assert robust_line(x, y, np.ones_like(x)) == pytest.approx((1.7, -0.4), abs=1e-6)


def flickering(depth, seed):
    """Depth with blobs and whole frames that jump by a few per cent, as single-image models do."""
    rng = np.random.default_rng(seed)
    count, height, width = depth.shape
    blobs = np.stack(
        [cv2.resize(rng.normal(size=(9, 12)), (width, height), interpolation=cv2.INTER_CUBIC) for _ in depth]
    )
    jumps = 0.02 * blobs + 0.01 * rng.normal(size=(count, 1, 1))
    return (depth * np.exp(jumps)).astype(np.float32)


def edge_movement(before, after):
    """How far edges of ``after`` are from those of ``before``, and the other way: pixels, 99 % of the edge points.

    A clear edge of one must have an edge in the other, which may be half as strong: an edge at the threshold of
    detection that is found in one and not in the other has not moved.
    """
    found = []
    for one, other in ((before, after), (after, before)):
        clear, any_edge = depth_edges(one, jump=0.4), depth_edges(other, jump=0.2)
        away = cv2.distanceTransform((~any_edge).astype(np.uint8), cv2.DIST_L2, 5)
        found.append(np.quantile(away[clear], 0.99) if clear.any() else 0)
    return max(found)


def test_the_measure_of_edge_movement_sees_two_pixels(example_clip):
    _, depth, _ = example_clip
    assert edge_movement(depth[0], np.roll(depth[0], 2, axis=1)) >= 1.9
    assert edge_movement(depth[0], depth[0]) == 0


def check_steadiness(name, frames, depth):
    noisy = flickering(depth, 7)
    source = ArrayFrames(frames)
    filtered = steady(noisy, source, "metric", np.empty_like(noisy))
    before, after = (np.nanmean(flicker(v, source, "metric")) for v in (noisy, filtered))
    assert before / after >= 5, f"{name}: flicker {before:.3f} % -> {after:.3f} %"
    moved = max(edge_movement(t, f) for t, f in zip(depth, filtered, strict=True))
    assert moved <= 1.0, f"{name}: edges moved {moved:.2f} px"
    assert np.abs(filtered / depth - 1).mean() < np.abs(noisy / depth - 1).mean()


def test_the_filter_cuts_flicker_five_times_and_keeps_edges(all_clips):
    for name, (frames, depth, _) in all_clips.items():
        check_steadiness(name, frames, depth)


@pytest.mark.blender
def test_the_filter_cuts_flicker_and_keeps_edges_on_rendered_scenes(blender_clips):
    for name, (frames, depth, _) in blender_clips.items():
        check_steadiness(name, frames, depth)


def test_true_depth_of_a_moving_camera_is_no_flicker(raycast_clips):
    frames, depth, _ = raycast_clips["dolly in"]
    series = flicker(depth, ArrayFrames(frames), "metric")
    assert np.isnan(series[[0, -1]]).all()
    assert series[1:-1].max() < 0.02  # per cent, while depth itself changes by one per cent a frame


def test_a_disparity_of_zero_survives_the_filter(raycast_clips):
    frames, depth, _ = raycast_clips["still camera"]
    disparity = 1 / depth
    disparity[:, :20] = 0
    filtered = steady(disparity, ArrayFrames(frames), "disparity", np.empty_like(disparity))
    assert np.isfinite(filtered).all()
    assert (filtered[:, :18] == 0).all()


def test_the_filter_holds_only_its_window(raycast_clips):
    from ex4d.depth.temporal import _Window

    frames, depth, _ = raycast_clips["still camera"]
    window = _Window(depth, ArrayFrames(frames), "metric")
    for start in range(6):
        window.hold(start, start + 5)
        assert len(window.items) == 5
        assert len(window.flows) == 4


def test_cancel_stops_alignment_and_filter(raycast_clips):
    frames, depth, lens = raycast_clips["still camera"]
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        align(depth, ArrayFrames(frames), "metric", lens, cancel=token)
    with pytest.raises(Cancelled):
        steady(depth, ArrayFrames(frames), "metric", np.empty_like(depth), cancel=token)


def test_a_bad_radius_is_one_sentence():
    with pytest.raises(SettingError, match="between 1 and 16 frames, got 0"):
        TemporalOptions(radius=0)
