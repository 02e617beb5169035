from __future__ import annotations

import numpy as np
import pytest
from analytic import CARD, HALF, WALL, clip_of, look

from ex4d.eval import true_visibility
from ex4d.types import Clip
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import DepthError


def expected(position, size=64, focal=64.0):
    """Analytic truth for the wall and card: visible, unknowable, and where it hangs on less than a pixel or so."""
    px, py, pz = position
    u = (np.arange(size) + 0.5 - size / 2) / focal
    x, y = np.meshgrid(u, u)
    near = CARD - pz
    card = (np.abs(px + x * near) <= HALF) & (np.abs(py + y * near) <= HALF)
    z = np.where(card, near, WALL - pz)
    wx, wy = px + x * z, py + y * z
    wz = np.where(card, CARD, WALL)
    sx, sy = wx / wz * focal, wy / wz * focal  # source pixels from its middle
    outside = (np.abs(sx) > size / 2) | (np.abs(sy) > size / 2)
    reach = HALF / CARD * focal
    shadow = (np.abs(sx) < reach) & (np.abs(sy) < reach) & ~card
    # Where the answer hangs on less than a pixel it depends on sampling, not on geometry.
    square = np.abs(np.maximum(np.abs(sx), np.abs(sy)) - reach)
    frame = np.abs(np.maximum(np.abs(sx), np.abs(sy)) - size / 2)
    unsure = np.where(card, np.inf, square) < 1.5
    return ~outside & ~shadow, outside, (frame < 1e-6) | unsure


@pytest.mark.parametrize("position", [(1.2, 0, 0), (-0.7, 0.4, 0), (0, 0, 1.5), (0.9, -0.5, 1.0), (0.3, 0, -2.0)])
def test_visibility_of_a_card_before_a_wall_is_the_analytic_one(position):
    source, target = look([(0, 0, 0)]), look([position])
    truth = true_visibility(clip_of(source), target.trajectory, target.depth)
    visible, unknowable, unsure = expected(position)
    assert (truth.visible[0] == visible)[~unsure].all()
    assert (truth.unknowable[0] == unknowable)[~unsure].all()
    assert unsure.mean() < 0.15


def test_at_the_source_everything_is_visible_and_nothing_unknowable():
    view = look([(0, 0, 0)])
    truth = true_visibility(clip_of(view), view.trajectory, view.depth)
    assert truth.visible.all() and not truth.unknowable.any()


def test_a_steep_floor_is_visible_all_the_way():
    """The floor's depth changes by metres from row to row: a fixed tolerance would call most of it hidden."""
    size, focal, height = 96, 96.0, 1.5
    k = np.array([[focal, focal, 48, 40]])
    row = (np.arange(size) + 0.5 - 40) / focal

    def floor_depth(camera_height: float) -> np.ndarray:
        z = np.where(row > 0.02, camera_height / np.maximum(row, 0.02), 40.0)
        return np.repeat(np.minimum(z, 40)[:, None], size, axis=1)[None].astype(np.float32)

    frames = np.zeros((1, size, size, 3), np.uint8)
    clip = Clip(frames, floor_depth(height), Intrinsics(focal, focal, 48, 40, size, size))
    pose = np.eye(4)[None].copy()
    pose[0, 1, 3] = -0.5  # half a metre higher
    higher = Trajectory(pose, k, np.zeros(1), size, size)
    depth = floor_depth(height + 0.5)
    truth = true_visibility(clip, higher, depth)
    floor = (depth[0] < 30) & ~truth.unknowable[0]
    assert truth.visible[0][floor].mean() > 0.99


def test_the_back_of_a_thin_object_is_hidden():
    """Seen from behind, the card's far side lies only 2 % deeper than what the source showed there."""
    source = look([(0, 0, 0)])
    size, focal, thickness = 64, 64.0, 0.02 * CARD
    turn = np.diag([-1.0, 1.0, -1.0, 1.0])
    turn[2, 3] = 2 * CARD + thickness  # opposite the source, the same distance from the card's back
    camera = Trajectory(turn[None], np.array([[focal, focal, 32, 32]]), np.zeros(1), size, size)
    x, y = np.meshgrid(*(2 * [(np.arange(size) + 0.5 - 32) / focal]))
    back = (np.abs(x * CARD) < HALF) & (np.abs(y * CARD) < HALF)
    depth = np.where(back, CARD, 1e3)[None].astype(np.float32)
    truth = true_visibility(clip_of(source), camera, depth)
    inner = (np.abs(x * CARD) < 0.8 * HALF) & (np.abs(y * CARD) < 0.8 * HALF)
    assert not truth.visible[0][inner].any()


def test_points_behind_the_source_camera_are_unknowable():
    source, target = look([(0, 0, 0)]), look([(0, 0, -30)])
    away = target.trajectory.world_from_camera.copy()
    away[0, :3, :3] = np.diag([-1.0, 1.0, -1.0])
    backwards = Trajectory(away, target.trajectory.intrinsics, np.zeros(1), 64, 64)
    truth = true_visibility(clip_of(source), backwards, target.depth)
    assert truth.unknowable.all() and not truth.visible.any()


def test_depth_of_another_size_is_refused():
    view = look([(0, 0, 0)])
    with pytest.raises(DepthError, match="Target depth"):
        true_visibility(clip_of(view), view.trajectory, view.depth[:, :32])
