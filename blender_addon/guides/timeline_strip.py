"""Coverage as a coloured strip along the bottom of the timeline: red frames ask for more than the source shows."""

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

from ..work.hooks import Drawing
from . import coverage

HEIGHT = 5
"""Pixels, before the interface's scale."""


def _draw() -> None:
    context = bpy.context
    props = context.scene.ex4d
    shot = props.shot
    if shot is None or not props.show_coverage_strip:
        return
    values = coverage.current(shot)
    if not values.size:
        return
    view = context.region.view2d
    height = HEIGHT * context.preferences.system.ui_scale
    corners, colours = [], []
    for index, value in enumerate(values):
        if np.isnan(value):
            continue  # live coverage of this frame is still to come
        left, right = (
            view.view_to_region(shot.ex4d.frame_start + index + side, 0, clip=False)[0] for side in (-0.5, 0.5)
        )
        colour = (*(coverage.BAD if value < props.min_coverage else coverage.GOOD), 1.0)
        corners += [(left, 0), (right, 0), (right, height), (left, 0), (right, height), (left, height)]
        colours += [colour] * 6
    shader = gpu.shader.from_builtin("SMOOTH_COLOR")
    batch_for_shader(shader, "TRIS", {"pos": corners, "color": colours}).draw(shader)


strip = Drawing("SpaceDopeSheetEditor", "POST_PIXEL", _draw)
