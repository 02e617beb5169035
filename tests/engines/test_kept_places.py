"""A clip's place is kept on disk: found again by what it is made of, made anew where its file is no good."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from ex4d import Clip
from ex4d.fill import kept
from ex4d.fill.plate import Plate
from ex4d.fill.world import World
from ex4d.progress import CancelToken
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.files import forget_unused
from ex4d_ground.planes import PlaneEdit

SIZE = 96
LENS = Intrinsics.from_fov(SIZE, SIZE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EX4D_PLACES", str(tmp_path / "places"))
    return tmp_path / "places"


def room(colour: int = 90) -> Clip:
    """A floor and a wall with grain, seen by a camera that stands still."""
    y = (np.arange(SIZE) + 0.5 - LENS.cy) / LENS.fy
    depth = np.minimum(np.where(y > 0, 1.5 / np.maximum(y, 1e-6), np.inf), 9.0)
    grain = np.random.default_rng(0).integers(0, 60, (SIZE, SIZE, 3))
    frames = np.repeat((colour + grain)[None], 3, axis=0).astype(np.uint8)
    return Clip(frames, np.broadcast_to(depth[:, None], (3, SIZE, SIZE)).astype(np.float32).copy(), LENS)


def found(clip: Clip) -> World:
    """As another process finds it."""
    kept._last.clear()
    world = kept.world_of(clip)
    assert world is not None
    return world


def require_same(one: World, other: World) -> None:
    for each in fields(World):
        a, b = getattr(one, each.name), getattr(other, each.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert [type(plane.share) for plane in other.planes] == [float] * len(one.planes)
    for a, b in zip(one.planes, other.planes, strict=True):
        np.testing.assert_array_equal(a.slope, b.slope)
        assert replace(a, slope=b.slope) == b


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[World]:
    """The worlds that are made from now on, not found; small ones, each another, and made at once."""
    worlds: list[World] = []

    def make(plate: Plate, cancel: CancelToken | None, edits: tuple[PlaneEdit, ...]) -> World:
        chance = np.random.default_rng(len(worlds))
        texture = chance.integers(0, 255, (1, 32, 64, 4), np.uint8)
        worlds.append(World(chance.random((1, 16), np.float32), texture, chance.random((1, 32, 32)) < 0.5, ()))
        return worlds[-1]

    monkeypatch.setattr(kept, "build_world", make)
    return worlds


def test_another_process_finds_the_place_and_makes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = found(room())
    assert len(first.planes) > 0
    monkeypatch.setattr(kept, "build_world", None)
    require_same(first, found(room()))
    assert [path.suffix for path in folder.iterdir()] == [".npz"]


def test_what_another_place_is_made_of_finds_nothing(
    folder: Path, made: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = room()
    other_lens = replace(LENS, fx=LENS.fx * 1.01)
    nearer = np.array(clip.depth)
    nearer[1, 5, 5] *= 0.999
    for each in (clip, room(91), replace(clip, intrinsics=other_lens), replace(clip, depth=nearer)):
        found(each)
    assert len(made) == 4
    assert kept.world_of(clip) is not kept.world_of(replace(clip, intrinsics=other_lens)), "also what stays in memory"
    monkeypatch.setattr(kept, "source_stamp", lambda module: "of a later version")
    found(clip)
    assert len(made) == 5 and len(list(folder.iterdir())) == 5


@pytest.mark.parametrize("damage", ["cut off", "flipped", "empty", "another file"])
def test_a_damaged_file_is_made_anew(damage: str, folder: Path, made: list[World]) -> None:
    found(room())
    path = next(folder.iterdir())
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "cut off": whole[:middle],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "empty": b"",
            "another file": b"\x93NUMPY of nothing",
        }[damage]
    )
    assert found(room()) is made[1]
    require_same(made[1], found(room()))
    assert len(made) == 2 and path.stat().st_size == len(whole)


def test_those_used_longest_ago_go(folder: Path, made: list[World], monkeypatch: pytest.MonkeyPatch) -> None:
    found(room())
    oldest = next(folder.iterdir())
    (folder / ".half.1234.partial.npz").write_bytes(b"of a process that was killed")
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    found(room())  # used again
    found(room(91))
    assert oldest.exists()
    monkeypatch.setattr(kept, "MOST_BYTES", 2 * oldest.stat().st_size)
    found(room(92))
    left = list(folder.iterdir())
    assert len(left) == 2 and oldest not in left and not any("partial" in path.name for path in left)
    os.utime(left[0], (1, 1))
    forget_unused(folder.iterdir(), unused_s=3600)
    assert list(folder.iterdir()) == [left[1]]


def test_of_a_folder_that_can_only_be_read_places_are_used(
    folder: Path, made: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    found(room())

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(kept.os, "utime", refused)
    require_same(made[0], found(room()))
    assert len(made) == 1


@pytest.mark.parametrize("what", ["encrypted", "compressed otherwise", "a folder", "a pipe"])
def test_what_cannot_be_read_is_made_anew_and_waits_for_nobody(what: str, folder: Path, made: list[World]) -> None:
    found(room())
    path = next(folder.iterdir())
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"PK\x01\x02") + (8 if what == "encrypted" else 10)] ^= 1
    path.unlink()
    if what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(whole)
    assert found(room()) is made[1]


def test_a_folder_that_cannot_be_had_costs_only_time(folder: Path, made: list[World]) -> None:
    folder.write_bytes(b"no folder")
    assert [found(room()), found(room())] == made
