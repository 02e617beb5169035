"""Conversions, edge care, depth files: arithmetic that can be checked exactly."""

import cv2
import numpy as np
import pytest

from ex4d.depth import (
    ConvertOptions,
    DepthFile,
    EdgeOptions,
    GuidedFilter,
    align_edges,
    clamp_far,
    file_to_depth,
    fill_frame,
    load_depth,
    save_depth,
    values_to_depth,
)  # fmt: skip
from ex4d.depth.convert import EX4D_SCALE, ray_lengths
from ex4d.depth.edges import depth_edges
from ex4d.depth.store import new_values, open_npz_frames
from ex4d.progress import CancelToken
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import Cancelled, DepthError, OutputError, SettingError

RNG = np.random.default_rng(0)
DEPTH = RNG.uniform(1, 20, (3, 12, 16)).astype(np.float32)
LENS = Intrinsics.from_fov(16, 12, 60.0)


def test_disparity_with_a_known_zero_keeps_ratios_of_depth():
    depth = values_to_depth((7 / DEPTH).astype(np.float32), "disparity", zero_is_infinity=True)
    np.testing.assert_allclose(depth / depth.min(), DEPTH / DEPTH.min(), rtol=1e-5)
    assert depth.min() == pytest.approx(EX4D_SCALE)


def test_disparity_of_unknown_offset_reaches_from_near_to_far():
    depth = values_to_depth((3 / DEPTH + 5).astype(np.float32), "disparity", options=ConvertOptions(2, 50))
    assert depth.min() == pytest.approx(2)
    assert depth.max() == pytest.approx(50)


def test_metric_depth_is_scaled_by_the_unit_alone():
    np.testing.assert_allclose(
        values_to_depth(DEPTH.copy(), "metric", options=ConvertOptions(unit_scale=0.01)), DEPTH * 0.01
    )


def test_scale_free_depth_has_its_nearest_point_at_near_depth():
    depth = values_to_depth(DEPTH * 1000, "scale-free", options=ConvertOptions(near_depth=4.0))
    assert np.quantile(depth, 1e-3) == pytest.approx(4, rel=0.05)
    np.testing.assert_allclose(depth / depth.min(), DEPTH / DEPTH.min(), rtol=1e-5)


def test_values_that_are_no_depth_become_nan():
    values = DEPTH.copy()
    values[0, 0, :3] = (np.nan, -1, 0)
    assert np.isnan(values_to_depth(values, "metric")[0, 0, :3]).all()


def test_constant_disparity_is_refused():
    with pytest.raises(DepthError, match="says nothing about depth"):
        values_to_depth(np.ones((2, 4, 4), np.float32), "disparity")


@pytest.mark.parametrize(
    ("kind", "write", "options"),
    [
        ("depth", lambda z: z * 1000, {"scale": 0.001}),
        ("disparity", lambda z: 1 / z, {}),
        ("disparity", lambda z: 8 / z, {"scale": 1 / 8}),
        ("inverted", lambda z: z.max() + z.min() - z, {}),
        ("ray", lambda z: z * ray_lengths(LENS), {"intrinsics": LENS}),
    ],
)
def test_what_other_programs_write_becomes_z_depth(kind, write, options):
    np.testing.assert_allclose(file_to_depth(write(DEPTH).astype(np.float32), kind, **options), DEPTH, rtol=1e-4)


def test_nukes_zero_at_infinity_is_the_far_depth():
    values = (1 / DEPTH).astype(np.float32)
    values[1, 2, 3] = 0
    assert file_to_depth(values, "disparity", far_depth=500)[1, 2, 3] == 500


def test_a_ray_pass_without_a_lens_says_what_is_missing():
    with pytest.raises(SettingError, match="give a field of view"):
        file_to_depth(DEPTH.copy(), "ray")


@pytest.mark.parametrize("wrong", [{"near_depth": 0}, {"unit_scale": float("nan")}, {"near_depth": 5, "far_depth": 4}])
def test_impossible_conversions_are_refused(wrong):
    with pytest.raises(SettingError):
        ConvertOptions(**wrong)


def test_the_sky_never_falls_behind_the_border():
    sky = DEPTH[0].copy()
    sky[:4] = 10000
    limited, count = clamp_far(sky, EdgeOptions(border_depth=100))
    assert count == 64
    assert limited.max() < 100
    np.testing.assert_array_equal(limited[4:], sky[4:])


def test_holes_are_filled_from_their_neighbours_and_counted():
    holed = np.full((8, 8), 3.0, np.float32)
    holed[:, 4:] = 9
    holed[2:4, 1] = np.nan
    holed[5, 6] = -1
    filled, count = fill_frame(holed)
    assert count == 3
    assert filled[2:4, 1] == pytest.approx(3)
    assert filled[5, 6] == pytest.approx(9)


def test_a_frame_without_any_depth_is_refused():
    with pytest.raises(DepthError, match="no valid pixel"):
        fill_frame(np.full((4, 4), np.nan, np.float32))


def two_planes(size=96):
    """A near disc on a far wall, in two colours with a little noise: picture and true depth."""
    y, x = np.mgrid[:size, :size]
    disc = (x - size / 2) ** 2 + (y - size / 2) ** 2 < (size / 4) ** 2
    picture = np.where(disc[..., None], [200, 80, 40], [60, 110, 160]) + np.random.default_rng(1).normal(
        0, 6, (size, size, 3)
    )
    return np.clip(picture, 0, 255).astype(np.uint8), np.where(disc, 3.0, 9.0).astype(np.float32)


@pytest.mark.parametrize(("spoil", "left"), [("moved", 0.65), ("blurred", 0.3)])
def test_edges_go_towards_the_pictures_edges(spoil, left):
    picture, truth = two_planes()
    moved = np.roll(truth, 2, axis=1)
    blurred = 1 / cv2.GaussianBlur(1 / truth, (0, 0), 1.5)
    wrong = moved if spoil == "moved" else blurred.astype(np.float32)
    mended = align_edges(wrong, picture, EdgeOptions(radius=32))
    before, after = ((np.abs(d / truth - 1) > 0.1).mean() for d in (wrong, mended))
    assert after < left * before


def test_right_edges_stay_where_they_are():
    picture, truth = two_planes()
    assert (align_edges(truth, picture) != truth).mean() < 0.002


def test_a_slanted_plane_has_no_edges():
    y = np.arange(64, dtype=np.float32)[:, None] + np.zeros((1, 64), np.float32)
    floor = (200 / (y + 4)).astype(np.float32)  # disparity grows linearly down the image; 25 % a pixel at the top
    assert not depth_edges(floor, jump=0.08)[3:-3, 3:-3].any()
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(align_edges(floor, picture)[8:-8], floor[8:-8])


def test_the_guided_filter_keeps_constants_and_follows_the_guide():
    picture, truth = two_planes()
    smooth = GuidedFilter(picture, 6, 1e-3)
    np.testing.assert_allclose(smooth(np.full_like(truth, 2.5)), 2.5, rtol=1e-4)
    assert np.abs(smooth(truth) - truth).mean() < 0.1 * truth.std()


def test_a_depth_file_comes_back_as_it_was(tmp_path):
    file = DepthFile(DEPTH, "depth-pro", "research", "metric", 24.0, LENS, {"seed": 3})
    save_depth(tmp_path / "d.npz", file)
    back = load_depth(tmp_path / "d.npz")
    np.testing.assert_array_equal(back.depth, DEPTH)
    assert (back.estimator, back.licence, back.fps, back.intrinsics, back.details) == (
        "depth-pro", "research", 24.0, LENS, {"seed": 3},
    )  # fmt: skip
    with np.load(tmp_path / "d.npz", allow_pickle=False) as plain:
        np.testing.assert_array_equal(plain["depth"], DEPTH)


def test_a_cancelled_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "d.npz"
    save_depth(path, DepthFile(DEPTH))
    old = path.read_bytes()
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        save_depth(path, DepthFile(DEPTH * 2), cancel=token)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["d.npz"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        save_depth(tmp_path / "file" / "d.npz", DepthFile(DEPTH))
    with pytest.raises(DepthError, match=r"end it in \.npz"):
        save_depth(tmp_path / "d.exr", DepthFile(DEPTH))


def test_another_npz_is_not_taken_for_a_depth_file(tmp_path):
    np.savez(tmp_path / "d.npz", depth=DEPTH)
    with pytest.raises(DepthError, match="not written by"):
        load_depth(tmp_path / "d.npz")
    (tmp_path / "e.npz").write_bytes(b"nonsense")
    with pytest.raises(DepthError, match="cannot be read"):
        load_depth(tmp_path / "e.npz")


def test_npz_frames_are_read_one_at_a_time(tmp_path):
    np.savez(tmp_path / "d.npz", depth=DEPTH[:, None].astype(np.float64))
    with open_npz_frames(tmp_path / "d.npz") as (shape, frames):
        assert shape == DEPTH.shape
        np.testing.assert_allclose(np.stack(list(frames())), DEPTH)


def test_large_working_arrays_live_on_disk(monkeypatch):
    import ex4d.depth.store as store

    monkeypatch.setattr(store, "IN_MEMORY_BYTES", 100)
    values = new_values((2, 8, 8))
    assert isinstance(values, np.memmap)
    values[:] = 3
    assert values.sum() == 384
