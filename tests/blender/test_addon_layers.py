"""Edit layers in Blender, without a backend: what an edit shows on which frame, and that nothing is ever lost."""

from __future__ import annotations

import numpy as np
import pytest
from test_addon_operators import fails

MOVED = 40 + 50 * 128
"""A vertex of the wall's disc, well inside the picture."""


@pytest.fixture
def shown(blender, shot):
    """Positions of the shot's mesh at a scene frame, as the viewport has them."""
    from blender_addon.scene import mesh

    def at(frame: int) -> np.ndarray:
        blender.context.scene.frame_set(frame)
        return mesh.evaluated_positions(current(blender), blender.context.evaluated_depsgraph_get())

    return at


def current(blender):
    """The shot's mesh object; fetched again, since undo replaces Blender's data."""
    return blender.context.scene.ex4d.shot.ex4d.mesh


def move_base(body, offset, vertices=slice(MOVED, MOVED + 3)) -> None:
    from blender_addon.scene import mesh as scene_mesh

    positions = scene_mesh.positions(body.data)
    positions[vertices] += np.float32(offset)
    scene_mesh.set_positions(body.data, positions)


def scale_base(body, factor, vertices=slice(MOVED, MOVED + 3)) -> None:
    from blender_addon.scene import mesh as scene_mesh

    positions = scene_mesh.positions(body.data)
    positions[vertices] *= np.float32(factor)
    scene_mesh.set_positions(body.data, positions)


def edit(blender, frame, offset=(0, 0, -1), **options):
    """One edit from begin to finish; returns the layer."""
    from blender_addon.scene import layers

    blender.context.scene.frame_set(frame)
    assert blender.ops.ex4d.edit_frame(enter_edit_mode=False) == {"FINISHED"}
    move_base(current(blender), offset)
    assert blender.ops.ex4d.finish_edit(**options) == {"FINISHED"}
    return layers.stack(current(blender))[-1]


def weights(shown, small_clip, frames=range(1, 6), offset=-1.0) -> list[float]:
    """How much of a depth offset each frame has; other vertices must be the cache's to the bit."""
    out = []
    for frame in frames:
        difference = shown(frame) - small_clip.vertices(frame - 1)
        out.append(float(difference[MOVED, 2] / offset))
        difference[MOVED : MOVED + 3] = 0
        assert not difference.any()
    return out


def test_an_edit_shows_on_its_frames_with_its_falloff_and_nowhere_else(blender, shot, shown, small_clip):
    edit(blender, 3, falloff=1)
    assert weights(shown, small_clip) == pytest.approx([0, 0.5, 1, 0.5, 0], abs=1e-6)
    for frame in (1, 5):
        np.testing.assert_array_equal(shown(frame), small_clip.vertices(frame - 1))


def test_frames_before_and_after_get_the_whole_fix(blender, shot, shown, small_clip):
    edit(blender, 3, before=1, after=2)
    assert weights(shown, small_clip) == pytest.approx([0, 1, 1, 1, 1], abs=1e-6)


def test_every_frame(blender, shot, shown, small_clip):
    edit(blender, 2, every_frame=True)
    assert weights(shown, small_clip) == pytest.approx([1] * 5, abs=1e-6)


def test_an_edit_starts_from_what_is_shown_and_the_base_returns_to_what_it_was(blender, shot, shown, small_clip):
    from blender_addon.scene import mesh as scene_mesh

    base = scene_mesh.positions(shot.ex4d.mesh.data)
    edit(blender, 4)
    blender.ops.ex4d.edit_frame(enter_edit_mode=False)
    during = small_clip.vertices(3)
    during[MOVED : MOVED + 3, 2] -= 1
    for frame in (1, 4):
        np.testing.assert_array_equal(shown(frame), during)  # the edited geometry, whatever the timeline shows
    blender.ops.ex4d.finish_edit()
    assert [m.type for m in current(blender).modifiers] == ["MESH_CACHE", "NODES"], "nothing moved, no layer"
    np.testing.assert_array_equal(scene_mesh.positions(current(blender).data), base)
    np.testing.assert_array_equal(shown(4), during)


def test_along_the_ray_the_fix_scales_with_each_frames_depth_and_stays_on_its_pixel(blender, shot, shown, small_clip):
    blender.context.scene.frame_set(3)
    blender.ops.ex4d.edit_frame(enter_edit_mode=False)
    scale_base(current(blender), 0.5)
    blender.ops.ex4d.finish_edit(mode="RAY", after=2)
    for frame in (3, 4, 5):
        before, after = small_clip.vertices(frame - 1)[MOVED], shown(frame)[MOVED]
        np.testing.assert_allclose(after, before * 0.5, rtol=1e-6)
    np.testing.assert_array_equal(shown(2), small_clip.vertices(1))


def test_weight_can_be_keyed_and_survives_renaming_and_reordering(blender, shot, shown, small_clip):
    from blender_addon.scene import keyframes, layers

    layer = edit(blender, 1, every_frame=True)
    body = current(blender)
    for frame, weight in ((1, 0.0), (5, 1.0)):
        layers.set_input(layer, "Weight", weight)
        body.keyframe_insert(layers.object_path(layer, "Weight"), frame=frame)
    keyframes.set_interpolation(body, "LINEAR")
    ramp = [0, 0.25, 0.5, 0.75, 1]
    assert weights(shown, small_clip) == pytest.approx(ramp, abs=1e-5)
    layer.name = 'Disc "front"'
    edit(blender, 2, offset=(0, 0, -8), every_frame=True)
    blender.ops.ex4d.mute_layer()
    blender.ops.ex4d.move_layer(direction="UP")
    assert [m.name for m in layers.stack(body)] == ["Frame 2", 'Disc "front"']
    assert weights(shown, small_clip) == pytest.approx(ramp, abs=1e-5)


def test_layers_add_up_and_muting_or_removing_one_leaves_the_others(blender, shot, shown, small_clip):
    from blender_addon.scene import layers

    for frame, depth in ((1, -1), (1, -2), (1, -4)):
        edit(blender, frame, offset=(0, 0, depth), name=f"by {-depth}", every_frame=True)
    body = current(blender)
    assert [layer.name for layer in layers.stack(body)] == ["by 1", "by 2", "by 4"]
    assert weights(shown, small_clip, frames=[2]) == pytest.approx([7], rel=1e-5)
    blender.ops.ex4d.mute_layer(layer="by 2")
    assert weights(shown, small_clip, frames=[2]) == pytest.approx([5], rel=1e-5)
    body.keyframe_insert(layers.object_path(layers.find(body, "by 4"), "Weight"), frame=1)
    blender.ops.ex4d.remove_layer(layer="by 4")
    assert weights(shown, small_clip, frames=[2]) == pytest.approx([1], rel=1e-5)
    stored = [name for name in body.data.attributes.keys() if name.startswith(layers.ATTRIBUTE_PREFIX)]  # noqa: SIM118
    assert len(stored) == 2


def test_layers_stay_below_the_users_own_modifiers(blender, shot, shown):
    body = current(blender)
    body.modifiers.new("Mine", "SMOOTH")
    edit(blender, 1)
    edit(blender, 2)
    assert [m.name for m in body.modifiers][1:] == ["Frame 1", "Frame 2", "Mine"]


def test_an_edit_does_not_bake_the_users_modifiers_in(blender, shot, shown, small_clip):
    body = current(blender)
    mine = body.modifiers.new("Mine", "DISPLACE")
    mine.direction, mine.mid_level, mine.strength = "Z", 0.0, 3.0
    edit(blender, 3)
    after = shown(3)
    mine.show_viewport = False
    assert weights(shown, small_clip, frames=[3]) == pytest.approx([1], abs=1e-6)
    np.testing.assert_allclose(after[:, 2], shown(3)[:, 2] + 3, rtol=1e-5)


def test_discard_leaves_everything_as_it_was(blender, shot, shown, small_clip):
    from blender_addon.scene import mesh as scene_mesh

    body = current(blender)
    base, meshes = scene_mesh.positions(body.data), len(blender.data.meshes)
    blender.ops.ex4d.edit_frame(enter_edit_mode=False)
    move_base(body, (5, 5, 5))
    blender.ops.ex4d.discard_edit()
    assert len(blender.data.meshes) == meshes
    np.testing.assert_array_equal(scene_mesh.positions(body.data), base)
    np.testing.assert_array_equal(shown(3), small_clip.vertices(2))


def test_added_or_deleted_vertices_are_refused_and_discard_mends_them(blender, shot, shown, small_clip):
    blender.context.scene.frame_set(2)
    blender.ops.ex4d.edit_frame(tools="EDIT")
    assert blender.context.mode == "EDIT_MESH"
    blender.ops.mesh.select_all(action="SELECT")
    blender.ops.mesh.duplicate()
    count = len(small_clip.vertices(0))
    assert f"has {2 * count} vertices instead of {count}" in fails(blender.ops.ex4d.finish_edit)
    assert blender.context.mode == "EDIT_MESH", "the edit stays open"
    blender.ops.ex4d.discard_edit()
    assert blender.context.mode == "OBJECT"
    np.testing.assert_array_equal(shown(2), small_clip.vertices(1))


def test_reordered_vertices_are_refused(blender, shot):
    blender.ops.ex4d.edit_frame(tools="EDIT")
    blender.ops.mesh.select_all(action="SELECT")
    blender.ops.mesh.sort_elements(type="REVERSE", elements={"VERT"})
    assert "in another order" in fails(blender.ops.ex4d.finish_edit)


def test_edits_made_in_edit_mode_count(blender, shot, shown, small_clip):
    from blender_addon.scene import layers

    body = current(blender)
    blender.context.scene.frame_set(3)
    blender.ops.ex4d.edit_frame(tools="EDIT")
    blender.ops.mesh.select_all(action="SELECT")
    blender.ops.transform.translate(value=(0, 0, 2), orient_type="LOCAL")
    blender.ops.ex4d.finish_edit()
    assert blender.context.mode == "OBJECT"
    moved = shown(3) - small_clip.vertices(2)
    assert np.abs(moved).max() == pytest.approx(2, rel=1e-3)
    assert len(layers.stack(body)) == 1


def test_undo_and_redo_go_through_a_whole_edit(blender, shot, shown, small_clip):
    from blender_addon.edit import state as edit_state
    from blender_addon.scene import layers

    def push(message: str) -> None:  # in a window, Blender does so after every operator
        blender.ops.ed.undo_push(message=message)

    blender.context.scene.frame_set(3)
    push("start")
    blender.ops.ex4d.edit_frame(enter_edit_mode=False)
    push("edit")
    move_base(current(blender), (0, 0, -1))
    push("move")
    blender.ops.ex4d.finish_edit(falloff=1)
    push("finish")
    expected = [0, 0.5, 1, 0.5, 0]
    assert weights(shown, small_clip) == pytest.approx(expected, abs=1e-6)
    for step in ("move", "edit"):
        blender.ops.ed.undo()
        assert edit_state.is_editing(current(blender)), step
    blender.ops.ed.undo()
    assert not edit_state.is_editing(current(blender)) and not layers.stack(current(blender))
    assert weights(shown, small_clip) == [0] * 5
    for _ in range(3):
        blender.ops.ed.redo()
    assert weights(shown, small_clip) == pytest.approx(expected, abs=1e-6)


def test_undo_goes_through_edit_mode_and_a_discarded_edit_comes_back(blender, shot, shown, small_clip):
    from blender_addon.edit import state as edit_state
    from blender_addon.scene import mesh as scene_mesh

    def push(message: str) -> None:
        blender.ops.ed.undo_push(message=message)

    blender.context.scene.frame_set(2)
    push("start")
    blender.ops.ex4d.edit_frame(enter_edit_mode=False)
    push("edit")
    blender.context.view_layer.objects.active = current(blender)
    blender.ops.object.mode_set(mode="EDIT")
    push("mode")
    blender.ops.mesh.select_all(action="SELECT")
    push("select")
    blender.ops.ex4d.smooth_depth(edge_ratio=1.5)
    push("smooth")
    blender.ops.mesh.delete(type="FACE")
    push("delete")
    blender.ops.ex4d.discard_edit()
    push("discard")
    np.testing.assert_array_equal(shown(2), small_clip.vertices(1))
    for _ in range(2):
        blender.ops.ed.undo()
    assert blender.context.mode == "EDIT_MESH" and edit_state.is_editing(current(blender))
    blender.ops.ex4d.finish_edit()
    changed = (shown(2) != small_clip.vertices(1)).any(axis=1)
    assert changed.mean() > 0.5
    push("finish")
    blender.ops.ed.undo()  # to "smooth"
    blender.ops.ed.undo()  # to "select"
    blender.ops.object.mode_set(mode="OBJECT")
    np.testing.assert_array_equal(scene_mesh.positions(current(blender).data), small_clip.vertices(1))


@pytest.mark.feature("reopen")
def test_an_open_edit_survives_saving_and_opening(blender, shot, shown, small_clip):
    blender.context.scene.frame_set(3)
    blender.ops.ex4d.edit_frame(enter_edit_mode=False)
    move_base(current(blender), (0, 0, -1))
    blender.ops.wm.save_mainfile()
    blender.ops.wm.open_mainfile(filepath=blender.data.filepath)
    blender.ops.ex4d.finish_edit()
    assert weights(shown, small_clip) == pytest.approx([0, 0, 1, 0, 0], abs=1e-6)
    blender.ops.wm.save_mainfile()
    blender.ops.wm.open_mainfile(filepath=blender.data.filepath)
    assert weights(shown, small_clip) == pytest.approx([0, 0, 1, 0, 0], abs=1e-6)
    assert len(current(blender).modifiers) == 2


def test_a_hidden_mesh_can_be_sampled_and_the_users_frame_stays(blender, shot, small_clip):
    from blender_addon.edit import sampling as edit_sampling

    body = current(blender)
    body.hide_viewport = True
    blender.context.scene.frame_set(2, subframe=0.5)
    with edit_sampling.sampling(body, user_modifiers=True) as sampler:
        np.testing.assert_array_equal(sampler.positions(4), small_clip.vertices(3))
    assert body.hide_viewport
    assert (blender.context.scene.frame_current, blender.context.scene.frame_subframe) == (2, 0.5)
    assert len(blender.data.scenes) == 1


def test_what_cannot_be_done_is_one_sentence(blender, shot):
    operators, scene, body = blender.ops.ex4d, blender.context.scene, current(blender)
    assert "press Edit This Frame first" in fails(operators.finish_edit)
    assert "press Edit This Frame first" in fails(operators.smooth_depth)
    assert "No edit layer is chosen" in fails(operators.remove_layer)
    assert "no edit layer 'x'" in fails(operators.mute_layer, layer="x")
    scene.frame_set(99)
    assert "Frame 99 is not one of the shot's (1 to 5)" in fails(operators.edit_frame)
    scene.frame_set(2)
    operators.edit_frame(enter_edit_mode=False)
    assert "Frame 2 is still being edited" in fails(operators.edit_frame)
    scale_base(body, -1)
    assert "3 vertices lie behind the source camera" in fails(operators.finish_edit, mode="RAY")
    move_base(body, np.nan)
    assert "3 vertices of the edit lie at NaN or infinity" in fails(operators.finish_edit)
    operators.discard_edit()
    body.shape_key_add(name="Basis")
    assert "has shape keys" in fails(operators.edit_frame)


def test_without_a_shot_or_its_mesh(blender):
    assert blender.context.scene.ex4d.shot is None
    assert not blender.ops.ex4d.edit_frame.poll()


def test_a_deleted_mesh_is_named(blender, shot):
    blender.data.objects.remove(current(blender))
    assert "has lost its mesh" in fails(blender.ops.ex4d.edit_frame)


def test_an_older_blender_is_told_the_version_it_needs(blender, shot, monkeypatch):
    from blender_addon.scene import layer_nodes as layers_nodes

    monkeypatch.setattr(layers_nodes, "NEEDED", (99, 1, 0))
    assert "Edit layers need Blender 99.1 or later" in fails(blender.ops.ex4d.edit_frame)
    assert not current(blender).ex4d_edit.active


def test_in_a_retimed_shot_edits_stay_with_their_source_frame(blender, shot, shown, small_clip):
    props = shot.ex4d
    for frame, source in ((1, 4.0), (5, 0.0)):  # backwards
        props.source_time = source
        shot.keyframe_insert("ex4d.source_time", frame=frame)
    from blender_addon.edit import sampling as edit_sampling
    from blender_addon.scene import keyframes

    keyframes.set_interpolation(shot, "LINEAR")
    props.use_source_time = True
    layer = edit(blender, 2)  # shows source frame 3, which scene frame 4 shows without retiming
    assert layer.name == "Frame 4"
    moved = [bool((shown(frame) - small_clip.vertices(5 - frame)).any()) for frame in range(1, 6)]
    assert moved == [False, True, False, False, False]
    with edit_sampling.sampling(current(blender), user_modifiers=True) as sampler:
        changed = [not np.array_equal(sampler.positions(1 + t), small_clip.vertices(t)) for t in range(5)]
    assert changed == [False, False, False, True, False]
    props.use_source_time = False
    assert weights(shown, small_clip) == pytest.approx([0, 0, 0, 1, 0], abs=1e-6)
