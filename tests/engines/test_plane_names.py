"""Planes of a place have names by which people tell them apart, and each wall is one; what was kept of them holds."""

from __future__ import annotations

import numpy as np
import pytest

from ex4d.fill import surfaces
from ex4d.fill.names import added_names, named
from ex4d.fill.planes import Plane, Samples
from ex4d.fill.plate import Plate
from ex4d.fill.world import World, build_world
from ex4d_ground.errors import SettingError
from ex4d_ground.planes import equation, read

SIZE = 128
LENS = np.array([100.0, 100.0, 64.0, 64.0])
DOWN = np.array([0.0, 1.0, 0.0])
FLOOR, WALL = (0.0, 1.0, 0.0, 1.5), (0.0, 0.0, 1.0, 6.0)
Equation = tuple[float, float, float, float]


@pytest.fixture(autouse=True)
def small_textures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surfaces, "TEXELS", 64)


def slope(plane: Equation) -> np.ndarray:
    normal = np.array(plane[:3]) / np.linalg.norm(plane[:3])
    return normal / plane[3]


def room(*walls: Equation) -> np.ndarray:  # [H, W]
    """1 / z of a room inside planes: the nearest of them is seen."""
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5 - 64) / 100
    return np.max([slope(w) @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1) for w in walls], axis=0).reshape(
        SIZE, -1
    )


def beside(left: Equation, right: Equation) -> np.ndarray:
    """A floor, and two planes each in a half of the picture."""
    parts = room(FLOOR, left), room(FLOOR, right)
    return np.where(np.arange(SIZE) < SIZE // 2, *parts)


def place(inverse: np.ndarray, planes: str = "") -> World:
    colour = np.random.default_rng(0).integers(60, 190, (SIZE, SIZE, 3)).astype(np.uint8)
    return build_world(Plate(colour, inverse.astype(np.float32), LENS), edits=read(planes))


def names_of(inverse: np.ndarray) -> list[str]:
    return sorted(plane.name for plane in place(inverse).planes)


def test_one_of_each_kind_has_the_plain_name() -> None:
    assert names_of(room(FLOOR, WALL, (-1, 0, 0.1, 2.5), (0, -1, 0, 1.8))) == [
        "back wall", "ceiling", "floor", "left wall"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("planes", "expected"),
    [
        ([(-0.6, 0, 1, 5), (0.6, 0, 1, 5)], ["floor", "left back wall", "right back wall"]),
        ([(0, 0.5, 1, 5), (0, -0.5, 1, 5)], ["floor", "lower back wall", "upper back wall"]),
        (
            [(0.7, 0, 0.75, 6), (-0.7, 0, 0.75, 6), (0, 0, 1, 7)],
            ["floor", "left back wall", "middle back wall", "right back wall"],
        ),
    ],
)
def test_several_of_one_kind_are_told_by_where_they_are(planes: list[Equation], expected: list[str]) -> None:
    assert names_of(room(FLOOR, *planes)) == expected


def samples_of(*planes: Equation) -> Samples:
    """Each plane seen in a strip of its own, from left to right; of floors below the horizon, of ceilings above it."""
    strips = np.array_split(np.arange(SIZE), len(planes))
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5 - 64) / 100
    rays, values = [], []
    for columns, plane in zip(strips, planes, strict=True):
        each = np.stack([x[:, columns], y[:, columns], np.ones_like(x[:, columns])], axis=-1).reshape(-1, 3)
        there = each @ slope(plane)
        rays.append(each[there > 0.02])
        values.append(there[there > 0.02])
    return Samples(np.concatenate(rays), np.concatenate(values), (SIZE, SIZE))


def named_in(*planes: Equation) -> list[Plane]:
    return named([Plane(slope(p), 0.2, 0.008) for p in planes], samples_of(*planes), DOWN)


def test_floors_at_other_heights_are_told_by_their_heights_and_many_walls_are_numbered_between() -> None:
    steps = named_in(FLOOR, (0, 1, 0, 1.0))
    assert [plane.name for plane in steps] == ["lower floor", "upper floor"]
    alcove = named_in((-1, 0, 0, 1.0), (-1, 0, 0.05, 2.0), WALL)
    assert [plane.name for plane in alcove] == ["near left wall", "far left wall", "back wall"]
    turned = [(np.sin(a), 0.0, np.cos(a), 4.0) for a in np.radians([-42, -21, 0, 21, 42])]
    assert [plane.name for plane in named_in(*turned)] == [
        "left back wall", "middle back wall", "middle back wall 2", "middle back wall 3", "right back wall"
    ]  # fmt: skip


def test_the_same_wall_found_twice_is_one_plane_made_of_both() -> None:
    once, twice = (0, 0, 1, 6.0), (0.05, 0, 1, 6.2)
    [wall] = named_in(once, twice)
    assert wall.name == "back wall" and wall.distance == pytest.approx(6) and wall.share == pytest.approx(0.4)
    x, y = (np.arange(SIZE) + 0.5 - 64)[None] / 100, (np.arange(SIZE) + 0.5 - 64)[:, None] / 100
    for plane in (once, twice):
        seen = (slope(plane)[0] * x + slope(plane)[1] * y + slope(plane)[2]).astype(np.float32)
        assert wall.shown(seen, x, y).all(), "its texture is made of what shows either"
    assert len(named_in(once, (0.3, 0, 1, 6.2))) == len(named_in(once, (0, 0, 1, 7.5))) == 2


def test_no_plane_gets_the_name_that_another_had() -> None:
    """Of old, the largest back wall had the plain name; here that is the right wall's other half."""
    right, same, other = (0.73, 0, 0.68, 5.0), (0.69, 0, 0.72, 5.0), (-0.5, 0, 1, 5.0)
    assert [plane.name for plane in named_in(right, same, other)] == ["right wall", "right back wall"]
    assert [plane.name for plane in named_in(right, other)] == ["right wall", "back wall"]


def test_planes_that_a_person_adds_have_names_of_their_own() -> None:
    planes = [Plane(slope(p), 0.1, 0.01) for p in (FLOOR, WALL, WALL)]
    assert [p.name for p in added_names(planes, DOWN)] == ["added floor", "added back wall", "added back wall 2"]


def test_what_was_kept_of_planes_means_the_same_ones_or_is_refused() -> None:
    whole, part = (0, 0, 1, 6.0), (0.02, 0, 1, 6.4)
    inverse = beside(whole, part)
    found = place(inverse)
    assert sorted(plane.name for plane in found.planes) == ["back wall", "floor"]
    [wall] = [plane for plane in found.planes if plane.name == "back wall"]
    [smaller] = wall.parts
    kept = equation(smaller.normal, smaller.distance)
    with pytest.raises(SettingError, match=r"no plane of its own any more: it is the same wall as back wall \(-?0"):
        place(inverse, f"remove {kept}")
    with pytest.raises(SettingError, match="'remove back wall 2', but the place has no such plane; it has"):
        place(inverse, "remove back wall 2")
    by_equation = f"remove {equation(wall.normal, wall.distance)}"
    for planes in ("remove back wall", by_equation, "remove 0 0 1 6.15"):  # the last is near both
        assert [plane.name for plane in place(inverse, planes).planes] == ["floor"]
