from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ex4d.trajectory import MoveSetup, orbit, preset, static, trajectory_errors
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import SettingError, ShapeError, TrajectoryError
from ex4d_ground.poses import (
    interpolate,
    inverse,
    look_at,
    quaternion_from_rotation,
    rotation_from_quaternion,
    se3_exp,
    se3_log,
    so3_exp,
    so3_log,
)

LENS = Intrinsics.from_fov(64, 48)
vectors = arrays(np.float64, 3, elements=st.floats(-1.7, 1.7))
twists = arrays(np.float64, 6, elements=st.floats(-1.7, 1.7))


@given(vectors)
def test_rotation_vector_round_trips_below_180_degrees(vector):
    if np.linalg.norm(vector) < np.pi - 1e-3:
        np.testing.assert_allclose(so3_log(so3_exp(vector)), vector, atol=1e-8)


@given(vectors)
def test_quaternion_round_trips(vector):
    r = so3_exp(vector)
    np.testing.assert_allclose(rotation_from_quaternion(quaternion_from_rotation(r)), r, atol=1e-12)
    assert quaternion_from_rotation(r)[0] >= 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_round_trip_too(axis):
    r = so3_exp(np.pi * np.eye(3)[axis])
    np.testing.assert_allclose(so3_exp(so3_log(r)), r, atol=1e-12)


@given(twists)
def test_twist_round_trips(twist):
    if np.linalg.norm(twist[3:]) < np.pi - 1e-3:
        np.testing.assert_allclose(se3_log(se3_exp(twist)), twist, atol=1e-6)


@given(twists, twists)
def test_rigid_motions_form_a_group(a, b):
    x, y = se3_exp(a), se3_exp(b)
    np.testing.assert_allclose(inverse(x @ y), inverse(y) @ inverse(x), atol=1e-9)
    np.testing.assert_allclose(x @ inverse(x), np.eye(4), atol=1e-9)
    r = (x @ y)[:3, :3]
    np.testing.assert_allclose(r @ r.T, np.eye(3), atol=1e-9)


@given(twists, twists)
def test_interpolation_ends_where_it_should(a, b):
    start, end = se3_exp(a), se3_exp(b)
    way = interpolate(start, end, np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(way[0], start, atol=1e-9)
    np.testing.assert_allclose(way[2], end, atol=1e-6)


def test_interpolation_to_an_orbited_pose_is_the_orbit_itself():
    setup = MoveSetup(11, LENS, (0.0, 0.0, 3.0), easing="linear")
    move = orbit(80, setup=setup)
    way = interpolate(np.eye(4), move.world_from_camera[-1], np.linspace(0, 1, 11))
    np.testing.assert_allclose(way, move.world_from_camera, atol=1e-9)


def test_look_at_keeps_the_picture_upright_and_refuses_what_is_undefined():
    w = look_at(np.array([[2.0, -1.0, 0.0]]), np.array([0.0, 0.0, 4.0]))[0]
    assert w[1, 0] == pytest.approx(0) and w[1, 1] > 0 and np.linalg.det(w[:3, :3]) == pytest.approx(1)
    with pytest.raises(TrajectoryError, match="frame 2 stands on its own target"):
        look_at(np.array([[1.0, 0, 0], [0, 0, 4.0]]), np.array([0, 0, 4.0]))
    with pytest.raises(TrajectoryError, match="straight up or down"):
        look_at(np.array([[0.0, -3.0, 4.0]]), np.array([0.0, 0, 4.0]))


def test_errors_are_zero_between_a_move_and_itself_in_another_world_and_unit():
    move = preset("60", num_frames=9, intrinsics=LENS, near_depth=2.0)
    world = se3_exp(np.array([1.0, -2.0, 0.5, 0.3, 0.2, -0.4]))
    moved = world @ move.world_from_camera
    moved[:, :3, 3] *= 3.7
    other = type(move)(moved, move.intrinsics, move.source_time, move.width, move.height)
    for scale in ("unit", "fit"):
        errors = trajectory_errors(move, other, scale=scale)
        assert errors.rot_err < 1e-9 and errors.trans_err < 1e-9
    assert trajectory_errors(move, other, scale="none").trans_err > 0.1


def test_rotation_error_is_the_angle_between_the_cameras():
    setup = MoveSetup(5, LENS, (0.0, 0.0, 2.0), easing="linear")
    errors = trajectory_errors(orbit(40, setup=setup), orbit(60, setup=setup), scale="none")
    np.testing.assert_allclose(np.degrees(errors.rotation_rad), np.linspace(0, 20, 5), atol=1e-9)
    assert errors.rot_err_deg == pytest.approx(10)
    chord = 2 * 2.0 * np.sin(np.radians(10))
    assert errors.translation[-1] == pytest.approx(chord)


def test_a_still_estimate_has_the_reference_s_whole_motion_as_error():
    move = preset("truck_right", num_frames=5, intrinsics=LENS, near_depth=2.0, easing="linear")
    still = static(num_frames=5, intrinsics=LENS)
    np.testing.assert_allclose(trajectory_errors(move, still).translation, np.linspace(0, 1, 5))


def test_moves_of_other_lengths_or_an_unknown_scale_are_refused():
    a, b = static(num_frames=4, intrinsics=LENS), static(num_frames=5, intrinsics=LENS)
    with pytest.raises(ShapeError, match="4 and 5"):
        trajectory_errors(a, b)
    with pytest.raises(SettingError, match="metric"):
        trajectory_errors(a, a, scale="metric")  # pyright: ignore[reportArgumentType]
