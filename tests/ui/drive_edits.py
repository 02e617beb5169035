"""Two edits that become layers, in a real window. Run by Blender; see ``test_edits``."""

from __future__ import annotations

import os
import sys

sys.path[:0] = os.environ["EX4D_UI_PATH"].split(os.pathsep)

import bpy  # noqa: E402
import numpy as np  # noqa: E402
import ways  # noqa: E402
import window as ui  # noqa: E402

BALL = (272, 215)
"""Row and column of a pixel of the ball in the clip's first frame."""
FLOOR = np.s_[400:490, 150:380]
"""A part of the floor there."""


def script() -> ui.Steps:
    yield from ways.empty()
    yield from ways.ready()
    yield from show_edits()


def show_edits() -> ui.Steps:
    """Bring the ball nearer in one frame and flatten the floor in all, and picture the layers that come of it."""
    from blender_addon.edit import depth_tools as edit_tools
    from blender_addon.edit import paint
    from blender_addon.scene import mesh as scene_mesh
    from blender_addon.work import session

    scene, target = bpy.context.scene, bpy.context.scene.ex4d.shot
    body = target.ex4d.mesh
    size = {"width": target.ex4d.width, "height": target.ex4d.height}
    scene.frame_set(1)
    yield from ui.call("ex4d.edit_frame")
    yield from settle()
    ui.measured["mode"] = bpy.context.mode
    ui.screenshot("1_edit")
    with ui.override():
        bpy.ops.object.mode_set(mode="OBJECT")
    positions = scene_mesh.positions(body.data)
    depth = edit_tools.depth_grid(positions, **size)
    seeds = np.zeros(depth.shape, np.bool_)
    seeds[BALL] = True
    ball = edit_tools.connected(depth, seeds, edge_ratio=1.05)
    paint.select_vertices(body.data, ball.ravel())
    scene_mesh.set_positions(body.data, edit_tools.slide(positions, 0.8 * depth, selected=ball))
    with ui.override():
        bpy.ops.ex4d.finish_edit(name="Ball nearer", mode="RAY", after=6, falloff=4)
        bpy.ops.ex4d.edit_frame(enter_edit_mode=False)
        floor = np.zeros(depth.shape, np.bool_)
        floor[FLOOR] = True
        paint.select_vertices(body.data, floor.ravel())
        bpy.ops.ex4d.flatten_depth()
        bpy.ops.ex4d.finish_edit(name="Floor", mode="RAY", every_frame=True)
        body.ex4d_edit.active_layer = body.modifiers.find("Ball nearer")
        bpy.context.view_layer.objects.active = body
    yield from settle()
    yield from ui.wait(lambda: not session.get().tasks, "the mask of visible faces")
    yield from settle()
    ui.screenshot("2_layers")


def settle() -> ui.Steps:
    """Panels that grow slide to their places, but only while something is redrawn."""
    for step in range(12):
        _, _, sidebar = ui.view()
        ui.mouse(sidebar.x + 30 + step, sidebar.y + 30)
        sidebar.tag_redraw()
        yield 0.2


ui.start(script)
