"""The parts of a clip's place are kept on disk: found again by what they are made of, made anew where a file is bad."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ex4d import Clip
from ex4d.fill import kept, parts, surfaces, world
from ex4d.fill.parts import Parts
from ex4d.fill.planes import Plane
from ex4d.fill.plate import clean_plate
from ex4d.fill.things import Things
from ex4d.fill.world import World, build_world
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.files import forget_unused
from ex4d_ground.planes import read

SIZE, FLOOR, WALL = 96, 1.5, 9.0
LENS = Intrinsics.from_fov(SIZE, SIZE)
ALL = Counter(clean_plate=1, find_planes=1, plane_surface=2, back_wall=1, things_of=1)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for places, whose textures are small."""
    monkeypatch.setenv("EX4D_PLACES", str(tmp_path / "places"))
    monkeypatch.setattr(surfaces, "TEXELS", 64)
    return tmp_path / "places"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each kind of part is made from now on, not found."""
    count: Counter[str] = Counter()

    def counted(make: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any) -> Any:
            count[make.__name__] += 1
            return make(*arguments)

        return counting

    of_world = ("find_planes", "plane_surface", "back_wall", "things_of")
    for module, name in ((kept, "clean_plate"), *((world, name) for name in of_world)):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    return count


def room(colour: int = 90) -> Clip:
    """A floor and a wall with grain, seen by a camera that stands still, and a post that the picture's edge cuts."""
    y = (np.arange(SIZE) + 0.5 - LENS.cy) / LENS.fy
    depth = np.minimum(np.where(y > 0, FLOOR / np.maximum(y, 1e-6), np.inf), WALL)
    grain = np.random.default_rng(0).integers(0, 60, (SIZE, SIZE, 3))
    frames = np.repeat((colour + grain)[None], 3, axis=0).astype(np.uint8)
    depths = np.broadcast_to(depth[:, None], (3, SIZE, SIZE)).astype(np.float32).copy()
    depths[:, 20:60, -9:] = 3.0
    return Clip(frames, depths, LENS)


def found(clip: Clip, planes: str = "") -> World:
    """As another process finds it."""
    kept._last.clear()
    place = kept.world_of(clip, planes=planes)
    assert place is not None
    return place


def require_same(one: World, other: World) -> None:
    pairs = [(getattr(one, each.name), getattr(other, each.name)) for each in fields(World)]
    pairs += [(getattr(one.things, each.name), getattr(other.things, each.name)) for each in fields(Things)]
    for a, b in pairs:
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert [type(plane.share) for plane in other.planes] == [float] * len(one.planes)
    for a, b in zip(one.planes, other.planes, strict=True):
        np.testing.assert_array_equal(a.slope, b.slope)
        rest = [each.name for each in fields(Plane) if each.name != "slope"]
        assert [getattr(a, name) for name in rest] == [getattr(b, name) for name in rest]


def anew(clip: Clip, planes: str) -> World:
    """The place without anything that is kept."""
    plate = clean_plate(clip)
    assert plate is not None
    return build_world(plate, edits=read(planes))


def test_another_process_finds_the_place_and_makes_nothing(folder: Path, made: Counter[str]) -> None:
    first = found(room())
    assert len(first.planes) == 2 and len(first.things.numbers) == 1 and made == ALL
    require_same(first, found(room()))
    assert made == ALL and {path.suffix for path in folder.iterdir()} == {".npz"}


@pytest.mark.parametrize(
    ("planes", "expected"),
    [
        ("smooth floor", {"plane_surface": 1}),
        ("remove floor", {"back_wall": 1, "things_of": 1}),
        (f"add 0 1 0 {1.003 * FLOOR}", {"plane_surface": 1}),  # which lies within and behind the floor that there is
        (f"remove back wall; add 0.1 0 1 {WALL}; smooth floor", {"plane_surface": 2, "back_wall": 1, "things_of": 1}),
    ],
)
def test_a_change_makes_only_what_it_touches_and_the_same_pictures(
    planes: str, expected: dict[str, int], made: Counter[str]
) -> None:
    found(room())
    made.clear()
    changed = found(room(), planes)
    assert made == expected
    require_same(anew(room(), planes), changed)
    lens, pose = np.array([20.0, 20.0, 32.0, 32.0]), np.eye(4)
    pose[:3, 3] = 0.4, -0.3, 1.0
    one, other = (w.paint(np.ones((64, 64), np.bool_), lens, pose) for w in (anew(room(), planes), changed))
    for each in fields(one):
        np.testing.assert_array_equal(getattr(one, each.name), getattr(other, each.name))
    made.clear()
    found(room())
    assert not made, "undone, it is all there"


def test_what_another_place_is_made_of_finds_nothing(
    folder: Path, made: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = room()
    other_lens = replace(LENS, fx=LENS.fx * 1.01)
    nearer = np.array(clip.depth)
    nearer[1, 5, 5] *= 0.999
    for count, each in enumerate(
        (clip, room(91), replace(clip, intrinsics=other_lens), replace(clip, depth=nearer)), start=1
    ):
        found(each)
        assert made == Counter({name: count * times for name, times in ALL.items()})
    assert kept.world_of(clip) is not kept.world_of(replace(clip, intrinsics=other_lens)), "also what stays in memory"
    monkeypatch.setattr(kept, "source_stamp", lambda module: "of a later version")
    found(clip)
    assert made["plane_surface"] == 10 and len(list(folder.iterdir())) == 30


@pytest.mark.parametrize("damage", ["cut off", "flipped", "empty", "another file", "another part"])
def test_damaged_files_are_made_anew(damage: str, folder: Path, made: Counter[str]) -> None:
    first = found(room())
    sizes = {}
    for path in folder.iterdir():
        whole = path.read_bytes()
        sizes[path], middle = len(whole), len(whole) // 2
        path.write_bytes(
            {
                "cut off": whole[:middle],
                "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
                "empty": b"",
                "another file": b"\x93NUMPY of nothing",
                "another part": b"",
            }[damage]
        )
        if damage == "another part":
            np.savez(path, numbers=np.zeros(16, np.float32))
    require_same(first, found(room()))
    assert made == ALL + ALL
    require_same(first, found(room()))
    assert made == ALL + ALL and {path: path.stat().st_size for path in folder.iterdir()} == sizes


def test_those_used_longest_ago_go(folder: Path, made: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found(room())
    oldest = set(folder.iterdir())
    (folder / ".half.1234.partial.npz").write_bytes(b"of a process that was killed")
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    found(room())  # used again
    found(room(91))
    assert all(path.exists() for path in oldest)
    monkeypatch.setattr(parts, "MOST_BYTES", 2 * sum(path.stat().st_size for path in oldest))
    found(room(92))
    left = set(folder.iterdir())
    assert len(left) == 2 * len(oldest) and not left & oldest and not any("partial" in path.name for path in left)
    unused = left.pop()
    os.utime(unused, (1, 1))
    forget_unused(folder.iterdir(), unused_s=3600)
    assert set(folder.iterdir()) == left


def test_of_a_folder_that_can_only_be_read_places_are_used(made: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = found(room())

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(parts.os, "utime", refused)
    require_same(first, found(room()))
    assert made == ALL


@pytest.mark.parametrize("what", ["encrypted", "compressed otherwise", "a folder", "a pipe"])
def test_what_cannot_be_read_is_made_anew_and_waits_for_nobody(what: str, folder: Path, made: Counter[str]) -> None:
    first = found(room())
    path = max(folder.iterdir(), key=lambda each: each.stat().st_size)
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"PK\x01\x02") + (8 if what == "encrypted" else 10)] ^= 1
    path.unlink()
    if what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(whole)
    require_same(first, found(room()))
    assert (made - ALL).total() == 1


def test_a_folder_that_cannot_be_had_costs_only_time(folder: Path, made: Counter[str]) -> None:
    folder.write_bytes(b"no folder")
    require_same(found(room()), found(room()))
    assert made == ALL + ALL


def test_parts_of_the_same_bytes_cut_elsewhere_are_others(folder: Path) -> None:
    store = Parts(folder, "clip")
    assert store._path(folder, ("ab", b"c")) != store._path(folder, ("a", b"bc"))
