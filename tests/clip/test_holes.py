"""Shadows of a depth camera are told from holes in surfaces, and each is filled with what it is."""

from __future__ import annotations

import numpy as np
import pytest

from ex4d.clip import fill_invalid
from ex4d.clip.filling import fill_holes
from ex4d.clip.hole_shadows import ABOVE, BELOW, LEFT, RIGHT, Shadow, find_shadows
from ex4d.eval.depth_camera import Side, boxes, shadowed, without_rims
from ex4d_ground.arrays import Float32

REACH = 22.5
SIDES: dict[Side, int] = {"left": LEFT, "right": RIGHT, "above": ABOVE, "below": BELOW}


def shares_off(filled: Float32, true: Float32, holes: np.ndarray) -> tuple[float, float, float]:
    """Shares of a hole's pixels more than 10 % too near and too far, and the median error."""
    ratio = filled[holes] / true[holes]
    return float((ratio < 0.9).mean()), float((ratio > 1.1).mean()), float(np.median(np.abs(ratio - 1)))


def room(side: Side = "left") -> tuple[Float32, Float32]:
    """A floor that rises into the distance with three boxes on it, and what a depth camera sees of it."""
    y, x = np.mgrid[:240, :320].astype(np.float32)
    true = 1 / (0.1 + 0.001 * y)
    for left, top, distance in ((60, 40, 1.2), (170, 90, 1.6), (250, 20, 2.0)):
        box = (x >= left) & (x < left + 45) & (y >= top) & (y < top + 110)
        true[box & (true > distance)] = distance
    if side in ("above", "below"):
        true = np.ascontiguousarray(true.T)
    return true, shadowed(true, REACH, side)


@pytest.mark.comes_in("Depth", "holes: NaN, zero, negative", "refused with their number; on request filled from behind")
@pytest.mark.parametrize("side", SIDES)
def test_the_shadow_of_a_depth_camera_is_filled_with_what_lies_behind(side: Side) -> None:
    true, holed = room(side)
    holes = np.isnan(holed)
    assert 0.01 < holes.mean() < 0.2
    filled, found = fill_invalid(holed[None])
    assert found.count == holes.sum()
    near, far, median = shares_off(filled[0], true, holes)
    assert near < 0.05
    assert far < 0.05
    assert median < 0.01
    assert np.array_equal(filled[0][~holes], true[~holes])


@pytest.mark.parametrize("side", SIDES)
def test_side_and_baseline_are_read_off_the_holes(side: Side) -> None:
    frames = [shadowed(boxes(seed), REACH, side) for seed in range(4)]
    (shadow,) = find_shadows(frames, range(len(frames)))
    assert shadow.side == SIDES[side]
    assert shadow.reach == pytest.approx(REACH, rel=0.06)
    assert abs(shadow.rim) <= 2
    assert shadow.own == (0, 0)


def test_pixels_lost_along_edges_leave_the_shadows_known_and_filled() -> None:
    rng = np.random.default_rng(3)
    true = np.stack([boxes(seed) for seed in range(6)])
    holed = np.stack([without_rims(shadowed(frame, REACH), 1, 0.7, rng) for frame in true])
    (shadow,) = find_shadows(holed, range(len(holed)))
    assert shadow.reach == pytest.approx(REACH, rel=0.05)
    near, far, _ = shares_off(fill_invalid(holed)[0], true, np.isnan(holed))
    assert near < 0.15
    assert far < 0.1


def test_depth_brought_to_a_view_between_has_shadows_on_both_sides() -> None:
    true = [boxes(seed) for seed in range(6)]
    frames = [np.minimum(shadowed(frame, 12.0), shadowed(frame, 12.0, "right")) for frame in true]  # NaN in either
    assert {shadow.side for shadow in find_shadows(frames, range(len(frames)))} == {LEFT, RIGHT}


def test_holes_of_all_widths_are_no_shadows() -> None:
    rng = np.random.default_rng(5)
    frames = [boxes(seed) for seed in range(6)]
    for frame in frames:
        for _ in range(60):
            top, left, high, wide = rng.integers((0, 0, 2, 2), (230, 300, 20, 100))
            frame[top : top + high, left : left + wide] = 0
    assert find_shadows(frames, range(len(frames))) == ()
    assert find_shadows([np.ones((4, 4), np.float32)], [0]) == ()
    assert find_shadows([], []) == ()


# -- one hole, of each kind ------------------------------------------------------------------------------------

NEAR, FAR = 2.0, 8.0
LEFT_SHADOW = (Shadow(LEFT, 40.0, 0.0, 0.0),)
"""Between 2 and 8 it is 40 * (1 / 2 - 1 / 8) = 15 pixels wide."""


def strip(first: int, end: int, edge: int = 60) -> Float32:
    """Far on the left, near from ``edge`` on; nothing is known in the columns ``first`` to ``end``."""
    frame = np.full((40, 120), FAR, np.float32)
    frame[:, edge:] = NEAR
    frame[:, first:end] = np.nan
    return frame


def filled(frame: Float32, shadows: tuple[Shadow, ...] = LEFT_SHADOW) -> Float32:
    return fill_holes(frame, frame > 0, shadows)


def test_a_hole_as_wide_as_the_shadow_lies_behind() -> None:
    assert (filled(strip(45, 60))[:, 45:60] == FAR).all()
    turned = filled(np.ascontiguousarray(strip(45, 60)[:, ::-1]), (Shadow(RIGHT, 40.0, 0.0, 0.0),))
    assert (turned[:, 60:75] == FAR).all()


def test_a_hole_as_wide_but_on_the_other_side_is_split_between_its_ends() -> None:
    frame = np.ascontiguousarray(strip(45, 60)[:, ::-1])  # near, hole, far
    assert (filled(frame)[:, 60:67] == NEAR).all()
    assert (filled(frame)[:, 68:75] == FAR).all()


def test_a_wider_hole_is_no_shadow() -> None:
    found = filled(strip(20, 60))
    assert (found[:, 41:60] == NEAR).all()  # a dark thing before a bright wall: what is nearer in the picture
    assert (found[:, 20:39] == FAR).all()


def test_a_much_narrower_hole_is_no_shadow() -> None:
    found = filled(strip(55, 60))
    assert (found[:, 58:60] == NEAR).all()
    assert (found[:, 55:57] == FAR).all()


def test_a_thin_gap_along_an_edge_keeps_to_the_nearer_end() -> None:
    for shadows in ((), LEFT_SHADOW):
        found = filled(strip(59, 61), shadows)
        assert (found[:, 59] == FAR).all()
        assert (found[:, 60] == NEAR).all()


def test_of_ragged_holes_a_quarter_and_a_pixel_is_the_near_things_own() -> None:
    found = filled(strip(45, 60), (Shadow(LEFT, 40.0, 0.0, 2.0),))
    assert (found[:, 56:60] == NEAR).all()
    assert (found[:, 45:55] == FAR).all()


def test_a_shadow_that_the_picture_cuts_is_filled_with_what_is_seen_beyond_the_thing() -> None:
    frame = np.full((40, 120), FAR, np.float32)
    frame[10:30, 8:60] = NEAR
    frame[10:30, :8] = np.nan  # 15 pixels wide, of which the picture shows 8
    assert (filled(frame)[10:30, :8] == FAR).all()


def test_a_dark_patch_within_a_thing_stays_on_it_beside_a_shadow() -> None:
    frame = strip(45, 60)
    frame[15:25, 70:100] = np.nan
    assert np.allclose(filled(frame)[:, 60:], NEAR)


@pytest.mark.parametrize("shadows", [(), LEFT_SHADOW])
def test_a_hole_within_a_plane_continues_the_plane(shadows: tuple[Shadow, ...]) -> None:
    y, x = np.mgrid[:60, :80].astype(np.float32)
    plane = 1 / (0.2 + 0.0005 * x + 0.003 * y)
    holed = plane.copy()
    holed[20:30, 30:60] = 0
    assert np.allclose(filled(holed, shadows), plane, rtol=2e-3)


def test_nothing_measured_to_the_pictures_edge_takes_the_nearest() -> None:
    frame = strip(90, 120)
    frame[:, 60:] = np.where(np.isnan(frame[:, 60:]), np.nan, FAR)
    assert (filled(frame) == FAR).all()


def test_rows_and_columns_without_anything_valid_are_filled_too() -> None:
    frame = np.full((9, 9), np.nan, np.float32)
    frame[4, 4] = 5
    assert np.allclose(filled(frame), 5)
    frame[4, 4], frame[0, 0] = np.nan, 3
    assert np.allclose(filled(frame), 3)


def test_filling_is_the_same_in_any_layout_of_memory_and_leaves_its_input_alone() -> None:
    _, holed = room()
    shadows = find_shadows([holed], [0])
    before = holed.copy()
    straight = fill_holes(holed, holed > 0, shadows)
    upright = np.asfortranarray(holed)
    assert np.array_equal(fill_holes(upright, upright > 0, shadows), straight)
    assert np.array_equal(holed, before, equal_nan=True)
    whole = np.full((5, 5), 2, np.float32)
    assert np.array_equal(fill_holes(whole, whole > 0), whole)
