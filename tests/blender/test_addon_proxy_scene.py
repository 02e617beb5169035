"""Retiming and live views of a mesh coarser than its clip, and a .blend from before there were such meshes."""

from __future__ import annotations

import numpy as np
import pytest
from live_parts import guide_shown, guides_of, settle
from test_addon_layers import current
from test_addon_layers_guides import guides
from test_addon_proxy import FULL, GRID, SIDE, edit_wall, full_size, proxied

__all__ = ["full_size", "proxied"]
TIMES = (0.0, 3.4, 3.5, 1.0, 4.0)
NEAREST = (0, 3, 4, 1, 4)


def retime(blender) -> None:
    from blender_addon.scene import keyframes

    shot = blender.context.scene.ex4d.shot
    shot.ex4d.use_source_time = True
    for index, time in enumerate(TIMES):
        shot.ex4d.source_time = time
        shot.keyframe_insert("ex4d.source_time", frame=1 + index)
    keyframes.set_interpolation(shot, "CONSTANT")


def shown(blender, frame: int) -> np.ndarray:
    from blender_addon.scene import mesh

    blender.context.scene.frame_set(frame)
    return mesh.evaluated_positions(current(blender), blender.context.evaluated_depsgraph_get()).copy()


def test_a_retimed_grid_shows_the_nearest_source_frame_and_its_guides_are_the_full_ones(proxied, full_size, small_clip):
    retime(proxied)
    for index, nearest in enumerate(NEAREST):
        wanted = small_clip.vertices(nearest).reshape(96, 128, 3)[GRID.rows[:, None], GRID.columns].reshape(-1, 3)
        np.testing.assert_allclose(shown(proxied, 1 + index), wanted, rtol=1e-5)
    coarse = guides(proxied)
    full_size()
    still = guides(proxied)
    retime(proxied)
    assert guides(proxied) == coarse != still


@pytest.mark.usefixtures("quiet")
def test_a_live_view_of_an_edited_grid_is_what_a_guides_job_renders(proxied):
    from blender_addon.live import views
    from blender_addon.work import preferences

    edit_wall(proxied, GRID, mode="RAY")
    preferences.get(proxied.context).live_limit_ms = 10_000
    plain = guides_of(proxied, 0)
    for frame in (2, 1):  # the edit is on frame 2
        proxied.context.scene.frame_set(frame)
        proxied.context.window_manager.ex4d_live.enabled = True
        settle(views.current)
        picture = guide_shown()
        np.testing.assert_array_equal(picture, guides_of(proxied, frame - 1))
        assert picture.shape == (96, 128, 4) and np.array_equal(picture, plain) == (frame == 1)
        proxied.context.window_manager.ex4d_live.enabled = False


def test_a_file_from_before_there_were_grids_opens_as_it_was(connected, sources, address):
    from blender_addon.scene import shot as shots

    blender = connected
    blender.ops.ex4d.import_clip(**sources, grid_side=0)
    blender.ops.ex4d.add_camera_move(preset="30")
    edit_wall(blender, FULL, mode="OFFSET")
    before, places = guides(blender), [shown(blender, frame) for frame in (1, 2)]
    for name in ("grid_side", "arriving"):  # what older versions did not write
        blender.context.scene.ex4d.shot.ex4d.property_unset(name)
    blender.ops.wm.save_mainfile()
    blender.ops.wm.open_mainfile(filepath=blender.data.filepath)
    blender.ops.ex4d.connect(address=address)
    shot = blender.context.scene.ex4d.shot
    grid = shots.grid_of(shot)
    assert (grid.width, grid.height) == (128, 96) and len(current(blender).data.vertices) == 128 * 96 != SIDE
    for frame, wanted in zip((1, 2), places, strict=True):
        np.testing.assert_array_equal(shown(blender, frame), wanted)
    assert guides(blender) == before
    edit_wall(blender, FULL, mode="OFFSET", name="Another")
    assert guides(blender) != before
