"""The camera that filmed is found from pictures and depth, and where it cannot be found that is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ex4d.eval.lock_off import locked_off_psnr
from ex4d.eval.perturb import perturbed
from ex4d.eval.source_cameras import camera_errors
from ex4d.solve import solve_camera
from ex4d.solve.tracks import lifted
from ex4d_ground.errors import Cancelled, ShapeError


def test_the_rooms_truth_agrees_with_itself(filmed) -> None:
    """A point lifted by one frame's depth has, where another frame sees it, that frame's depth there."""
    room = filmed("handheld")
    truth, clip = room.camera, room.clip
    rows, columns = (part.ravel() for part in np.mgrid[8:184:8, 8:248:8])
    steady = ~room.matte[0, rows, columns]
    rows, columns = rows[steady], columns[steady]
    xy, deep = np.column_stack([columns, rows]) + 0.5, clip.depth[0, rows, columns].astype(np.float64)
    points = lifted(xy, deep, truth.intrinsics[0], np.eye(4))
    x = points @ truth.camera_from_world[-1, :3, :3].T + truth.camera_from_world[-1, :3, 3]
    there = truth.intrinsics[-1, :2] * x[:, :2] / x[:, 2:] + truth.intrinsics[-1, 2:]
    inside = (there > 2).all(axis=1) & (there < [254, 190]).all(axis=1)
    found = clip.depth[-1, there[inside, 1].astype(int), there[inside, 0].astype(int)]
    off = np.abs(found / x[inside, 2] - 1)
    assert np.median(off) < 0.005 and (off < 0.02).mean() > 0.8  # the rest is hidden there


@pytest.mark.parametrize("depth", ["true", "drift+blur"])
def test_a_handheld_camera_is_found(filmed, depth: str) -> None:
    room = filmed("handheld")
    clip = room.clip if depth == "true" else replace(room.clip, depth=perturbed(room.clip.depth, depth, seed=2))
    solved = solve_camera(clip)
    errors = camera_errors(room, solved.camera, fit_scale=depth != "true")
    assert not solved.verdict.failure and not solved.verdict.still
    assert solved.camera.origin == "estimated"
    assert errors.rotation_deg < 0.15 and errors.swim_median < 0.2 and errors.swim_95 < 0.7
    assert errors.ate_of_depth < 0.5
    shown = locked_off_psnr(room, room.clip, solved.camera)
    assert shown["psnr_estimated"] > shown["psnr_still"] + 3
    assert shown["psnr_estimated"] > shown["psnr_true"] - 1.5


def test_a_still_camera_is_exactly_the_identity_though_things_move_and_grain_flickers(filmed) -> None:
    solved = solve_camera(filmed("still").clip)
    assert solved.verdict.still and solved.camera.is_still
    assert (solved.camera.world_from_camera == np.eye(4)).all()
    assert 0.02 < solved.verdict.moving < 0.3


def test_following_something_large_is_said_to_fail_and_works_with_a_matte(filmed) -> None:
    room = filmed("follow")
    alone = solve_camera(room.clip)
    assert "of the frame moves by itself" in alone.verdict.failure
    helped = solve_camera(room.clip, matte=lambda t: room.matte[t])
    errors = camera_errors(room, helped.camera)
    assert not helped.verdict.failure
    assert errors.ate_of_depth < 1 and errors.rotation_deg < 0.3


@pytest.mark.slow
def test_a_focal_length_is_found_or_said_to_be_unknown(filmed) -> None:
    room = filmed("orbit")
    solved = solve_camera(room.clip, lens=room.camera.intrinsics * [1.3, 1.3, 1, 1], focal="shared")
    if solved.verdict.focal_known:
        assert camera_errors(room, solved.camera).focal < 4
        assert 0 < solved.verdict.focal_doubt <= 0.02
    else:
        np.testing.assert_allclose(solved.camera.intrinsics[:, 0], 1.3 * room.camera.intrinsics[:, 0])
        assert any("cannot be seen" in line for line in solved.verdict.lines())


def test_frames_that_show_nothing_are_named(filmed) -> None:
    clip = filmed("handheld").clip
    frames = clip.frames.copy()
    frames[7:] = 16
    verdict = solve_camera(replace(clip, frames=frames)).verdict
    assert "5 of 12 frames, the first of them frame 8, show too few points" in verdict.failure
    assert verdict.lost == (7, 8, 9, 10, 11)


def test_a_clip_of_nothing_but_grey_fails_in_words(filmed) -> None:
    clip = filmed("handheld").clip
    verdict = solve_camera(replace(clip, frames=np.full_like(clip.frames, 90))).verdict
    assert "show too few points" in verdict.failure and verdict.points == 0
    assert verdict.lines()[0] == "No point could be followed."


def test_a_matte_of_another_size_is_refused_and_cancel_is_heard(filmed) -> None:
    from ex4d.progress import CancelToken

    clip = filmed("handheld").clip
    with pytest.raises(ShapeError, match=r"matte of frame 1 is \(5, 5\).*\(192, 256\)"):
        solve_camera(clip, matte=lambda t: np.zeros((5, 5), np.bool_))
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        solve_camera(clip, cancel=token)
