from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ex4d.trajectory import (
    PRESETS,
    MoveSetup,
    dolly,
    eased,
    lens_zoom,
    orbit,
    pedestal,
    preset,
    relative_to_first,
    source_times,
    static,
    sway,
    truck,
    vertigo,
)
from ex4d.trajectory.timing import EASINGS
from ex4d_ground.cameras import Intrinsics, from_matrices
from ex4d_ground.errors import InputError, SettingError, ShapeError, TrajectoryError
from ex4d_ground.poses import inverse

LENS = Intrinsics(310.0, 305.0, 150.0, 95.0, 320, 200)
angles = st.floats(-90, 90)
depths = st.floats(0.2, 50)


def setup(distance: float = 2.0, **changes) -> MoveSetup:
    values = {"num_frames": 13, "intrinsics": LENS, "target": (0.0, 0.0, distance)} | changes
    return MoveSetup(**values)


def project(move, point) -> np.ndarray:  # [N, 2]
    p = (inverse(move.world_from_camera) @ np.append(point, 1.0))[:, :3]
    return p[:, :2] / p[:, 2:] * move.intrinsics[:, :2] + move.intrinsics[:, 2:]


@given(yaw=angles, pitch=angles, distance=depths)
def test_an_orbit_keeps_the_target_in_place_at_its_distance_all_the_way(yaw, pitch, distance):
    move = orbit(yaw, pitch, setup=setup(distance))
    seen = inverse(move.world_from_camera) @ [0, 0, distance, 1]
    np.testing.assert_allclose(seen[:, :3], np.tile([0, 0, distance], (13, 1)), atol=1e-9 * distance + 1e-9)


@pytest.mark.parametrize("degrees", [-90, -60, 45, 90])
def test_an_orbit_really_reaches_its_angle(degrees):
    def turned(move) -> float:
        return np.degrees(np.arccos(np.clip(move.world_from_camera[-1, 2, 2], -1, 1)))

    assert turned(orbit(degrees, setup=setup())) == pytest.approx(abs(degrees), abs=1e-9)
    assert turned(orbit(0, degrees, setup=setup())) == pytest.approx(abs(degrees), abs=1e-9)


def test_positive_yaw_goes_right_and_positive_pitch_goes_up():
    right = orbit(90, setup=setup(2.0)).world_from_camera[-1]
    np.testing.assert_allclose(right[:3, 3], [2, 0, 2], atol=1e-12)
    above = orbit(0, 90, setup=setup(2.0)).world_from_camera[-1]
    np.testing.assert_allclose(above[:3, 3], [0, -2, 2], atol=1e-12)
    np.testing.assert_allclose(above[:3, 2], [0, 1, 0], atol=1e-12)


def test_an_orbit_about_a_point_off_axis_keeps_that_point_where_it_was_on_screen():
    target = (0.4, -0.2, 3.0)
    pixels = project(orbit(50, 20, setup=setup(target=target)), target)
    np.testing.assert_allclose(pixels, np.tile(pixels[0], (13, 1)), atol=1e-9)


def test_a_crane_keeps_an_off_axis_target_in_place_and_starts_unturned():
    target = (0.4, -0.2, 3.0)
    move = pedestal(0.5, setup=setup(target=target), keep_centred=True)
    np.testing.assert_allclose(move.world_from_camera[0], np.eye(4), atol=1e-12)
    pixels = project(move, target)
    np.testing.assert_allclose(pixels, np.tile(pixels[0], (13, 1)), atol=1e-9)
    assert move.world_from_camera[-1, 1, 3] < 0


@given(share=st.floats(-9, 0.9), distance=depths)
def test_vertigo_keeps_the_size_of_things_at_the_target(share, distance):
    move = vertigo(share, setup=setup(distance))
    edge = project(move, [0.3, -0.2, distance])
    np.testing.assert_allclose(edge, np.tile(edge[0], (13, 1)), atol=1e-7)


def test_dolly_in_arrives_at_its_share_and_stays_on_axis():
    move = dolly(0.25, setup=setup(4.0))
    np.testing.assert_allclose(move.world_from_camera[-1, :3, 3], [0, 0, 1.0])
    np.testing.assert_allclose(preset("zoom_out", num_frames=5, intrinsics=LENS, near_depth=3.85, amount=0.5)
                               .world_from_camera[-1, :3, 3], [0, 0, -2.0])  # fmt: skip


def test_truck_and_pedestal_slide_without_turning():
    for move, axis, sign in ((truck(0.5, setup=setup()), 0, 1), (pedestal(0.5, setup=setup()), 1, -1)):
        assert (move.world_from_camera[:, :3, :3] == np.eye(3)).all()
        assert move.world_from_camera[-1, axis, 3] == pytest.approx(sign * 1.0)


def test_lens_zoom_changes_the_lens_alone_by_equal_ratios():
    move = lens_zoom(4.0, setup=setup(easing="linear", num_frames=3))
    assert (move.world_from_camera == np.eye(4)).all()
    np.testing.assert_allclose(move.intrinsics[:, 0], 310.0 * np.array([1, 2, 4]))
    assert (move.intrinsics[:, 2:] == [150.0, 95.0]).all()


def test_sway_reaches_both_sides_and_returns():
    x = sway(30, setup=setup(num_frames=49, easing="linear")).world_from_camera[:, 0, 3]
    assert x.max() == pytest.approx(1.0) and x.min() == pytest.approx(-1.0)
    assert x[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_gives_a_rigid_move_from_the_source_camera(name):
    move = preset(name, num_frames=17, intrinsics=LENS, near_depth=1.7)
    assert len(move) == 17 and move.name == name and (move.width, move.height) == (320, 200)
    np.testing.assert_allclose(move.world_from_camera[0], np.eye(4), atol=1e-12)
    np.testing.assert_array_equal(move.intrinsics[0], [310, 305, 150, 95])
    np.testing.assert_array_equal(move.source_time, np.arange(17))
    assert PRESETS[name].help.endswith(".")


@pytest.mark.parametrize("name", [n for n in PRESETS if n != "static"])
def test_every_preset_but_static_moves_and_obeys_its_amount(name):
    full = preset(name, num_frames=9, intrinsics=LENS, near_depth=1.7)
    less = preset(name, num_frames=9, intrinsics=LENS, near_depth=1.7, amount=0.1)
    start = np.concatenate([np.eye(4).ravel(), [310, 305, 150, 95]])

    def state(move):
        return np.concatenate([move.world_from_camera.reshape(9, -1), move.intrinsics], axis=1)

    assert np.abs(state(full) - start).max() > 0.05
    assert np.abs(state(full) - state(less)).max() > 0.01


def test_a_move_starts_from_the_given_camera():
    start = orbit(30, 10, setup=setup()).world_from_camera[-1]
    move = preset("truck_right", num_frames=4, intrinsics=LENS, near_depth=1.85, amount=0.5, start=start)
    np.testing.assert_allclose(move.world_from_camera[0], start)
    np.testing.assert_allclose(move.world_from_camera[-1, :3, 3], start[:3, 3] + start[:3, 0] * 1.0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: preset("spiral", num_frames=5, intrinsics=LENS, near_depth=1), SettingError, "'spiral'"),
        (lambda: preset("30", num_frames=0, intrinsics=LENS, near_depth=1), SettingError, "at least 1 frame, got 0"),
        (lambda: preset("30", num_frames=5, intrinsics=LENS, near_depth=float("nan")), TrajectoryError, "nan"),
        (lambda: preset("orbit_left", num_frames=5, intrinsics=LENS, near_depth=1, amount=99), SettingError, "90.*99"),
        (lambda: preset("30", num_frames=5, intrinsics=LENS, near_depth=1, easing="bounce"), SettingError, "bounce"),  # pyright: ignore[reportArgumentType]
        (lambda: orbit(91, setup=setup()), SettingError, "91"),
        (lambda: dolly(1.0, setup=setup()), SettingError, "0.95"),
        (lambda: lens_zoom(0, setup=setup()), SettingError, "got 0"),
        (lambda: setup(target=(0.0, 0.0, -1.0)), TrajectoryError, "in front"),
        (lambda: static(num_frames=2, intrinsics=LENS, world_from_camera=np.eye(3)), ShapeError, r"\(3, 3\)"),
        (lambda: from_matrices(np.eye(4), intrinsics=LENS), ShapeError, r"\[N, 4, 4\]"),
        (lambda: from_matrices(np.diag([2.0, 1, 1, 1])[None], intrinsics=LENS), TrajectoryError, "1 is not rigid"),
        (lambda: from_matrices(np.diag([1e300, 1, 1, 1])[None], intrinsics=LENS), TrajectoryError, "1 is not rigid"),
        (lambda: from_matrices(np.diag([-1.0, 1, 1, 1])[None], intrinsics=LENS), TrajectoryError, "mirroring"),
        (lambda: from_matrices(np.full((2, 4, 4), np.nan), intrinsics=LENS), TrajectoryError, "NaN"),
        (lambda: from_matrices(np.eye(4)[None], intrinsics=[1.0, 1, 0, 0]), ShapeError, "size="),
        (lambda: from_matrices(np.eye(4)[None], intrinsics=np.ones((3, 4)), size=(8, 8)), ShapeError, r"\(3, 4\)"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_sentence_with_the_value(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call()
    assert isinstance(caught.value, InputError) and "\n" not in str(caught.value)


def test_matrices_rounded_to_float32_become_exactly_rigid_again():
    w = orbit(40, 25, setup=setup()).world_from_camera.astype(np.float32)
    move = from_matrices(w, intrinsics=LENS)
    r = move.world_from_camera[:, :3, :3]
    np.testing.assert_allclose(r @ r.transpose(0, 2, 1), np.tile(np.eye(3), (13, 1, 1)), atol=1e-14)
    np.testing.assert_allclose(move.world_from_camera, w, atol=1e-6)


def test_intrinsics_may_differ_per_frame_but_not_in_size():
    zoomed = [LENS, Intrinsics(620, 610, 150, 95, 320, 200)]
    move = from_matrices(np.tile(np.eye(4), (2, 1, 1)), intrinsics=zoomed)
    assert move.intrinsics[:, 0].tolist() == [310, 620]
    with pytest.raises(ShapeError, match="same picture size"):
        from_matrices(np.tile(np.eye(4), (2, 1, 1)), intrinsics=[LENS, LENS.resized(64, 64)])


def test_relative_to_first_places_the_world_at_the_first_camera():
    foreign = from_matrices(orbit(40, setup=setup()).world_from_camera[4:], intrinsics=LENS)
    move = relative_to_first(foreign)
    np.testing.assert_allclose(move.world_from_camera[0], np.eye(4), atol=1e-12)


@pytest.mark.parametrize("easing", EASINGS)
@pytest.mark.parametrize("n", [2, 7, 49])
def test_easing_goes_from_0_to_1_and_never_back(easing, n):
    share = eased(n, easing)
    assert share[0] == 0 and share[-1] == 1 and (np.diff(share) > 0).all()


def test_ease_in_out_starts_and_ends_slowly():
    step = np.diff(eased(41, "ease_in_out"))
    assert step[0] < step[20] / 5 and step[-1] < step[20] / 5


def test_source_time_patterns():
    args = {"num_frames": 5, "num_source_frames": 4}
    assert source_times("play", **args).tolist() == [0, 1, 2, 3, 3]
    assert source_times("freeze", frame=2, **args).tolist() == [2] * 5
    assert source_times("reverse", **args).tolist() == [3, 2, 1, 0, 0]
    assert source_times("slow", speed=0.5, **args).tolist() == [0, 0.5, 1, 1.5, 2]
    assert source_times("stretch", **args).tolist() == [0, 0.75, 1.5, 2.25, 3]
    assert source_times("reverse", num_frames=3, num_source_frames=9).tolist() == [2, 1, 0]


def test_source_time_outside_the_clip_is_refused_with_its_range():
    with pytest.raises(TrajectoryError, match="8 is outside the clip, which has 4 frames"):
        source_times("freeze", num_frames=5, num_source_frames=4, frame=7)
    with pytest.raises(SettingError, match="Speed"):
        source_times("slow", num_frames=5, num_source_frames=4, speed=0)
    with pytest.raises(SettingError, match="loop"):
        source_times("loop", num_frames=5, num_source_frames=4)  # pyright: ignore[reportArgumentType]
