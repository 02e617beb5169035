"""Planes of the place in Blender: found with the guides, changed by the artist, kept, undone, and named by the take."""

from __future__ import annotations

import json

import numpy as np
import pytest
from live_parts import prepare

from ex4d_ground.planes import PlaneInfo

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def filmed(blender, address, small_clip, tmp_path):
    return prepare(blender, address, small_clip, tmp_path)


@pytest.fixture
def shot(filmed):
    """With the planes that the backend found."""
    assert filmed.ops.ex4d.render_guides() == {"FINISHED"}
    return filmed.context.scene.ex4d.shot


def on_plane(filmed) -> float:
    from blender_addon.guides import coverage

    assert filmed.ops.ex4d.render_guides() == {"FINISHED"}
    return float(coverage.current_on_plane(filmed.context.scene.ex4d.shot).mean())


def test_planes_come_with_the_guides_and_the_list_says_nothing_until_it_is_changed(filmed, shot):
    from blender_addon.guides import planes

    assert len(shot.ex4d.planes) > 0 and planes.text(shot) == ""
    for item in shot.ex4d.planes:
        assert item.use and not item.added and item.share > 0.02 and item.reach > 0
        assert np.dot(item.normal, item.centre) == pytest.approx(item.distance, rel=1e-2)
        assert any(kind in item.name for kind in ("floor", "wall", "ceiling"))


def test_a_plane_without_its_tick_takes_no_part_and_comes_back(filmed, shot):
    from blender_addon.guides import planes

    before, names = on_plane(filmed), [item.name for item in shot.ex4d.planes]
    for item in shot.ex4d.planes:
        item.use = False
    assert planes.text(shot).count("remove") == len(names)
    assert on_plane(filmed) == 0 < before
    assert [item.name for item in shot.ex4d.planes] == names, "those that are off stay in the list"
    for item in shot.ex4d.planes:
        item.use = True
    assert planes.text(shot) == "" and on_plane(filmed) == before


def test_a_list_with_the_names_of_an_earlier_version_goes_on_with_its_planes(filmed, shot):
    from blender_addon.guides import planes

    found = [(item.name, tuple(item.normal)) for item in shot.ex4d.planes]
    for number, item in enumerate(shot.ex4d.planes, start=2):
        item.name = f"back wall {number}"
    shot.ex4d.planes[0].use = False
    changed = planes.text(shot)
    on_plane(filmed)
    assert shot.ex4d.planes[0].name == "back wall 2" and planes.text(shot) == changed, "the same one is off"
    assert [(item.name, tuple(item.normal)) for item in shot.ex4d.planes][1:] == found[1:]
    shot.ex4d.planes[0].use = True
    on_plane(filmed)
    assert sorted((item.name, tuple(item.normal)) for item in shot.ex4d.planes) == sorted(found)


def select(shot, chosen) -> None:
    from blender_addon.edit import paint

    paint.select_vertices(shot.ex4d.mesh.data, chosen)


def test_the_plane_of_the_selected_vertices_is_added_and_taken_away(filmed, shot):
    from blender_addon.guides import planes
    from blender_addon.scene import mesh

    body, depsgraph = shot.ex4d.mesh, filmed.context.evaluated_depsgraph_get()
    places = mesh.evaluated_positions(body, depsgraph).astype(np.float64)
    largest = shot.ex4d.planes[0]
    on = np.abs(places @ np.array(largest.normal) / largest.distance - 1) < 0.02
    select(shot, on)
    filmed.context.view_layer.objects.active = body
    filmed.ops.object.mode_set(mode="EDIT")
    assert filmed.ops.ex4d.add_plane() == {"FINISHED"}
    assert filmed.context.mode == "EDIT_MESH"
    filmed.ops.object.mode_set(mode="OBJECT")
    item = shot.ex4d.planes[-1]
    assert item.added and shot.ex4d.active_plane == len(shot.ex4d.planes) - 1
    misses = places[on] @ np.array(item.normal) - item.distance
    least = np.linalg.svd(places[on] - places[on].mean(axis=0), compute_uv=False)[2] / np.sqrt(on.sum())
    assert np.sqrt((misses**2).mean()) == pytest.approx(least, rel=1e-2, abs=1e-4)
    assert planes.text(shot).startswith("add ")
    filmed.ops.ex4d.render_guides()
    [named] = [each for each in shot.ex4d.planes if each.added]
    assert named.name != planes.ADDED and named.share > 0.01, "the backend has named it"
    shot.ex4d.active_plane = [each.added for each in shot.ex4d.planes].index(True)
    assert filmed.ops.ex4d.remove_plane() == {"FINISHED"}
    assert planes.text(shot) == ""


def test_a_selection_that_makes_no_plane_is_refused(filmed, shot):
    select(shot, np.arange(len(shot.ex4d.mesh.data.vertices)) < 2)
    with pytest.raises(RuntimeError, match="The 2 selected vertices make no plane; select three or more"):
        filmed.ops.ex4d.add_plane()
    assert not any(item.added for item in shot.ex4d.planes)


def test_the_take_says_which_planes_it_used_and_brings_them_back(filmed, shot):
    from blender_addon.guides import planes
    from blender_addon.takes import listing

    shot.ex4d.planes[0].texture = "SMOOTH"
    asked = planes.text(shot)
    assert asked.startswith("smooth ")
    assert filmed.ops.ex4d.generate(engine="preview") == {"FINISHED"}
    info = listing.read_info(listing.folder_of(filmed.context.scene.ex4d.takes[-1]))
    assert info.settings["planes"] == asked
    assert all(item.name in info.used["planes"] for item in shot.ex4d.planes)
    for item in shot.ex4d.planes:
        item.use, item.texture = False, "CLIP"
    filmed.context.scene.ex4d.active_take = len(filmed.context.scene.ex4d.takes) - 1
    assert filmed.ops.ex4d.restore_take(camera="KEEP") == {"FINISHED"}
    assert planes.text(shot) == asked
    shot.ex4d.planes.clear()
    assert filmed.ops.ex4d.generate(engine="preview") == {"FINISHED"}
    info = listing.read_info(listing.folder_of(filmed.context.scene.ex4d.takes[-1]))
    assert info.settings["planes"] == ""


def test_changed_planes_are_undone_and_saved(filmed, shot, tmp_path):
    from blender_addon.guides import planes

    name = shot.name

    def asked() -> str:
        return planes.text(filmed.data.objects[name])

    select(shot, np.arange(len(shot.ex4d.mesh.data.vertices)) % 7 == 0)
    filmed.ops.ed.undo_push(message="found")
    shot.ex4d.planes[0].texture = "SMOOTH"
    filmed.ops.ed.undo_push(message="smooth")
    smooth = asked()
    assert filmed.ops.ex4d.add_plane("EXEC_DEFAULT", True) == {"FINISHED"}
    both = asked()
    assert both.startswith(smooth) and "add " in both
    filmed.ops.ed.undo()
    assert asked() == smooth != ""
    filmed.ops.ed.undo()
    assert asked() == ""
    filmed.ops.ed.redo()
    filmed.ops.ed.redo()
    assert asked() == both
    filmed.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
    filmed.ops.wm.open_mainfile(filepath=str(tmp_path / "kept.blend"))
    assert asked() == both


def test_a_plane_of_none_is_said_in_the_panel_and_nothing_is_lost(filmed, shot):
    item = shot.ex4d.planes.add()
    item.name, item.normal, item.distance, item.use = "gone", (0.0, -1.0, 0.0), 50.0, False
    with pytest.raises(RuntimeError, match=r"the place has no such plane; it has"):
        filmed.ops.ex4d.render_guides()
    assert [each.name for each in shot.ex4d.planes][-1] == "gone"


def wall(name: str, distance: float) -> PlaneInfo:
    """One of a back wall that steps back by less than two solves may differ."""
    return PlaneInfo(name=name, normal=(0.0, 0.0, 1.0), distance=distance, share=0.3)


LEFT, RIGHT = wall("left back wall", 4.0), wall("right back wall", 4.4)


@pytest.fixture
def bare(blender):
    """A shot of whose place nothing is known."""
    return blender.data.objects.new("shot", None)


@pytest.mark.parametrize("found", [(LEFT, RIGHT), (RIGHT, LEFT)], ids=["the nearer first", "the farther first"])
def test_a_plane_that_is_off_stays_off_beside_one_that_is_nearly_the_same(bare, found):
    from blender_addon.guides import planes

    planes.take(bare, found)
    off = next(item for item in bare.ex4d.planes if item.name == "right back wall")
    off.use = False
    asked = planes.text(bare)
    planes.take(bare, [LEFT])  # the backend names no plane that was removed
    assert planes.text(bare) == asked == "remove 0 0 1 4.4"
    assert [(item.name, item.use) for item in bare.ex4d.planes] == [(p.name, p is LEFT) for p in found]


def test_a_take_of_one_of_two_planes_nearly_the_same_brings_back_that_one(bare):
    from blender_addon.guides import planes

    planes.take(bare, [LEFT, RIGHT])
    planes.restore(bare, "remove 0 0 1 4.4")
    assert [(item.name, item.use) for item in bare.ex4d.planes] == [
        ("left back wall", True),
        ("right back wall", False),
    ]
    planes.restore(bare, "remove 0 0 1 4.1; smooth 0 0 1 4.35")
    assert planes.text(bare) == "remove 0 0 1 4; smooth 0 0 1 4.4"


def test_the_panel_has_a_list_and_says_how_to_add(filmed, shot):
    from drawn_panels import draw_all

    found = draw_all(filmed.context)
    assert "Planes" in found, json.dumps(sorted(found))
    assert "Edit Mode" in found["Planes"].words and shot.ex4d.planes[0].name in found["Planes"].words
    assert "texture" in found["Planes"].props
    assert {"ex4d.add_plane", "ex4d.remove_plane"} <= set(found["Planes"].operators())


def test_a_grid_lies_in_its_plane():
    from blender_addon.guides import planes_overlay

    lines = planes_overlay.grid((0.0, 0.6, 0.8), (1.0, 2.0, 3.0), 2.0)
    assert lines.shape == (4 * (planes_overlay.CELLS + 1), 3)
    np.testing.assert_allclose((lines - [1, 2, 3]) @ [0.0, 0.6, 0.8], 0, atol=1e-5)
    assert np.abs(np.linalg.norm(lines - [1, 2, 3], axis=1)).max() == pytest.approx(2 * np.sqrt(2), rel=1e-5)
    assert np.linalg.norm(lines[0::2] - lines[1::2], axis=1) == pytest.approx(4.0)
