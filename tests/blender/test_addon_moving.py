"""What moves by itself, painted or selected on the mesh: the estimate of the filming camera leaves it out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_panels import draw_all
from filmed_room import room
from small_clip import write_source_files

FRAMES, WIDTH, HEIGHT = 10, 384, 288
SPOT = 45 * 128 + 40
"""A vertex of the small clip's disc."""


def crossed(seed: int = 5):
    """The room, with something large that goes its own way before the camera; and where it is [T, H, W]."""
    filmed = room(frames=FRAMES, width=WIDTH, height=HEIGHT, focal_px=360.0)
    chance = np.random.default_rng(seed)
    cells = chance.integers(30, 220, (HEIGHT // 8, 24, 3)).repeat(8, axis=0).repeat(8, axis=1)
    frames, depth = filmed.clip.frames.copy(), filmed.clip.depth.copy()
    covered = np.zeros(depth.shape, np.bool_)
    for t in range(FRAMES):
        left = 60 + 9 * t
        covered[t, :, left : left + cells.shape[1]] = True
        frames[t][covered[t]] = cells.reshape(-1, 3)
        depth[t][covered[t]] = 2.0
    return replace(filmed, clip=replace(filmed.clip, frames=frames, depth=depth)), covered


@pytest.fixture(scope="module")
def passed_by():
    return crossed()


@pytest.fixture
def shot(connected, passed_by, tmp_path, monkeypatch):
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    video, depth = write_source_files(passed_by[0].clip, tmp_path / "in")
    connected.ops.ex4d.import_clip(video_path=str(video), depth_path=str(depth), focal_px=360.0)
    return connected.context.scene.ex4d.shot


def select(body, vertices: np.ndarray) -> None:
    from blender_addon.edit import paint

    paint.select_vertices(body.data, vertices)


def test_what_is_painted_to_move_is_left_out_and_without_it_the_failure_says_so(connected, shot, passed_by):
    from blender_addon.jobs import solving
    from blender_addon.scene import rig
    from blender_addon.scene import shot as shots

    filmed, covered = passed_by
    with pytest.raises(
        RuntimeError, match=r"% of the frame moves by itself, .*; paint what moves by itself, or give a c"
    ):
        connected.ops.ex4d.estimate_filming()
    assert (shots.output_folder(shot) / solving.PICTURE).read_bytes().startswith(b"\x89PNG"), "what went its own way"
    assert shot.ex4d.rig is None
    for t in range(FRAMES):
        connected.context.scene.frame_set(1 + t)
        select(shot.ex4d.mesh, covered[t].ravel())
        assert connected.ops.ex4d.mark_moving(frames="FRAME") == {"FINISHED"}
    words = draw_all(connected.context)["Filming Camera"].words
    assert f"{covered[-1].mean():.0%} of this frame moves by itself" in words
    assert connected.ops.ex4d.estimate_filming() == {"FINISHED"}
    found = rig.as_filmed(shot)
    off = np.linalg.norm((found.world_from_camera - filmed.camera.world_from_camera)[:, :3, 3], axis=1)
    assert off.max() < 0.02 * np.median(filmed.clip.depth[~covered])


@pytest.fixture
def small(blender, small_clip):
    from small_shot import build_shot

    return build_shot(blender, small_clip)


def at(shot, frame: int) -> set[int]:
    from blender_addon.edit import moving

    masks = list(moving.mattes(shot))
    assert len(masks) == 5 and masks[0].shape == (96, 128)
    return set(np.flatnonzero(masks[frame].ravel()).tolist())


def some(*chosen: int) -> np.ndarray:
    out = np.zeros(96 * 128, np.bool_)
    out[list(chosen)] = True
    return out


def test_a_selection_holds_on_its_frames_and_is_saved(blender, small):
    from blender_addon.edit import moving

    operators, body = blender.ops.ex4d, small.ex4d.mesh
    assert not moving.is_painted(small)
    select(body, some(7, 8))
    operators.mark_moving()
    select(body, some(9))
    operators.mark_moving(frames="RANGE", first=2, last=3)
    select(body, some(8))
    operators.clear_moving(frames="RANGE", first=3, last=5)
    assert [at(small, t) for t in range(5)] == [{7, 8}, {7, 8, 9}, {7, 9}, {7}, {7}]
    blender.context.scene.frame_set(2)
    operators.select_moving()
    from blender_addon.edit import paint

    assert set(np.flatnonzero(paint.selected(body.data.vertices)).tolist()) == {7, 8, 9}
    blender.ops.wm.save_mainfile()
    blender.ops.wm.open_mainfile(filepath=blender.data.filepath)
    again = blender.context.scene.ex4d.shot
    assert [at(again, t) for t in range(5)] == [{7, 8}, {7, 8, 9}, {7, 9}, {7}, {7}]
    select(again.ex4d.mesh, np.ones(96 * 128, np.bool_))
    operators.clear_moving()
    assert not moving.is_painted(again)


def test_brushes_paint_what_moves_and_leave_thickness_alone(blender, small):
    from blender_addon.edit import thickness, thickness_weights

    operators, body = blender.ops.ex4d, small.ex4d.mesh
    select(body, some(SPOT))
    operators.set_thickness(length=0.5)
    operators.mark_moving()
    assert operators.paint_moving() == {"FINISHED"}
    assert blender.context.mode == "PAINT_WEIGHT"
    buttons = draw_all(blender.context)["Filming Camera"].operators()
    assert {"ex4d.finish_painting", "ex4d.discard_painting"} <= set(buttons) and "ex4d.paint_moving" not in buttons
    assert "Painted Thickness" not in draw_all(blender.context)
    group = body.vertex_groups[thickness_weights.MOVING_GROUP]
    assert group.weight(SPOT) == 1.0
    group.add([SPOT + 1], 0.7, "REPLACE")
    group.add([SPOT + 2], 0.3, "REPLACE")
    with pytest.raises(RuntimeError, match="What moves is still being painted"):
        operators.mark_moving()
    operators.finish_painting()
    assert blender.context.mode == "OBJECT" and thickness_weights.MOVING_GROUP not in body.vertex_groups
    assert at(small, 0) == at(small, 4) == {SPOT, SPOT + 1}
    assert thickness.LENGTHS.painted_at(body.data, 0)[SPOT] == 0.5
    operators.paint_moving()
    body.vertex_groups[thickness_weights.MOVING_GROUP].remove([SPOT])
    operators.discard_painting()
    assert at(small, 0) == {SPOT, SPOT + 1}
    operators.paint_thickness(full=1.0)
    assert body.vertex_groups[thickness_weights.GROUP].weight(SPOT) == 0.5, "and the other way about"


def test_the_tint_of_what_moves_is_red(small_clip):
    from blender_addon.edit import thickness_overlay

    moves = np.zeros(96 * 128, np.bool_)
    assert thickness_overlay.reddened(small_clip.vertices(0), small_clip.faces, moves) is None
    moves.reshape(96, 128)[40:43, 50:53] = True
    places, colours, faces = thickness_overlay.reddened(small_clip.vertices(0), small_clip.faces, moves)
    assert len(places) == 9 and len(faces) == 8
    np.testing.assert_allclose(colours, [[*thickness_overlay.MOVES, thickness_overlay.OPACITY]] * 9)


def test_a_mask_becomes_a_picture_that_blender_reads(blender, tmp_path):
    from blender_addon.jobs.solving import png_of

    mask = np.random.default_rng(0).random((13, 21)) > 0.5
    (tmp_path / "m.png").write_bytes(png_of(mask))
    image = blender.data.images.load(str(tmp_path / "m.png"))
    image.colorspace_settings.name = "Non-Color"
    pixels = np.array(image.pixels).reshape(13, 21, 4)[::-1, :, 0]
    assert np.array_equal(pixels > 0.5, mask)
