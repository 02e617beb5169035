"""Points that are looked for again from their first picture."""

import cv2
import numpy as np

from ex4d.solve.bundle import Observations, Solution
from ex4d.solve.relink import looked_again
from ex4d.solve.tracks import Views
from ex4d_ground.arrays import Float64

WIDTH, HEIGHT, AWAY, SHIFT = 160, 120, 2.0, 4
LENS = np.array([100.0, 100.0, WIDTH / 2, HEIGHT / 2])


def test_a_view_that_the_first_picture_does_not_confirm_is_left_out() -> None:
    chance = np.random.default_rng(0)
    wall = cv2.GaussianBlur(chance.integers(0, 256, (HEIGHT, WIDTH + SHIFT, 3)).astype(np.uint8), (0, 0), 1.5)
    frames = np.stack([wall[:, SHIFT:], wall[:, :WIDTH]])
    x, y = (c.ravel() for c in np.meshgrid(np.linspace(30, 125, 5), np.linspace(25, 95, 4)))
    first: Float64 = np.column_stack([x, y]).astype(np.float64)
    there: Float64 = first + np.array([SHIFT, 0.0])
    column, row = there[0].astype(int)
    frames[1, row - 14 : row + 15, column - 14 : column + 15] = chance.integers(0, 256, (29, 29, 3))  # something else
    count = len(first)
    number, zeros = np.arange(count), np.zeros(count, np.int64)
    depth = np.full(2 * count, AWAY)
    followed: Float64 = there + np.array([0.6, 0.0])  # as steps through smeared pictures err: all to one side
    places = np.concatenate([first, followed])
    seen = Observations(np.tile(number, 2), np.concatenate([zeros, zeros + 1]), places, depth)
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, 0, 3] = SHIFT * AWAY / LENS[0]
    points = np.column_stack([(first - LENS[2:]) / LENS[:2] * AWAY, depth[:count]])
    solution = Solution(poses, np.tile(LENS, (2, 1)), np.zeros(2), np.zeros(2), points)
    views = Views(frames, np.full((2, HEIGHT, WIDTH), AWAY, np.float32), 1e6)
    again = looked_again(solution, seen, views, np.ones(2 * count, np.bool_))
    second = again.frame == 1
    assert (again.frame == 0).sum() == count
    assert 0 not in again.point[second]
    assert second.sum() > count / 2
    assert np.median(np.abs(again.xy[second] - there[again.point[second]])) < 0.1
