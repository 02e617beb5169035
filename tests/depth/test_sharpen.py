"""Soft depth edges become steps where they are soft, and true depth stays: on Blender scenes whose depth is known."""

import cv2
import numpy as np
import pytest

from ex4d.depth import EdgeOptions, estimate_depth, sharpen_edges
from ex4d.depth.edge_steps import edge_steps
from ex4d.depth.edges import depth_edges
from ex4d.depth.run import DepthOptions

from . import rendered

NAMES = ["example", *rendered.CLIPS]
PICKED = (0, 6, 13)


def blurred(depth, sigma):
    """Edges as an estimator makes them that works at a lower resolution: disparity is averaged over them."""
    return (1 / cv2.GaussianBlur(1 / depth, (0, 0), sigma)).astype(np.float32)


def wrong_at_edges(depth, truth):
    """Share of the pixels within four of a true edge that are more than a tenth off."""
    band = cv2.dilate(depth_edges(truth, jump=0.15, reach=1).astype(np.uint8), np.ones((9, 9))) > 0
    return (np.abs(depth / truth - 1) > 0.1)[band].mean()


def steps(depth):
    """Pixels whose right or lower neighbour is more than 16 % nearer or farther."""
    logs, found = np.log(depth), np.zeros(depth.shape, bool)
    found[:, :-1] |= np.abs(np.diff(logs, axis=1)) > 0.15
    found[:-1] |= np.abs(np.diff(logs, axis=0)) > 0.15
    return found


def f_score(depth, truth):
    """Of the places of edges, within a pixel."""
    away = [cv2.distanceTransform((~steps(d)).astype(np.uint8), cv2.DIST_L2, 5) for d in (depth, truth)]
    precision, recall = (away[1][steps(depth)] <= 1).mean(), (away[0][steps(truth)] <= 1).mean()
    return 2 * precision * recall / max(precision + recall, 1e-9)


@pytest.fixture
def frames(request, blender_clips):
    """(picture, true depth) of three frames."""
    colours, depth, _ = blender_clips[request.param]
    return [(colours[t], np.maximum(depth[t], 0.01)) for t in PICKED]


@pytest.mark.parametrize("frames", NAMES, indirect=True)
def test_true_depth_stays_as_it_is(frames):
    for picture, truth in frames:
        sharp = sharpen_edges(truth, picture)
        assert wrong_at_edges(sharp, truth) <= 0.005
        assert (np.abs(sharp / truth - 1) > 0.1).mean() <= 0.001
        assert f_score(sharp, truth) >= 0.99


@pytest.mark.parametrize(("sigma", "left", "score"), [(1.0, 0.65, 0.85), (2.0, 0.93, 0.55)])
@pytest.mark.parametrize("frames", NAMES, indirect=True)
def test_blurred_edges_become_steps_where_they_were(frames, sigma, left, score):
    before, after, scores = [], [], []
    for picture, truth in frames:
        soft = blurred(truth, sigma)
        sharp = sharpen_edges(soft, picture)
        before.append(wrong_at_edges(soft, truth))
        after.append(wrong_at_edges(sharp, truth))
        scores.append(f_score(sharp, truth))
    assert np.mean(after) <= left * np.mean(before)
    assert np.mean(scores) >= score


def two_planes(edge=256, size=512):
    near = np.arange(size) < edge
    depth = np.where(near, 3.0, 9.0).astype(np.float32) * np.ones((size, 1), np.float32)
    picture = np.where(near[:, None], [200, 80, 40], [60, 110, 160]).astype(np.uint8)[None].repeat(size, 0)
    return picture, depth


def test_no_depth_is_left_between_the_two_surfaces():
    picture, truth = two_planes()
    soft = blurred(truth, 1.5)
    assert (np.abs(soft / truth - 1) > 0.05).sum() >= 4 * 512
    sharp = sharpen_edges(soft, picture)
    assert (np.abs(sharp / truth - 1) > 0.05).sum() == 0


def test_the_picture_decides_in_the_middle_of_a_ramp():
    truth = two_planes()[1]
    soft = blurred(truth, 1.5)
    for edge in (255, 257):  # the picture's edge lies a pixel beside the depth's
        picture, there = two_planes(edge)
        assert (np.abs(sharpen_edges(soft, picture) / there - 1) > 0.1).mean() == 0


def test_slopes_without_an_end_are_surfaces():
    y = np.arange(64, dtype=np.float32)[:, None] + np.zeros((1, 64), np.float32)
    floor = (200 / (y + 4)).astype(np.float32)
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(sharpen_edges(floor, picture), floor)


def test_it_is_the_default_for_estimated_depth_alone():
    assert list(edge_steps(EdgeOptions(), estimated=True)) == ["fill", "sharpen", "clamp"]
    assert list(edge_steps(EdgeOptions(), estimated=False)) == ["fill", "clamp"]
    assert list(edge_steps(EdgeOptions(sharpen=False), estimated=True)) == ["fill", "clamp"]
    assert list(edge_steps(DepthOptions.ex4d_parity().edges, estimated=True)) == []


def test_nothing_of_an_estimate_falls_behind_the_border_and_what_was_mended_is_counted(tmp_path, monkeypatch):
    import sys

    picture, truth = two_planes()
    script = tmp_path / "tool.py"
    script.write_text(
        "import sys, numpy as np\n"
        "d = np.load(sys.argv[3])['d']\n"
        "np.savez(sys.argv[2], depth=np.stack([d] * 3), meaning='metric')\n"
    )
    soft = blurred(truth, 1.5)
    soft[:10] = 5000.0  # the sky
    soft[40:42, 10:15] = np.nan
    np.savez(tmp_path / "d.npz", d=soft)
    config = tmp_path / "depth.toml"
    words = [sys.executable, str(script), "{frames}", "{output}", str(tmp_path / "d.npz")]
    config.write_text(f'[[estimator]]\nname = "mine"\ncommand = {words}\nmeaning = "metric"\n')
    monkeypatch.setenv("EX4D_DEPTH_CONFIG", str(config))
    for border in (100.0, 30.0):
        options = DepthOptions(steady=False, align=False, edges=EdgeOptions(border_depth=border))
        result = estimate_depth(np.stack([picture] * 3), estimator="mine", options=options)
        assert result.file.depth.max() < border
        assert result.report.filled == 3 * 10
        assert result.report.clamped == 3 * 10 * 512
        assert result.report.sharpened > 3 * 400
