"""A clip is a video and a depth that fit, with nothing invalid in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ex4d.clip import InvalidDepth, find_invalid, load_clip
from ex4d_ground.arrays import Float32
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import ClipError, DepthError, SettingError, ShapeError


@pytest.fixture
def depth_file(tmp_path: Path, depth: Float32) -> Path:
    np.savez(tmp_path / "depth.npz", depth=depth)
    return tmp_path / "depth.npz"


@pytest.fixture
def holed(depth: Float32) -> Float32:
    bad = depth.copy()
    bad[2, 3, 4:7] = np.nan
    bad[2, 10, 10] = np.inf
    bad[4, 0, 0] = 0
    bad[4, 47, 63] = -3
    bad[4, 20, 20] = -np.inf
    return bad


def test_video_and_depth_become_a_clip(video: Path, depth_file: Path, depth: Float32) -> None:
    clip = load_clip(video, depth_file)
    assert (clip.num_frames, clip.height, clip.width, clip.fps, clip.name) == (7, 48, 64, 24, "source")
    assert np.array_equal(clip.depth, depth)
    assert clip.intrinsics.source == "assumed: 54.22 deg"
    assert load_clip(video.read_bytes(), depth, fps=12).fps == 12


def test_intrinsics_come_from_one_place(video: Path, depth_file: Path) -> None:
    assert load_clip(video, depth_file, fov_deg=90).intrinsics.fx == pytest.approx(32)
    assert load_clip(video, depth_file, focal_px=500).intrinsics == Intrinsics(500, 500, 32, 24, 64, 48)
    given = Intrinsics(80, 82, 31, 25, 64, 48)
    assert load_clip(video, depth_file, intrinsics=given).intrinsics is given
    with pytest.raises(SettingError, match="exclude each other"):
        load_clip(video, depth_file, fov_deg=50, focal_px=500)
    with pytest.raises(ShapeError, match="intrinsics are for 32x24 pixels but the video is 64x48"):
        load_clip(video, depth_file, intrinsics=given.resized(32, 24))


@pytest.mark.parametrize("fov", [0.0, 180.0, -5.0])
def test_an_impossible_field_of_view_is_refused(video: Path, depth_file: Path, fov: float) -> None:
    with pytest.raises(SettingError, match="between 0 and 180 degrees"):
        load_clip(video, depth_file, fov_deg=fov)


def test_depth_of_another_size_names_both_sizes(video: Path, depth: Float32) -> None:
    with pytest.raises(DepthError, match=r"The depth is 60x48 pixels but the video is 64x48"):
        load_clip(video, depth[:, :, :60])


def test_depth_of_another_length_names_both_lengths(video: Path, depth: Float32) -> None:
    with pytest.raises(DepthError, match="has 5 frames but the video has 7; ") as caught:
        load_clip(video, depth[:5])
    assert "--num_frames 5" in caught.value.text("cli")
    with pytest.raises(DepthError, match="has 14 frames but the video has 7; ") as caught:
        load_clip(video, np.concatenate([depth, depth]))
    assert "--num_frames 7" in caught.value.text("cli")
    assert load_clip(video, depth[:5], num_frames=5).num_frames == 5
    assert load_clip(video, np.concatenate([depth, depth]), num_frames=7).num_frames == 7
    with pytest.raises(DepthError, match=r"has 5 frames but the video has 6"):
        load_clip(video, depth[:5], num_frames=6)
    with pytest.raises(ClipError, match=r"has 7 frames, 8 were asked for"):
        load_clip(video, depth, num_frames=8)


def test_invalid_depth_is_counted_by_kind_and_fill_is_offered(video: Path, holed: Float32) -> None:
    with pytest.raises(DepthError) as caught:
        load_clip(video, holed)
    message = caught.value.text("cli")
    assert "6 of 21504 pixels" in message
    assert "3 NaN, 1 infinite, 2 zero or negative; first in frame 3" in message
    assert "--fill_invalid" in message


def test_filling_changes_the_invalid_pixels_only_and_says_how_many(video: Path, holed: Float32, depth: Float32) -> None:
    before = holed.copy()
    filled: list[InvalidDepth] = []
    clip = load_clip(video, holed, fill_invalid=True, on_filled=filled.append)
    assert filled[0].count == 6
    assert filled[0].frames == (2, 4)
    invalid = ~(holed > 0)
    assert clip.depth[2, 10, 10] == 1e10  # infinity is sky
    invalid[2, 10, 10] = True
    assert np.array_equal(clip.depth[~invalid], depth[~invalid])
    assert np.isfinite(clip.depth).all()
    assert (clip.depth > 0).all()
    assert np.array_equal(holed, before, equal_nan=True)
    load_clip(video, depth, fill_invalid=True, on_filled=filled.append)
    load_clip(video, depth, on_filled=filled.append)
    assert [each.count for each in filled] == [6, 0]


def test_a_frame_without_any_depth_cannot_be_filled(video: Path, depth: Float32) -> None:
    bad = depth.copy()
    bad[3] = np.nan
    with pytest.raises(DepthError, match=r"no valid pixel at all in frame 4, so"):
        load_clip(video, bad, fill_invalid=True)


def test_counting_tells_each_kind_once() -> None:
    found = find_invalid(np.array([[[np.nan, np.inf], [-np.inf, 0]], [[1, 2], [-1, 4]]], np.float32))
    assert (found.nan, found.infinite, found.not_positive, found.count, found.total) == (1, 1, 2, 4, 8)
    assert (found.frames, found.empty_frames) == ((0, 1), ())


def test_a_depth_file_of_ours_brings_its_lens_and_its_licence(video: Path, depth: Float32, tmp_path: Path) -> None:
    from ex4d.depth.store import DepthFile, save_depth

    lens = Intrinsics(70, 70, 32, 24, 64, 48, source="estimator")
    save_depth(tmp_path / "ours.npz", DepthFile(depth, estimator="some-model", licence="MIT", intrinsics=lens))
    clip = load_clip(video, tmp_path / "ours.npz")
    assert np.array_equal(clip.depth, depth)
    assert (clip.intrinsics.fx, clip.intrinsics.source) == (70, "estimator")
    assert (clip.depth_source, clip.depth_licence) == ("some-model", "MIT")
    assert load_clip(video, tmp_path / "ours.npz", focal_px=500).intrinsics.fx == 500
    np.savez(tmp_path / "bad.npz", depth=depth, facts=np.array("{not json"))
    with pytest.raises(DepthError, match="cannot be read"):
        load_clip(video, tmp_path / "bad.npz")
