"""Planes of a place that an artist removes, adds or smooths: told by name or equation, and never mixed with others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from engines.test_world_fill import BACK, BLUE, FLOOR, LENS, SIZE, request, room, seen

from ex4d import Clip
from ex4d.clip import with_source_camera
from ex4d.engines import cost, get_engine
from ex4d.fill import World, kept, surfaces, world, world_of
from ex4d_ground.errors import SettingError
from ex4d_ground.planes import PlaneEdit, read, written
from ex4d_ground.source_camera import SourceCamera

TEXELS = 256


@pytest.fixture(autouse=True, scope="module")
def small_textures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Textures of a sixteenth of the texels, in places of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EX4D_PLACES", str(tmp_path_factory.mktemp("places")))
        patch.setattr(surfaces, "TEXELS", TEXELS)
        kept._last.clear()
        yield
    kept._last.clear()


def changed(clip: Clip, planes: str = "") -> World:
    found = world_of(clip, planes=planes)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def clip() -> Clip:
    return room()


def names(place: World) -> list[str]:
    return [plane.name for plane in place.plane_infos]


def test_planes_have_names_and_equations_in_the_world(clip: Clip) -> None:
    floor, back = sorted(changed(clip).plane_infos, key=lambda plane: -plane.normal[1])
    assert (floor.name, back.name) == ("floor", "back wall")
    assert floor.normal == pytest.approx((0, 1, 0), abs=0.01) and floor.distance == pytest.approx(FLOOR, rel=0.02)
    assert back.normal == pytest.approx((0, 0, 1), abs=0.01) and back.distance == pytest.approx(BACK, rel=0.02)
    for plane in (floor, back):
        assert np.dot(plane.normal, plane.centre) == pytest.approx(plane.distance, rel=1e-3)
        assert plane.reach > 1 and 0.1 < plane.share < 0.8 and not plane.added


def test_a_plane_is_removed_by_its_name_or_by_what_is_near_its_equation(clip: Clip) -> None:
    by_name = changed(clip, "remove back wall")
    assert names(by_name) == ["floor"] and len(by_name.surfaces) == 2
    tilted, off = np.radians(8), 1.1 * BACK
    near = changed(clip, f"remove 0 {np.sin(tilted)} {np.cos(tilted)} {off}")
    np.testing.assert_array_equal(near.textures, by_name.textures)
    upside_down = changed(clip, f"remove 0 0 -2 {-2 * BACK}")
    assert names(upside_down) == ["floor"]
    far = np.radians(12)
    for wrong in (f"remove 0 {np.sin(far)} {np.cos(far)} {BACK}", f"remove 0 0 1 {1.2 * BACK}", "smooth ceiling"):
        with pytest.raises(SettingError, match=r"no such plane; it has .*floor \(.*back wall \(|back wall .*floor"):
            changed(clip, wrong)


def test_an_added_plane_is_painted_where_it_is(clip: Clip) -> None:
    place = changed(clip, f"remove back wall; add 0 0 2 {2 * BACK}")
    [added] = [plane for plane in place.plane_infos if plane.added]
    assert added.name == "added back wall", "the name of the one removed stays its own"
    assert added.distance == pytest.approx(BACK) and added.share > 0.2
    wanted = np.ones((1, 2), np.bool_)
    lens = np.array([1.0, 1.0, 1.0, 3.0])  # it looks upwards, above the floor
    painted = place.paint(wanted, lens, np.eye(4))
    assert painted.on_plane.all() and painted.inverse == pytest.approx(1 / BACK, rel=1e-3)
    assert np.abs(painted.colour - BLUE).max() < 40
    for wrong, why in (("add 0 1 0 0", "through the camera"), ("add 1 0 0 50", "0.0 % of the clip's picture")):
        with pytest.raises(SettingError, match=why):
            changed(clip, wrong)


def test_smooth_colours_have_no_stripes(clip: Clip) -> None:
    found, smooth = (changed(clip, planes) for planes in ("", "smooth back wall"))
    at = names(found).index("back wall")
    rough, even = (np.abs(np.diff(w.textures[at, :, :TEXELS, :3].astype(int), axis=1)).max() for w in (found, smooth))
    assert rough > 15 and even <= 6
    assert [plane.texture for plane in smooth.plane_infos if plane.name == "back wall"] == ["smooth"]
    other = names(found).index("floor")
    np.testing.assert_array_equal(found.textures[other], smooth.textures[other])


def test_in_a_steady_world_planes_are_told_in_that_world() -> None:
    """The picture that stands for the clip is one from nearer the wall than the world's origin."""
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[1:, 2, 3] = 0.4
    pictures, depths = zip(*(seen(pose) for pose in poses), strict=True)
    camera = SourceCamera.of(poses, np.tile([LENS.fx, LENS.fy, LENS.cx, LENS.cy], (3, 1)), size=(SIZE, SIZE))
    filmed = with_source_camera(Clip(np.stack(pictures), np.stack(depths), LENS), camera)
    [back] = [plane for plane in changed(filmed).plane_infos if plane.name == "back wall"]
    assert back.distance == pytest.approx(BACK, abs=0.08)
    assert back.centre[2] == pytest.approx(BACK, abs=0.08)
    assert names(changed(filmed, f"remove 0 0 1 {BACK}")) == ["floor"]
    added = changed(filmed, f"remove back wall; add 0 0 1 {BACK}").plane_infos[-1]
    assert added.distance == pytest.approx(BACK) and added.added


def test_places_with_other_planes_are_kept_apart(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EX4D_PLACES", str(tmp_path))
    kept._last.clear()
    found, bare = changed(clip), changed(clip, "remove floor")
    assert names(found) != names(bare)
    kept._last.clear()
    for name in ("find_planes", "plane_surface", "back_wall"):
        monkeypatch.setattr(world, name, None)
    again = changed(clip, " remove floor;")  # the same, written otherwise
    assert again.plane_infos == bare.plane_infos
    assert changed(clip).plane_infos == found.plane_infos


def test_the_preview_fills_with_the_changed_planes(clip: Clip) -> None:
    found, bare, same = (
        get_engine("preview").generate(request(clip, planes=planes)) for planes in ("", "remove floor", " ")
    )
    np.testing.assert_array_equal(found[2], same[2])
    assert (found[2] != bare[2]).any()
    with pytest.raises(SettingError, match="no such plane"):
        get_engine("preview").generate(request(clip, planes="remove ceiling"))
    for fill in ("world", "nearest"):
        with pytest.raises(SettingError, match="'away' says nothing of planes"):
            get_engine("preview").generate(request(clip, planes="away", fill=fill))
        with pytest.raises(SettingError, match="'away' says nothing of planes"):
            cost("preview", frames=3, width=SIZE, height=SIZE, settings={"planes": "away", "fill": fill})


def test_a_change_of_planes_that_no_fill_shows_is_told(clip: Clip) -> None:
    def told(**settings: object) -> list[str]:
        said: list[str] = []
        get_engine("preview").generate(
            request(clip, **settings), on_progress=lambda step: said.append(step.message) if step.message else None
        )
        return said

    assert told(fill="background", planes="remove floor") == [
        "planes says 'remove floor', but fill is 'background', which shows no planes: nothing is changed by it; fill "
        "'world' shows them."
    ]
    assert told(fill="background", planes=" ; ") == told(fill="world", planes="remove floor") == []


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "remove",
        "add floor",
        "add 1 2 3",
        "add 0 0 0 1",
        "add 0 nan 0 1",
        "floor remove",
        "add inf 0 0 1",
        "add 1.7e308 1.7e308 0 1",
        "add 0 1 0 nan",
    ],
)
def test_what_is_no_statement_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(SettingError, match=r"remove PLANE|such as"):
        read(text)


def test_statements_come_back_as_they_were_written() -> None:
    text = "remove back wall; smooth 0 1 0 1.25; add 0 0.6 0.8 3 smooth"
    edits = read(text)
    assert written(edits) == text and read(written(edits)) == edits
    assert written(()) == "" and read("  ; ") == ()
    assert read("add 0 3 4 15")[0] == PlaneEdit(what="add", normal=(0, 0.6, 0.8), distance=3)
    with pytest.raises(SettingError, match="64 statements at most, got 65"):
        read("remove floor;" * 65)
