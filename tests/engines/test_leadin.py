from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ex4d.engines.leadin import MAX_DEGREES_PER_FRAME, MAX_SHIFT_PER_FRAME, MAX_ZOOM_PER_FRAME, with_lead_in
from ex4d.trajectory import PRESETS, MoveSetup, orbit, preset
from ex4d.trajectory.metrics import rotation_angles
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import SettingError

LENS = Intrinsics.from_fov(64, 48)


def late(move: Trajectory, start: int) -> Trajectory:
    """The move from frame ``start`` on: it does not begin at the source camera."""
    return replace(
        move,
        world_from_camera=move.world_from_camera[start:],
        intrinsics=move.intrinsics[start:],
        source_time=move.source_time[start:],
    )


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_move_from_the_source_camera_needs_no_lead_in(name):
    move = preset(name, num_frames=49, intrinsics=LENS, near_depth=2.0)
    lead = with_lead_in(move, LENS, reference_depth=2.15)
    assert lead.trim == 0 and lead.trajectory is move


@settings(max_examples=40, deadline=None)
@given(
    yaw=st.floats(-90, 90),
    pitch=st.floats(-90, 90),
    count=st.integers(1, 60),
    zoom=st.floats(0.5, 3),
    depth=st.floats(0.3, 30),
)
def test_a_lead_in_starts_at_the_source_moves_gently_and_makes_the_length_4n_plus_1(yaw, pitch, count, zoom, depth):
    whole = orbit(yaw, pitch, setup=MoveSetup(count + 1, LENS, (0.0, 0.0, depth), easing="linear"))
    lens = whole.intrinsics * [zoom, zoom, 1, 1]
    move = replace(late(replace(whole, intrinsics=lens), 1), source_time=np.arange(count) + 7.0)
    lead = with_lead_in(move, LENS, reference_depth=depth)
    if lead.trim == 0:
        assert abs(yaw) + abs(pitch) < 4 and abs(zoom - 1) < 0.01
        return
    way = lead.trajectory
    assert len(way) == count + lead.trim and len(way) % 4 == 1
    np.testing.assert_allclose(way.world_from_camera[0], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(way.intrinsics[0], [LENS.fx, LENS.fy, LENS.cx, LENS.cy])
    np.testing.assert_array_equal(way.world_from_camera[lead.trim :], move.world_from_camera)
    np.testing.assert_array_equal(way.source_time[: lead.trim + 1], 7.0)
    front = slice(0, lead.trim + 1)
    r, p = way.world_from_camera[front, :3, :3], way.world_from_camera[front, :3, 3]
    assert np.degrees(rotation_angles(r[:-1], r[1:])).max() <= MAX_DEGREES_PER_FRAME * 1.001
    assert np.linalg.norm(np.diff(p, axis=0), axis=1).max() <= MAX_SHIFT_PER_FRAME * depth * 1.1
    assert np.abs(np.diff(np.log(way.intrinsics[front, 0]))).max() <= MAX_ZOOM_PER_FRAME * 1.001


def test_the_way_to_an_orbited_start_keeps_the_distance_to_the_subject():
    move = late(orbit(90, setup=MoveSetup(10, LENS, (0.0, 0.0, 3.0))), 9)
    way = with_lead_in(move, LENS, reference_depth=3.0).trajectory
    distance = np.linalg.norm(way.world_from_camera[:, :3, 3] - [0, 0, 3], axis=1)
    np.testing.assert_allclose(distance, 3.0, atol=1e-9)


def test_another_output_size_of_the_same_camera_needs_no_lead_in():
    move = preset("30", num_frames=5, intrinsics=LENS.resized(128, 96), near_depth=2.0)
    assert with_lead_in(move, LENS, reference_depth=2.0).trim == 0


def test_a_shifted_lens_alone_needs_a_lead_in():
    move = preset("static", num_frames=5, intrinsics=replace(LENS, cx=40.0), near_depth=2.0)
    assert with_lead_in(move, LENS, reference_depth=2.0).trim > 0


def test_a_reference_depth_of_zero_is_refused():
    move = preset("static", num_frames=5, intrinsics=LENS, near_depth=2.0)
    with pytest.raises(SettingError, match="got 0"):
        with_lead_in(move, LENS, reference_depth=0)
