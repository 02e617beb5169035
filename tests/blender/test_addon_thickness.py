"""Painted thickness: what is kept in the mesh, what the panel and the 3D view show, what reaches a real backend."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_panels import draw_all
from test_addon_operators import fails

WIDTH, HEIGHT = 128, 96
DISC = 45 * WIDTH + 40
"""A vertex in the middle of the disc on the first frame."""


def body_of(blender):
    return blender.context.scene.ex4d.shot.ex4d.mesh


def lengths(blender, frame: int) -> np.ndarray:
    from blender_addon.edit import thickness

    found = thickness.LENGTHS.painted_at(body_of(blender).data, frame)
    return np.zeros(WIDTH * HEIGHT, np.float32) if found is None else found


def select(blender, vertices: np.ndarray) -> None:
    from blender_addon.edit import paint

    paint.select_vertices(body_of(blender).data, vertices)


def some(*chosen: int) -> np.ndarray:
    out = np.zeros(WIDTH * HEIGHT, np.bool_)
    out[list(chosen)] = True
    return out


def test_paint_counts_on_the_frames_it_was_given_and_can_be_cleared(blender, shot):
    operators, chosen = blender.ops.ex4d, some(2000, 2001, 3000)
    select(blender, chosen)
    operators.set_thickness(length=0.5)
    operators.set_thickness(length=2.0, frames="RANGE", first=2, last=4)
    blender.context.scene.frame_set(3)
    operators.clear_thickness(frames="FRAME")
    assert [float(lengths(blender, t)[chosen].max()) for t in range(5)] == [0.5, 2.0, 0.0, 2.0, 0.5]
    assert all(not lengths(blender, t)[~chosen].any() for t in range(5))
    operators.clear_thickness()
    assert not [each.name for each in body_of(blender).data.attributes if "thickness" in each.name]


def test_a_share_is_of_the_depth_on_the_frame_shown(blender, shot, small_clip):
    blender.context.scene.frame_set(4)
    chosen = some(DISC, 20 * WIDTH + 100)
    select(blender, chosen)
    blender.ops.ex4d.set_thickness(by="SHARE", share=0.25)
    expected = 0.25 * small_clip.depth[3].ravel()[chosen]
    np.testing.assert_allclose(lengths(blender, 0)[chosen], expected, rtol=1e-5)


def test_a_whole_object_is_selected_from_one_vertex_of_it(blender, shot, small_clip):
    body = body_of(blender)
    blender.context.view_layer.objects.active = body
    select(blender, some(DISC))
    blender.ops.object.mode_set(mode="EDIT")
    blender.ops.ex4d.select_object()
    assert blender.context.mode == "EDIT_MESH"
    blender.ops.ex4d.set_thickness(length=1.5)
    blender.ops.object.mode_set(mode="OBJECT")
    np.testing.assert_array_equal(lengths(blender, 0) > 0, small_clip.depth[0].ravel() == 3.5)
    select(blender, some())
    assert "No vertex of the picture is selected" in fails(blender.ops.ex4d.select_object)
    blender.ops.ex4d.select_thickness()
    from blender_addon.edit import paint

    np.testing.assert_array_equal(paint.selected(body.data.vertices), small_clip.depth[0].ravel() == 3.5)


def test_a_flood_goes_round_corners_and_stops_at_depth_edges():
    from blender_addon.edit import depth_tools as edit_tools

    rows, columns = np.mgrid[:40, :50]
    ring = np.abs(np.hypot(rows - 20, columns - 25) - 14) < 2
    depth = np.where(ring, 2.0, 5.0)
    seeds = np.zeros(depth.shape, np.bool_)
    seeds[20, 39] = True
    np.testing.assert_array_equal(edit_tools.connected(depth, seeds, edge_ratio=1.1), ring)
    slope = 2.0 * 1.01**columns
    assert edit_tools.connected(slope, seeds, edge_ratio=1.05)[1:-1, 1:-1].all()
    assert edit_tools.connected(slope, seeds, edge_ratio=1.005).sum() == 38, "a column at a time"


def test_undo_redo_and_a_saved_file_keep_the_paint(blender, shot, tmp_path):
    chosen = some(DISC, DISC + 1)
    select(blender, chosen)
    blender.ops.ed.undo_push(message="selected")
    blender.ops.ex4d.set_thickness(length=0.7)
    blender.ops.ex4d.set_thickness(length=0.9, frames="RANGE", first=2, last=3)
    blender.ops.ed.undo_push(message="painted")
    painted = [lengths(blender, t) for t in range(5)]
    blender.ops.ed.undo()
    assert not lengths(blender, 0).any()
    blender.ops.ed.redo()
    np.testing.assert_array_equal([lengths(blender, t) for t in range(5)], painted)
    blender.ops.wm.save_mainfile()
    blender.ops.wm.open_mainfile(filepath=blender.data.filepath)
    np.testing.assert_array_equal([lengths(blender, t) for t in range(5)], painted)


def test_brushes_change_what_they_painted_and_nothing_else(blender, shot):
    from blender_addon.edit import thickness_weights

    operators, body = blender.ops.ex4d, body_of(blender)
    select(blender, some(DISC, DISC + 1, DISC + 2))
    operators.set_thickness(length=3.0)
    assert operators.paint_thickness(full=2.0) == {"FINISHED"}
    assert blender.context.mode == "PAINT_WEIGHT"
    assert "still being painted; finish or discard" in fails(operators.set_thickness)
    group = body.vertex_groups[thickness_weights.GROUP]
    assert group.weight(DISC) == 1.0, "what was painted is there, as far as weights go"
    group.add([DISC + 1], 0.25, "REPLACE")
    group.add([DISC + 5], 0.5, "REPLACE")
    group.remove([DISC + 2])
    operators.finish_painting()
    assert blender.context.mode == "OBJECT"
    found = lengths(blender, 0)
    assert {int(v): float(found[v]) for v in np.flatnonzero(found)} == {DISC: 3.0, DISC + 1: 0.5, DISC + 5: 1.0}
    assert thickness_weights.GROUP not in body.vertex_groups
    operators.paint_thickness(full=2.0)
    body.vertex_groups[thickness_weights.GROUP].add([DISC], 0.1, "REPLACE")
    operators.discard_painting()
    np.testing.assert_array_equal(lengths(blender, 0), found)
    assert "press Paint with Brushes first" in fails(operators.finish_painting)


def test_the_panel_offers_the_paint_and_says_what_is_painted(blender, shot):
    def words() -> str:
        return draw_all(blender.context)["Painted Thickness"].words

    shot.ex4d.occluders = "SOLID"
    select(blender, some(DISC, DISC + 1))
    blender.ops.ex4d.set_thickness(length=0.25)
    assert "2 vertices here: 0.25" in words()
    blender.ops.ex4d.paint_thickness(full=0.5)
    assert words() == "Weight 1 is 0.5"


def test_the_tint_lies_on_the_painted_faces_and_tells_thin_from_thick(small_clip):
    from blender_addon.edit import thickness_overlay

    values = np.where(small_clip.depth[0].ravel() == 3.5, np.float32(0.5), np.float32(0))
    assert thickness_overlay.tinted(small_clip.vertices(0), small_clip.faces, values * 0) is None
    values[DISC] = 2.0
    found = thickness_overlay.tinted(small_clip.vertices(0), small_clip.faces, values)
    assert found is not None
    points, colours, triangles = found
    np.testing.assert_array_equal(points[:, 2], np.float32(3.5))
    assert len(triangles) == (values[small_clip.faces] > 0).all(axis=1).sum()
    thick = int(np.flatnonzero((points == small_clip.vertices(0)[DISC]).all(axis=1))[0])
    np.testing.assert_allclose(colours[thick, :3], thickness_overlay.THICK, atol=1e-6)
    np.testing.assert_allclose(colours[thick - 1, :3], thickness_overlay.THIN, atol=1e-6)


# --- through a real backend -----------------------------------------------------------------------------


@pytest.fixture
def moving(connected, sources):
    """A solid shot with a camera move."""
    connected.ops.ex4d.import_clip(**sources)
    connected.ops.ex4d.add_camera_move(preset="60")
    connected.context.scene.ex4d.shot.ex4d.occluders = "SOLID"
    return connected


def guides(blender) -> list[bytes]:
    from blender_addon.scene import shot

    assert blender.ops.ex4d.render_guides() == {"FINISHED"}
    folder = shot.folder_of(blender.context.scene.ex4d.shot) / "guides" / "mask"
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def coverage(blender) -> np.ndarray:
    return np.array(json.loads(blender.context.scene.ex4d.shot.ex4d.coverage_json))


def paint_disc(blender, **options) -> None:
    """Paint the disc of the first frame (it moves by 4 pixels a frame), with what lies around it."""
    rows, columns = np.divmod(np.arange(WIDTH * HEIGHT), WIDTH)
    select(blender, (np.hypot(rows - 45, columns - 48) < 34))
    blender.ops.ex4d.set_thickness(**options)


def test_painted_thickness_changes_the_masks_of_its_frames_alone(moving):
    unpainted = guides(moving)
    seen = coverage(moving)
    paint_disc(moving, length=6.0, frames="RANGE", first=4, last=5)
    thick = guides(moving)
    assert [a != b for a, b in zip(unpainted, thick, strict=True)] == [False, False, False, True, True]
    assert coverage(moving)[4] < seen[4] - 0.05, "what is thicker hides more"
    paint_disc(moving, length=0.01)
    thin = guides(moving)
    assert thin[4] != thick[4] and coverage(moving)[4] > seen[4], "and what is thinner less"
    moving.context.scene.ex4d.shot.ex4d.occluders = "ENDLESS"
    endless = guides(moving)
    moving.ops.ex4d.clear_thickness()
    assert guides(moving) == endless, "an endless mesh has no thickness"
    moving.context.scene.ex4d.shot.ex4d.occluders = "SOLID"
    assert guides(moving) == unpainted


def test_a_take_says_what_was_painted_and_brings_it_back(moving):
    from blender_addon.scene import shot

    paint_disc(moving, length=4.0)
    paint_disc(moving, length=1.0, frames="RANGE", first=2, last=3)
    painted = [lengths(moving, t) for t in range(5)]
    moving.ops.ex4d.generate(engine="preview", seed=3)
    take = moving.context.scene.ex4d.takes[0]
    spec = json.loads((Path(moving.path.abspath(take.folder)) / "take.json").read_text())["mesh"]
    assert spec["thickness"]["size"] == 4 * WIDTH * HEIGHT
    assert [edit["frame"] for edit in spec["edits"]] == [1, 2]
    moving.ops.ex4d.clear_thickness()
    guides(moving)
    assert not lengths(moving, 1).any()
    moving.ops.ex4d.restore_take()
    np.testing.assert_array_equal([lengths(moving, t) for t in range(5)], painted)
    folder = shot.folder_of(moving.context.scene.ex4d.shot) / "thickness"
    assert len(list(folder.iterdir())) == 2
    for path in folder.iterdir():
        path.unlink()
    moving.ops.ex4d.clear_thickness()
    assert moving.ops.ex4d.restore_take() == {"FINISHED"}
    assert not lengths(moving, 1).any()
