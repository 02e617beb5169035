"""Textures that repeat: tiles and bricks go on as such where they are not seen; what only seems to repeat does not."""

from __future__ import annotations

import numpy as np
import pytest

from ex4d.fill.lattice import aligned, pattern_of
from ex4d.fill.texture import completed

SIZE = 384
HALF = slice(0, SIZE // 2)


def bricks(across: float, along: float, *, turned: float = 0.0) -> np.ndarray:  # [T, T, 3]
    """Courses of bricks, each half a brick beside the one above, with grain; joints are dark."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    x, y = np.cos(turned) * x + np.sin(turned) * y, np.cos(turned) * y - np.sin(turned) * x
    row = np.floor(y / along)
    u, v = (x / across + 0.5 * (row % 2)) % 1 * across, y % along
    joints = np.minimum(np.minimum(u, across - u), np.minimum(v, along - v)) < 2
    grain = np.random.default_rng(3).normal(0, 6, (SIZE, SIZE))
    return np.repeat((150 + grain - 60 * joints).clip(0, 255)[..., None], 3, axis=2).astype(np.uint8)


def seen_above() -> np.ndarray:
    known = np.zeros((SIZE, SIZE), np.bool_)
    known[HALF] = True
    return known


def error_below(picture: np.ndarray, made: np.ndarray) -> float:
    """Mean difference in what was not seen, of the part next to it."""
    part = slice(SIZE // 2 + 4, SIZE - 40)
    return float(np.abs(made[part, 20:-20].astype(float) - picture[part, 20:-20]).mean())


@pytest.mark.parametrize(("across", "along", "turned"), [(44.0, 44.0, 0.0), (36.5, 18.3, 0.0), (40.0, 30.0, 0.4)])
def test_bricks_go_on_in_their_courses(across: float, along: float, turned: float) -> None:
    picture, known = bricks(across, along, turned=turned), seen_above()
    pattern = pattern_of(picture.astype(np.float32) - 150, known)
    assert pattern is not None
    back = np.array([[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]])
    cells = pattern.vectors @ back / [across / 2, along]
    np.testing.assert_allclose(cells, np.round(cells), atol=0.05)
    assert (np.round(cells).sum(axis=1) % 2 == 0).all(), "whole bricks, or half a one and a course"
    made, _ = completed(picture, known)
    without, _ = completed(np.where(known[..., None], picture, 0).astype(np.uint8), known, detail=False)
    assert error_below(picture, made) < 0.75 * error_below(picture, without)
    np.testing.assert_array_equal(made[: SIZE // 2 - 4], picture[: SIZE // 2 - 4])


def test_a_shadow_on_tiles_does_not_go_on_with_them() -> None:
    plain, known = bricks(40.0, 40.0), seen_above()
    shaded = plain.copy()
    shaded[100:140, 120:200] = shaded[100:140, 120:200] * 0.4
    made, clean = (completed(picture, known)[0] for picture in (shaded, plain))
    there = np.abs(shaded.astype(float) - plain)[100:140, 120:200].mean()
    below = np.abs(made - clean)[SIZE // 2 + 30 : SIZE - 40, 20:-20]
    assert np.quantile(below, 0.99) < 0.25 * there, "neither mirrored nor repeated"


def test_what_does_not_repeat_is_no_pattern() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 20, (SIZE, SIZE, 3)).astype(np.float32)
    cells = rng.integers(0, 60, (SIZE // 12, SIZE // 12)).repeat(12, axis=0).repeat(12, axis=1)
    for detail in (noise, np.zeros_like(noise), np.dstack([cells] * 3).astype(np.float32) - 30):
        assert pattern_of(detail, seen_above()) is None
    few = np.zeros((SIZE, SIZE), np.bool_)
    few[:40, :60] = True
    tiles = bricks(20.0, 20.0).astype(np.float32) - 150
    assert pattern_of(tiles, seen_above()) is not None and pattern_of(tiles, few) is None
    assert pattern_of(tiles, np.zeros_like(few)) is None


def test_a_texture_takes_other_detail_from_whole_cells_away() -> None:
    known = seen_above()
    vectors = np.array([[30.0, 0.0], [0.0, 20.0]])
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.int32)
    wanted = np.dstack([SIZE - 1 - rows, columns])  # mirrored
    source = aligned(vectors, wanted, known)
    assert (source[known] == -1).all()
    there = source[..., 0] >= 0
    assert there[~known].all()
    away = np.dstack([rows, columns])[there] - source[there]
    np.testing.assert_array_equal(away % [20, 30], 0)
    assert known[source[there, 0], source[there, 1]].all()
    assert np.abs(source[there] - wanted[there])[:, 0].max() <= 20
