"""Depth repairs and occlusion paint: on numbers, and once each through their operators."""

from __future__ import annotations

import numpy as np
import pytest
from test_addon_operators import fails

HEIGHT, WIDTH, FOCAL = 24, 32, 30.0


def lift(depth: np.ndarray) -> np.ndarray:  # [H, W] -> [V, 3]
    rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]]
    x, y = (columns + 0.5 - depth.shape[1] / 2) / FOCAL, (rows + 0.5 - depth.shape[0] / 2) / FOCAL
    return np.stack([x * depth, y * depth, depth], -1).reshape(-1, 3).astype(np.float32)


def box(top: int, bottom: int, left: int, right: int, shape=(HEIGHT, WIDTH)) -> np.ndarray:
    out = np.zeros(shape, np.bool_)
    out[top:bottom, left:right] = True
    return out


def patch(depth: np.ndarray, selected: np.ndarray):  # [H, W], [H, W]
    from blender_addon.edit.depth_tools import Patch

    return Patch(depth, selected, lift(depth))


def slanted() -> np.ndarray:  # [H, W]: depth of the plane 0.1 x + 0.2 y + z = 5
    directions = lift(np.ones((HEIGHT, WIDTH))).astype(np.float64)
    return (5 / (directions @ [0.1, 0.2, 1.0])).reshape(HEIGHT, WIDTH)


def test_smoothing_evens_noise_and_touches_nothing_else():
    from blender_addon.edit import depth_tools as edit_tools

    noise = np.random.default_rng(0).uniform(-0.05, 0.05, (HEIGHT, WIDTH))
    depth, chosen = slanted() + noise, box(5, 18, 6, 25)
    found = edit_tools.smooth(patch(depth, chosen), iterations=50, strength=1.0, edge_ratio=1.1)
    inside = box(8, 15, 9, 22)
    assert np.abs(found - slanted())[inside].std() < 0.25 * np.abs(noise)[inside].std()
    np.testing.assert_array_equal(found[~chosen], depth[~chosen])


def test_smoothing_does_not_cross_a_depth_edge():
    from blender_addon.edit import depth_tools as edit_tools

    depth = np.full((HEIGHT, WIDTH), 8.0)
    depth[:, :16] = 3.0
    found = edit_tools.smooth(patch(depth, box(2, 22, 4, 28)), iterations=30, strength=1.0, edge_ratio=1.1)
    np.testing.assert_allclose(found, depth, rtol=1e-12)


def test_smoothing_never_looks_at_the_border():
    from blender_addon.edit import depth_tools as edit_tools

    depth = np.full((HEIGHT, WIDTH), 8.0)
    depth[[0, -1]] = depth[:, [0, -1]] = 100.0
    found = edit_tools.smooth(
        patch(depth, np.ones_like(depth, np.bool_)), iterations=5, strength=1.0, edge_ratio=1000.0
    )
    np.testing.assert_allclose(found, depth, rtol=1e-12)


def test_flattening_finds_the_plane_despite_a_stray_patch():
    from blender_addon.edit import depth_tools as edit_tools

    depth = slanted()
    depth[8:11, 8:12] = 2.0
    chosen = box(3, 20, 4, 28)
    found = edit_tools.flatten(patch(depth, chosen), strength=1.0)
    np.testing.assert_allclose(found, slanted(), rtol=1e-5)
    half = edit_tools.flatten(patch(depth, chosen), strength=0.5)
    np.testing.assert_allclose(1 / half[9, 9], (1 / 2.0 + 1 / slanted()[9, 9]) / 2, rtol=1e-4)


def test_flattening_refuses_what_fits_no_plane():
    from blender_addon.edit import depth_tools as edit_tools
    from blender_addon.work.errors import AddonError

    depth = slanted()
    for chosen, why in (
        (box(5, 6, 5, 7), "needs three selected vertices, got 2"),
        (box(5, 6, 5, 20), "lie in a row"),
        (box(0, 1, 0, WIDTH), "No vertex of the picture is selected"),
    ):
        with pytest.raises(AddonError, match=why):
            edit_tools.flatten(patch(depth, chosen), strength=1.0)
    steep = np.full((HEIGHT, WIDTH), 1e6)
    steep[:, :12] = 0.5
    steep[:, 12:14] = 500.0
    with pytest.raises(AddonError, match="past the camera"):
        edit_tools.flatten(patch(steep, box(2, 20, 2, 30)), strength=1.0)


@pytest.mark.parametrize("pixels", [1, 2, -1, -2])
def test_an_edge_moves_by_whole_pixels_and_surfaces_stay(pixels):
    from blender_addon.edit import depth_tools as edit_tools

    background, front = slanted(), np.full((HEIGHT, WIDTH), 2.0)
    disc = box(8, 16, 10, 22)
    depth = np.where(disc, front, background)
    found = edit_tools.grow_edge(patch(depth, np.ones_like(disc)), pixels=pixels, edge_ratio=1.2)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    outside = np.maximum(np.maximum(8 - rows, rows - 15), 0) + np.maximum(np.maximum(10 - columns, columns - 21), 0)
    inside = np.minimum(np.minimum(rows - 7, 16 - rows), np.minimum(columns - 9, 22 - columns))
    expected = outside <= pixels if pixels > 0 else inside > -pixels
    np.testing.assert_array_equal(found == 2.0, expected)
    untouched = disc == expected
    np.testing.assert_array_equal(found[untouched], depth[untouched])


def test_vertices_slide_along_their_rays():
    from blender_addon.edit import depth_tools as edit_tools

    positions = lift(slanted())
    depth = edit_tools.depth_grid(positions, width=WIDTH, height=HEIGHT)
    moved = edit_tools.slide(positions, depth * 2, selected=box(3, 9, 3, 9))
    chosen = box(3, 9, 3, 9).ravel()
    np.testing.assert_allclose(moved[chosen], positions[chosen] * 2, rtol=1e-6)
    np.testing.assert_array_equal(moved[~chosen], positions[~chosen])


# --- in Blender ---------------------------------------------------------------------------------------


def body_of(blender):
    return blender.context.scene.ex4d.shot.ex4d.mesh


def select(blender, faces: np.ndarray) -> None:
    from blender_addon.edit import paint

    paint.select(body_of(blender).data, faces)


def some_faces(small_clip, first=5000, count=40) -> np.ndarray:
    out = np.zeros(len(small_clip.faces), np.bool_)
    out[first : first + count] = True
    return out


def flags(blender, frame: int) -> np.ndarray:
    from blender_addon.edit import paint

    found = paint.FLAGS.painted_at(body_of(blender).data, frame)
    return np.zeros(len(body_of(blender).data.polygons), np.int8) if found is None else found


def test_helpers_work_on_the_selection_in_edit_mode_and_stay_there(blender, shot, small_clip):
    from blender_addon.edit import sampling as edit_sampling

    operators, body = blender.ops.ex4d, body_of(blender)
    blender.context.scene.frame_set(2)
    operators.edit_frame(tools="EDIT")
    assert "No vertex of the picture is selected" in fails(operators.smooth_depth)
    assert blender.context.mode == "EDIT_MESH"
    blender.ops.object.mode_set(mode="OBJECT")
    select(blender, some_faces(small_clip, first=6000, count=100))
    blender.ops.object.mode_set(mode="EDIT")
    for run in (operators.smooth_depth, operators.flatten_depth, operators.push_edge):
        assert run() == {"FINISHED"}
    assert blender.context.mode == "EDIT_MESH"
    operators.finish_edit(mode="RAY")
    with edit_sampling.sampling(body, user_modifiers=True) as sampler:
        moved = (sampler.positions(2) != small_clip.vertices(1)).any(axis=1)
        np.testing.assert_array_equal(sampler.positions(3), small_clip.vertices(2))
    assert 0 < moved.sum() <= 200


@pytest.mark.feature("paint")
def test_paint_counts_on_the_frames_it_was_given(blender, shot, small_clip):
    operators, faces = blender.ops.ex4d, some_faces(small_clip)
    select(blender, faces)
    operators.paint_occlusion(flag="OCCLUDED")
    operators.paint_occlusion(flag="VISIBLE", frames="RANGE", first=2, last=4)
    blender.context.scene.frame_set(3)
    operators.paint_occlusion(flag="AUTO", frames="FRAME")
    assert [int(flags(blender, t)[faces].max()) for t in range(5)] == [2, 1, 0, 1, 2]
    assert all(not flags(blender, t)[~faces].any() for t in range(5))
    operators.paint_occlusion(flag="AUTO")
    assert all(not flags(blender, t).any() for t in range(5))
    assert not [name for name in body_of(blender).data.attributes.keys() if "occlusion" in name]  # noqa: SIM118


@pytest.mark.feature("paint")
def test_paint_from_edit_mode_and_selecting_it_again(blender, shot, small_clip):
    from blender_addon.edit import paint

    body, faces = body_of(blender), some_faces(small_clip)
    blender.context.view_layer.objects.active = body
    select(blender, faces)
    blender.context.scene.tool_settings.mesh_select_mode = (False, False, True)
    blender.ops.object.mode_set(mode="EDIT")
    blender.ops.ex4d.paint_occlusion(flag="OCCLUDED")
    assert blender.context.mode == "EDIT_MESH"
    blender.ops.mesh.select_all(action="DESELECT")
    blender.ops.ex4d.select_painted(flag="OCCLUDED")
    blender.ops.object.mode_set(mode="OBJECT")
    np.testing.assert_array_equal(paint.selected(body.data.polygons), faces)


@pytest.mark.feature("paint")
def test_paint_survives_an_edit_and_undo_takes_it_back(blender, shot, small_clip):
    faces = some_faces(small_clip)
    select(blender, faces)
    blender.ops.ed.undo_push(message="selected")
    blender.ops.ex4d.paint_occlusion(flag="VISIBLE")
    blender.ops.ed.undo_push(message="painted")
    blender.ops.ex4d.edit_frame(enter_edit_mode=False)
    blender.ops.ex4d.discard_edit()
    np.testing.assert_array_equal(flags(blender, 0) == 1, faces)
    blender.ops.ed.undo()
    assert not flags(blender, 0).any()
    blender.ops.ed.redo()
    np.testing.assert_array_equal(flags(blender, 0) == 1, faces)


@pytest.mark.feature("paint")
def test_paint_without_a_selection_or_outside_the_shot(blender, shot, small_clip):
    operators = blender.ops.ex4d
    assert "No face is selected" in fails(operators.paint_occlusion)
    select(blender, some_faces(small_clip))
    sentence = fails(operators.paint_occlusion, frames="RANGE", first=4, last=9)
    assert "Frames 4 to 9 are not within the shot's (1 to 5)" in sentence
