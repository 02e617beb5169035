"""The room that the panels take in a sidebar nobody has drawn wider: no word cut off, no list longer than the window.

Heights and widths are reckoned from what is drawn, by Blender's own style (``drawn_panels``) and its own font.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from drawn_panels import Drawn, Layout, cut_off, draw_all, list_height
from filmed_room import handheld
from panel_parts import add_takes

MOST = 750
"""Pixels at scale 1 that the list may take with one take in it."""


def select(body: Any, vertices: Any) -> None:
    from blender_addon.edit import paint

    paint.select_vertices(body.data, vertices)


def assert_nothing_is_cut_off(context: Any) -> dict[str, Drawn]:
    found = draw_all(context)
    wrong = {name: texts for name, drawn in found.items() if (texts := cut_off(drawn))}
    assert not wrong
    return found


def test_no_word_is_cut_off_in_any_state(blender, online, shot, moving_camera):
    """A sidebar keeps its width in units of the interface: a scale of 1.5 leaves as much room for words."""
    from blender_addon.scene import rig

    scene = blender.context.scene
    scene.ex4d.shot = None
    for source in ("ESTIMATE", "FILE"):
        scene.ex4d.depth_source = source
        assert_nothing_is_cut_off(blender.context)
    scene.ex4d.shot = shot
    for engine in ("preview", "wan", "other"):
        scene.ex4d.engine = engine
        assert_nothing_is_cut_off(blender.context)
    shot.ex4d.use_source_time = True
    for by in ("AUTO", "SHARE", "LENGTH"):
        shot.ex4d.occluders, shot.ex4d.thickness_by = "SOLID", by
        assert_nothing_is_cut_off(blender.context)
    for preset in ("zoom_in", "lens_zoom", "static"):
        blender.ops.ex4d.choose_move(preset=preset)
        assert_nothing_is_cut_off(blender.context)
    for source in ("ESTIMATE", "CAMERA", "FILE", "NONE"):
        scene.ex4d.filmed_from = source
        assert_nothing_is_cut_off(blender.context)
    scene.ex4d.filmed_from = "ESTIMATE"
    rig.put(shot, handheld(5, width=128, height=96, focal_px=120.0), shot.users_collection[0])
    shot.ex4d.seems_to_move = shot.ex4d.knows_camera = True
    shot.ex4d.filmed_note = (
        "Estimated from pictures and depth. 927 points were followed; 0.07 px is the median misfit. "
        "4 % of the picture moves by itself or cannot be followed."
    )
    select(shot.ex4d.mesh, np.arange(len(shot.ex4d.mesh.data.vertices)) < 40)
    blender.ops.ex4d.mark_moving()
    assert "Follow the Source" in {leaf.text for leaf in assert_nothing_is_cut_off(blender.context)["Camera"].leaves}
    rig.take_off(shot)
    assert_nothing_is_cut_off(blender.context)
    blender.ops.ex4d.edit_frame()
    assert "Finish Edit..." in {leaf.text for leaf in assert_nothing_is_cut_off(blender.context)["Repair Depth"].leaves}


def test_a_word_too_long_for_its_button_is_found(blender):
    layout = Layout()
    row = layout.row(align=True)
    for _ in range(3):
        row.operator("ex4d.disconnect", text="Disconnect Now")
    drawn = Drawn.__new__(Drawn)
    drawn.layout = layout
    assert set(cut_off(drawn)) == {"Disconnect Now"}


def test_with_one_take_the_list_fits_a_small_window(blender, online, shot, moving_camera):
    from blender_addon.guides import coverage

    coverage.store(shot, np.array([0.9, 0.4, 0.2, 0.9, 0.3]))
    add_takes(blender, shot, True)
    blender.context.scene.ex4d.active_take = 0
    height = list_height(draw_all(blender.context))
    assert 500 < height <= MOST, f"the list is {height:.0f} pixels tall"
    switches = blender.context.window_manager.ex4d_live
    switches.enabled = True
    try:
        with_live = list_height(draw_all(blender.context))
    finally:
        switches.enabled = False
    assert height < with_live <= MOST, f"with holes shown the list is {with_live:.0f} pixels tall"


def test_each_step_adds_what_it_needs_and_no_more(blender, online, shot, moving_camera):
    scene = blender.context.scene
    camera, shot.ex4d.camera = shot.ex4d.camera, None
    heights = [list_height(draw_all(blender.context))]
    shot.ex4d.camera = camera
    heights.append(list_height(draw_all(blender.context)))
    scene.ex4d.shot = None
    heights.insert(0, list_height(draw_all(blender.context)))
    assert heights == sorted(heights) and heights[0] < 200
