from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ex4d.trajectory import PRESETS, TARGET_MARGIN, near_depth_of, preset
from ex4d_ground.camera_files import load_camera, save_camera
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import DepthError, SettingError
from ex4d_ground.poses import view_from_poses

GOLDEN = Path(os.environ.get("EX4D_GOLDEN_DIR", Path(__file__).parents[1] / "golden")) / "recon"
LENS = Intrinsics.from_fov(64, 64)


def config() -> dict:
    return json.loads((GOLDEN / "config.json").read_text())


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"recon_{name}.npz") as archive:
        return {key: archive[key] for key in ("depth", "view", "depth_min", "K")}


@pytest.mark.parametrize("name", config()["presets"])
def test_published_curve_equals_the_original_program_for_its_frame_count(name):
    data = golden(name)
    count, height, width = data["depth"].shape
    lens = Intrinsics.from_focal(width, height, config()["focal_px"])
    near = near_depth_of(data["depth"], config()["border_depth"])
    move = preset(name, num_frames=count, intrinsics=lens, near_depth=near, overshoot=True)
    assert np.abs(view_from_poses(move.world_from_camera) - data["view"]).max() <= 1e-5


@pytest.mark.parametrize("name", config()["presets"])
def test_orbit_radius_is_nearest_depth_of_frame_0_plus_the_margin(name):
    data = golden(name)
    near = near_depth_of(data["depth"], config()["border_depth"])
    assert near + TARGET_MARGIN == pytest.approx(float(data["depth_min"]), abs=1e-6)


def test_without_overshoot_a_short_clip_ends_at_the_named_angle():
    for name in ("30", "60"):
        move = preset(name, num_frames=9, intrinsics=LENS, near_depth=2.0)
        eye = move.world_from_camera[-1, :3, 3]
        assert eye[0] == pytest.approx(2.15 * np.sin(np.radians(float(name))))


def test_at_49_frames_overshoot_changes_nothing():
    a = preset("60", num_frames=49, intrinsics=LENS, near_depth=2.0)
    b = preset("60", num_frames=49, intrinsics=LENS, near_depth=2.0, overshoot=True)
    np.testing.assert_array_equal(a.world_from_camera, b.world_from_camera)


def horizontal_angle_deg(move) -> np.ndarray:
    forward = move.world_from_camera[:, :3, 2]
    return np.degrees(np.arctan2(-forward[:, 0], forward[:, 2]))


def test_180_peaks_at_45_degrees_and_180_outer_at_90():
    inner = horizontal_angle_deg(preset("180", num_frames=49, intrinsics=LENS, near_depth=2.0))
    outer = horizontal_angle_deg(preset("180_outer", num_frames=49, intrinsics=LENS, near_depth=2.0))
    assert inner.max() == pytest.approx(45, abs=1e-6) and inner.min() == pytest.approx(-45, abs=1e-6)
    assert outer.max() == pytest.approx(90, abs=1e-6) and outer.min() == pytest.approx(-90, abs=1e-6)


@pytest.mark.parametrize("name", [n for n, info in PRESETS.items() if info.published])
def test_every_published_curve_starts_at_the_source_camera(name):
    move = preset(name, num_frames=21, intrinsics=LENS, near_depth=3.0)
    np.testing.assert_allclose(move.world_from_camera[0], np.eye(4), atol=1e-12)


def test_overshoot_is_refused_for_our_own_moves():
    with pytest.raises(SettingError, match="does not apply to 'zoom_in'"):
        preset("zoom_in", num_frames=5, intrinsics=LENS, near_depth=2.0, overshoot=True)


def test_near_depth_refuses_depth_that_is_none():
    depth = np.full((4, 5), 2.0, np.float32)
    depth[2, 2] = np.nan
    with pytest.raises(DepthError, match="nan"):
        near_depth_of(depth)
    with pytest.raises(DepthError, match=r"0\.0"):
        near_depth_of(np.zeros((4, 5), np.float32))


def test_border_depth_hides_a_near_border_from_near_depth():
    depth = np.full((6, 7), 5.0, np.float32)
    depth[0, 3] = 0.5
    assert near_depth_of(depth) == 0.5
    assert near_depth_of(depth, border_depth=100.0) == 5.0


def original_camera_file() -> Path | None:
    root = os.environ.get("EX4D_UPSTREAM_EXAMPLE")
    path = Path(root) / "flower" / "camera_180.npz" if root else None
    return path if path and path.exists() else None


@pytest.mark.skipif(original_camera_file() is None, reason="EX4D_UPSTREAM_EXAMPLE has no flower/camera_180.npz")
def test_a_camera_file_of_the_original_program_reads_as_its_curve_and_writes_back_the_same(tmp_path):
    path = original_camera_file()
    assert path is not None
    move = load_camera(path)
    with np.load(path) as archive:
        extrinsics, k = archive["extrinsics"], archive["intrinsics"]
    peak = np.abs(move.world_from_camera[:, 0, 3]).max()
    again = preset("180", num_frames=len(move), intrinsics=move.frame_intrinsics(0), near_depth=peak - TARGET_MARGIN)
    np.testing.assert_allclose(again.world_from_camera, move.world_from_camera, atol=1e-4)
    save_camera(tmp_path / "camera_180.npz", move, layout="ex4d")
    with np.load(tmp_path / "camera_180.npz") as archive:
        np.testing.assert_allclose(archive["extrinsics"], extrinsics, atol=1e-5)
        np.testing.assert_array_equal(archive["intrinsics"], k)
        assert archive["extrinsics"].dtype == extrinsics.dtype
