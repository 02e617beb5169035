"""Two eyes: parallax by the book and in pictures, comfort, and holes that both eyes fill alike."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from ex4d.dwmesh import DWMesh
from ex4d.engines import get_engine
from ex4d.shots.draw import draw_shot
from ex4d.shots.take import AUTO, Stereo, comfort, run_engine
from ex4d.trajectory import static
from ex4d.types import Clip
from ex4d_ground.arrays import UInt8
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import SettingError, ShapeError
from ex4d_ground.options import MeshOptions
from ex4d_ground.stereo import Comfort, Eyes, depth_at, fitting_eyes

H, W = 96, 160
LENS = Intrinsics.from_fov(W, H, 50)
EYES = Eyes.of(0.12, 3.0)


def textured(seed: int) -> UInt8:  # [H, W, 3]
    """Smooth noise without a direction, so that a shift can be measured far below a pixel."""
    noise = np.random.default_rng(seed).normal(0, 1, (H, W, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def clip_of(frame: UInt8, depth: np.ndarray) -> Clip:
    return Clip(frame[None].repeat(2, 0), depth[None].repeat(2, 0).astype(np.float32), LENS)


def standing() -> Trajectory:
    return static(num_frames=2, intrinsics=LENS)


def both(clip: Clip, move: Trajectory | None = None) -> tuple[UInt8, UInt8, np.ndarray]:
    """First frame of both eyes by the preview engine, and where the right eye's guide shows the source."""
    engine, mesh = get_engine("preview"), DWMesh(clip, MeshOptions(mode="solid"))
    chosen, first = engine.info().validated({}), standing() if move is None else move
    left, right = (draw_shot(mesh, each, settings=chosen) for each in (first, EYES.right(first)))
    one = run_engine(engine, left, settings=chosen)
    other = run_engine(engine, right, settings=chosen, beside=(left, one))
    return one.frames[0], other.frames[0], right.guides.mask[0]


def shift_of(left: UInt8, right: UInt8) -> float:
    """Pixels by which the middle of ``right`` lies to the right of that of ``left``: Gauss-Newton on grey values."""
    one, other = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float64) for each in (left, right))
    rows, columns = np.mgrid[12 : H - 12, 24 : W - 24].astype(np.float32)
    target, shift = one[12 : H - 12, 24 : W - 24], 0.0
    for _ in range(30):
        moved = cv2.remap(other.astype(np.float32), columns + np.float32(shift), rows, cv2.INTER_CUBIC)
        slope = np.gradient(moved, axis=1)
        shift += float((slope * (target - moved)).sum() / (slope * slope).sum())
    return shift


@pytest.mark.parametrize("depth", [2.0, 3.0, 7.3])
def test_the_parallax_of_a_plane_is_right_within_a_tenth_of_a_pixel(depth: float) -> None:
    left, right, _ = both(clip_of(textured(4), np.full((H, W), depth)))
    expected = LENS.fx * 0.12 * (1 / 3.0 - 1 / depth)
    assert EYES.parallax(depth, focal_px=LENS.fx, width=W) * W == pytest.approx(expected)
    assert shift_of(left, right) == pytest.approx(expected, abs=0.1)


def test_both_eyes_see_the_same_behind_something_and_nothing_of_what_hides_it() -> None:
    depth = np.full((H, W), 6.0)
    depth[30:70, 50:80] = 2.0
    frame = textured(5)
    frame[30:70, 50:80] = (220, 30, 30)
    aside = np.eye(4)
    aside[0, 3] = 0.4  # beside the source camera the left eye has holes, too
    move = static(num_frames=2, intrinsics=LENS, world_from_camera=aside)
    left, right, mask = both(clip_of(frame, depth), move=move)
    beside = np.s_[34:66, 20:120]  # around the red thing
    holes = ~mask[beside]
    assert holes.mean() > 0.2
    rows, columns = np.mgrid[0:H, 0:W].astype(np.float32)
    parallax = EYES.parallax(6.0, focal_px=LENS.fx, width=W) * W
    alike = cv2.remap(left, columns - np.float32(parallax), rows, cv2.INTER_LINEAR)[beside].astype(int)
    shown = right[beside].astype(int)
    red = (alike @ [1, -1, 0]) > 100  # there the left eye has the red thing itself before it
    assert (red & holes).sum() < 0.4 * holes.sum()
    assert np.abs(shown - alike).mean(axis=-1)[holes & ~red].mean() < 3  # each filled by itself: 4.7
    assert ((shown @ [1, -1, 0]) > 100)[holes].mean() < 0.02


def test_what_the_left_picture_ends_with_goes_on_in_the_right_one() -> None:
    """Nearer than the screen the right eye sees past the left picture's right side: no sliver of another colour."""
    _, right, mask = both(clip_of(np.full((H, W, 3), (90, 140, 60), np.uint8), np.full((H, W), 1.5)))
    holes = ~mask
    assert holes[10:-10, -3:].all()
    assert np.abs(right[holes].astype(int) - (90, 140, 60)).max() <= 2


def test_a_thing_that_the_pictures_edge_cuts_stands_at_its_own_depth_for_both_eyes() -> None:
    rows, columns = np.mgrid[0:H, 0:W] + 0.5
    floor = np.minimum(1.5 / np.maximum((rows - LENS.cy) / LENS.fy, 1e-6), 9.0)
    board = (columns > 125) & (rows > 30)
    frame = np.where(
        board[..., None], np.array([240, 220, 30], np.uint8), textured(7) // 2 + np.array([0, 0, 110], np.uint8)
    )
    clip = clip_of(frame, np.where(board, 1.0, floor))
    back = np.eye(4)
    back[2, 3] = -0.3
    left, right, mask = both(clip, move=static(num_frames=2, intrinsics=LENS, world_from_camera=back))
    thing = [(each[..., 2] < 70)[45:65] for each in (left, right)]
    assert (thing[1] & ~mask[45:65]).sum() > 100, "it goes on"
    for each in thing:
        first, last = each.argmax(axis=1), W - 1 - each[:, ::-1].argmax(axis=1)
        np.testing.assert_array_equal(last - first + 1, each.sum(axis=1), err_msg="without a gap")
    np.testing.assert_allclose(thing[1].sum(axis=1), thing[0].sum(axis=1), atol=2)
    parallax = LENS.fx * 0.12 * (1 / 3.0 - 1 / 1.3)
    np.testing.assert_allclose(thing[1].argmax(axis=1) - thing[0].argmax(axis=1), parallax, atol=1.5)


def test_the_right_eye_is_beside_the_left_one_and_converges_where_asked() -> None:
    turn = np.eye(4)
    turn[:3, :3] = cv2.Rodrigues(np.array([0.1, 0.4, 0.0]))[0]
    left = static(num_frames=3, intrinsics=LENS, world_from_camera=turn)
    right = Eyes.of([0.1, 0.1, 0.2], [2.0, 4.0, 2.0]).right(left)
    for frame, depth in enumerate((2.0, 4.0, 2.0)):
        pixels = []
        for eye in (left, right):
            x, y, z, _ = eye.camera_from_world[frame] @ (left.world_from_camera[frame] @ [0.3, 0.2, depth, 1.0])
            fx, fy, cx, cy = eye.intrinsics[frame]
            pixels.append((fx * x / z + cx, fy * y / z + cy))
        np.testing.assert_allclose(*pixels, atol=1e-9)
    moved = right.world_from_camera[:, :3, 3] - left.world_from_camera[:, :3, 3]
    np.testing.assert_allclose(moved, np.outer([0.1, 0.1, 0.2], left.world_from_camera[0, :3, 0]), atol=1e-12)
    with pytest.raises(SettingError, match="positive number, got 0"):
        Eyes.of(0.0)
    with pytest.raises(SettingError, match="positive number, got -1"):
        Eyes.of(0.1, -1)
    with pytest.raises(ShapeError, match="3 frames, but there are 2"):
        Eyes.of([0.1, 0.2]).right(left)


def test_eyes_that_fit_a_scene_leave_it_within_what_eyes_bear() -> None:
    lens = {"focal_px": LENS.fx, "width": W}
    for near, far in ((2.0, math.inf), (0.5, 80.0), (4.0, 4.5), (3.0, 3.0)):
        eyes = fitting_eyes(near, far, **lens)
        assert eyes.distance[0] <= near / 30 + 1e-12
        seen = Comfort.of(eyes, near, far, **lens)
        assert not seen.warnings
        assert near <= eyes.convergence[0] <= far
    wide = Comfort.of(Eyes.of(0.3, 2.0), 1.0, math.inf, **lens)
    assert len(wide.warnings) == 2
    assert "screens wider than" in wide.warnings[0]
    assert wide.widest_screen_m == pytest.approx(0.065 / wide.farthest)
    far = depth_at(EYES, 0.005, **lens)
    assert EYES.parallax(far, **lens) == pytest.approx(0.005)
    assert depth_at(EYES, 0.5, **lens) == math.inf


def test_the_distance_can_come_from_the_clips_depth() -> None:
    depth = np.full((H, W), 8.0)
    depth[40:60, 40:60] = 3.0
    clip = clip_of(textured(6), depth)
    eyes = Stereo(AUTO).eyes(clip, standing())
    assert eyes == fitting_eyes(3.0, 8.0, focal_px=LENS.fx, width=W)
    assert not comfort(eyes, clip, standing()).warnings
    assert Stereo(AUTO, 5.0).eyes(clip, standing()) == Eyes.of(eyes.distance, 5.0)
    assert Stereo(0.2).eyes(clip, standing()) == Eyes.of(0.2)
