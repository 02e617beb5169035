"""What Repair Depth and Behind Objects offer in each state."""

from __future__ import annotations

import pytest
from drawn_panels import Drawn, draw_all
from test_addon_layers import current, edit


def draw(blender, panel: str = "Repair Depth") -> Drawn:
    return draw_all(blender.context)[panel]


def shown(drawn: Drawn) -> list[str]:
    return [text for _, text, _ in drawn.layout.drawn]


def test_without_a_shot_they_are_not_there(blender):
    assert not {"Repair Depth", "Behind Objects"} & set(draw_all(blender.context))


def test_an_unedited_shot_can_be_edited(blender, shot):
    assert shown(draw(blender)) == ["ex4d.edit_frame"] * 2, "with brushes, or with a selection"


def test_an_open_edit_can_be_finished_or_discarded_and_offers_its_helpers(blender, shot):
    blender.context.scene.frame_set(2)
    blender.ops.ex4d.edit_frame(tools="EDIT")
    blender.context.scene.frame_set(4)
    found = shown(draw(blender))
    assert found[:4] == ["Editing Frame 2", "The timeline is at frame 4.", "ex4d.finish_edit", "ex4d.discard_edit"]
    assert {"ex4d.smooth_depth", "ex4d.flatten_depth", "ex4d.push_edge"} <= set(found)
    assert "ex4d.edit_frame" not in found


def test_a_frame_is_sculpted_with_brushes_that_change_depth_alone(blender, shot):
    """Real brushes, by Blender's own way of taking them up; the artist's locks come back afterwards."""
    body = current(blender)
    blender.ops.ex4d.edit_frame()
    sculpt = blender.context.scene.tool_settings.sculpt
    assert blender.context.mode == "SCULPT" and (sculpt.lock_x, sculpt.lock_y, sculpt.lock_z) == (True, True, False)
    drawn = draw(blender)
    kinds = [given["kind"] for name, given in drawn.layout.buttons if name == "ex4d.depth_brush"]
    assert kinds == ["PULL", "SMOOTH", "FLATTEN"] and "ex4d.smooth_depth" not in drawn.operators()
    for kind in kinds:
        assert blender.ops.ex4d.depth_brush(kind=kind) == {"FINISHED"}
        assert sculpt.brush.name == f"EX-4D {kind.title()} Depth" and sculpt.brush.asset_data is not None
    count = len(blender.data.brushes)
    blender.ops.ex4d.depth_brush(kind="PULL")
    assert len(blender.data.brushes) == count, "a brush is made once"
    blender.ops.ex4d.discard_edit()
    assert blender.context.mode == "OBJECT" and not (sculpt.lock_x or sculpt.lock_y) and not body.ex4d_edit.locks_json
    with pytest.raises(RuntimeError, match="work in Sculpt Mode"):
        blender.ops.ex4d.depth_brush(kind="PULL")


def test_locks_that_the_artist_had_are_kept(blender, shot):
    blender.ops.ex4d.edit_frame()
    sculpt = blender.context.scene.tool_settings.sculpt
    blender.ops.ex4d.discard_edit()
    sculpt.lock_x, sculpt.lock_z = True, True
    blender.ops.ex4d.edit_frame()
    blender.ops.ex4d.finish_edit()
    assert (sculpt.lock_x, sculpt.lock_y, sculpt.lock_z) == (True, False, True)


@pytest.mark.parametrize("mode", ["OFFSET", "RAY"])
def test_layers_are_listed_with_name_weight_and_mute(blender, shot, mode):
    current(blender).modifiers.new("Mine", "SMOOTH")
    edit(blender, 3, mode=mode)
    drawn = draw(blender)
    assert shown(drawn).count("name") == 1, "only layers are listed"
    for wanted in ("ex4d.mute_layer", "ex4d.move_layer", "ex4d.remove_layer"):
        assert wanted in shown(drawn)
    texts = {leaf.text for leaf in drawn.leaves}
    assert {"Weight", "First", "Last", "Falloff"} <= texts


def test_an_older_blender_is_told_so(blender, shot, monkeypatch):
    from blender_addon.scene import layer_nodes as layers_nodes

    monkeypatch.setattr(layers_nodes, "NEEDED", (99, 1, 0))
    assert shown(draw(blender)) == ["Edits need Blender 99.1."]


def test_other_objects_are_given_a_role_and_the_shots_own_are_not(blender, shot):
    scene, active = blender.context.scene, blender.context.view_layer.objects
    cube = blender.data.objects.new("Cube", blender.data.meshes.new("Cube"))
    scene.collection.objects.link(cube)
    active.active = shot.ex4d.mesh
    assert "Select an object" in draw(blender, "Guide Objects").words
    active.active = cube
    found = draw(blender, "Guide Objects")
    assert "Cube" in found.words and found.props == ["role"]
    cube.ex4d.role = "GUIDE"
    assert "1 in the guides" in draw(blender, "Guide Objects").words


def test_thickness_is_offered_where_it_counts(blender, shot):
    assert "Painted Thickness" not in draw_all(blender.context), "endless occluders have none"
    assert draw(blender, "Behind Objects").props == ["occluders"]
    shot.ex4d.occluders = "SOLID"
    assert draw(blender, "Behind Objects").props == ["occluders", "thickness_by", "other_frames"]
    assert "ex4d.set_thickness" not in draw(blender, "Painted Thickness").operators(), "nothing can be selected here"
    blender.context.view_layer.objects.active = shot.ex4d.mesh
    blender.ops.object.mode_set(mode="EDIT")
    assert {"ex4d.set_thickness", "ex4d.clear_thickness"} <= set(draw(blender, "Painted Thickness").operators())
    blender.ops.object.mode_set(mode="OBJECT")
    blender.ops.ex4d.paint_thickness()
    assert draw(blender, "Painted Thickness").operators() == ["ex4d.finish_painting", "ex4d.discard_painting"]
    shot.ex4d.occluders = "ENDLESS"
    assert "ex4d.finish_painting" in draw(blender, "Painted Thickness").operators(), "what is open can be ended"
