"""The screen of a stereo take in the 3D view: where the eyes converge, and between which depths they see with ease."""

import importlib
from typing import Any

import bpy
import numpy as np
from gpu_extras.batch import batch_for_shader

from ex4d_ground.arrays import Float32
from ex4d_ground.errors import Ex4dError
from ex4d_ground.stereo import BEFORE, BEHIND, depth_at

from ..panels.base import shown_shot
from ..work.hooks import Drawing
from . import eyes

gpu: Any = importlib.import_module("gpu")  # the module's stubs know a part of it only

SCREEN, EASE = (0.2, 0.7, 1.0, 0.25), (1.0, 0.75, 0.2, 0.9)
"""Colours of the screen's plane, and of the rims of what is seen with ease."""
_TRIANGLES = ((0, 1, 2), (0, 2, 3))
_RIM = ((0, 1), (1, 2), (2, 3), (3, 0))


def planes(
    context: bpy.types.Context, target: bpy.types.Object, cam: bpy.types.Object
) -> tuple[Float32 | None, list[Float32]]:
    """Corners [4, 3] in the camera's space of the plane without parallax, and of the nearest and the farthest plane
    that have no more than is usual; planes at infinity are left out. Raises AddonError for eyes that no take can have.
    """
    found, lens = eyes.now(cam, target), eyes.lens(context.scene, cam)
    depths = [depth_at(found, share, **lens) for share in (0.0, -BEFORE, BEHIND)]
    scale = eyes.scale_of(target)
    frame = np.array([tuple(corner) for corner in cam.data.view_frame(scene=context.scene)], np.float64)
    unit = frame / -frame[:, 2:]
    screen, *rims = (None if np.isinf(depth) else (unit * depth * scale).astype(np.float32) for depth in depths)
    return screen, [rim for rim in rims if rim is not None]


def _draw() -> None:
    context = bpy.context
    props, target = context.scene.ex4d, shown_shot(context)
    if target is None or not (props.stereo and props.show_eyes) or not context.space_data.overlay.show_overlays:
        return
    cam = target.ex4d.camera
    if cam is None or cam.name not in context.scene.objects or cam.type != "CAMERA":
        return
    try:
        screen, rims = planes(context, target, cam)
    except Ex4dError:
        return  # the panel says it
    matrix = cam.matrix_world.copy()
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_test_set("LESS_EQUAL")
    with gpu.matrix.push_pop():
        gpu.matrix.multiply_matrix(matrix.normalized())
        if screen is not None:
            _drawn(shader, "TRIS", screen, _TRIANGLES, SCREEN)
            _drawn(shader, "LINES", screen, _RIM, (*SCREEN[:3], 1.0))
        for rim in rims:
            _drawn(shader, "LINES", rim, _RIM, EASE)
    gpu.state.depth_test_set("NONE")
    gpu.state.blend_set("NONE")


def _drawn(shader: Any, kind: str, corners: Float32, indices: tuple[tuple[int, ...], ...], colour: Any) -> None:
    batch = batch_for_shader(shader, kind, {"pos": corners}, indices=indices)
    shader.uniform_float("color", colour)
    batch.draw(shader)


overlay = Drawing("SpaceView3D", "POST_VIEW", _draw)
