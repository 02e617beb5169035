"""Alignment and the temporal filter against clips whose true depth is known."""

import cv2
import numpy as np
import pytest

from ex4d.depth import ArrayFrames, TemporalOptions, align, flicker, steady
from ex4d.depth.align import robust_line
from ex4d.depth.edges import depth_edges
from ex4d.progress import CancelToken
from ex4d_ground.errors import Cancelled, SettingError

from . import rendered, scenes

RAYCAST = [scene.name for scene in scenes.SCENES]
RENDERED = ["example", *rendered.CLIPS]


@pytest.fixture
def clip(request, raycast_clips, blender_clips):
    return (raycast_clips | blender_clips)[request.param]


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


@pytest.mark.parametrize(
    ("clip", "meaning"),
    [*((name, "metric") for name in RAYCAST + RENDERED), *((name, "disparity") for name in ["strafe", *RENDERED])],
    indirect=["clip"],
)
def test_alignment_recovers_random_scale_and_shift_within_one_per_cent(clip, meaning):
    frames, depth, lens = clip[0][:8], clip[1][:8], clip[2]
    scale_error, value_error, found = check_recovery(frames, depth if meaning == "metric" else 1 / depth, lens, meaning)
    assert scale_error <= 0.01
    assert value_error <= 0.01
    assert found.cuts == ()


@pytest.mark.parametrize("clip", ["dolly in", *rendered.CLIPS], indirect=True)
def test_a_moving_camera_is_noticed(clip):
    frames, depth, lens = clip
    assert align(depth[:3], ArrayFrames(frames[:3]), "metric", lens).moving == 2


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


def test_the_measure_of_edge_movement_sees_two_pixels(blender_clips):
    _, depth, _ = blender_clips["example"]
    assert edge_movement(depth[0], np.roll(depth[0], 2, axis=1)) >= 1.9
    assert edge_movement(depth[0], depth[0]) == 0


@pytest.mark.parametrize("clip", RAYCAST + RENDERED, indirect=True)
def test_the_filter_cuts_flicker_five_times_and_keeps_edges(clip):
    frames, depth, _ = clip
    assert len(frames) > 2 * TemporalOptions().radius + 1  # windows that slide, not one line for all
    noisy = flickering(depth, 7)
    source = ArrayFrames(frames)
    filtered = steady(noisy, source, "metric", np.empty_like(noisy))
    before, after = (np.nanmean(flicker(v, source, "metric")) for v in (noisy, filtered))
    assert before / after >= 5
    assert max(edge_movement(t, f) for t, f in zip(depth, filtered, strict=True)) <= 1.0  # pixels
    assert np.abs(filtered / depth - 1).mean() < np.abs(noisy / depth - 1).mean()


@pytest.mark.slow
@pytest.mark.blender
@pytest.mark.parametrize("name", rendered.CLIPS)
def test_the_stored_clips_are_what_blender_renders(name):
    pytest.importorskip("bpy")
    frames, depth, lens = rendered.render_clip(name)
    stored_frames, stored_depth, stored_lens = rendered.load(name)
    assert np.mean(np.abs(stored_depth / depth - 1) > 1e-3) < 1e-3
    assert np.abs(stored_frames.astype(int) - frames).mean() < 4
    assert (stored_lens.fx, stored_lens.cx) == pytest.approx((lens.fx, lens.cx))


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
