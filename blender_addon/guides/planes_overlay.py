"""The planes of the shot's place as wire grids in the 3D view."""

import importlib
from typing import Any

import bpy
import numpy as np
from gpu_extras.batch import batch_for_shader
from mathutils import Matrix

from ex4d_ground.arrays import Float32

from ..work.hooks import Drawing

gpu: Any = importlib.import_module("gpu")  # the module's stubs know a part of it only

CELLS = 8
"""Along each side of a grid."""
USED, CHOSEN, UNUSED = (0.35, 0.6, 0.85, 0.7), (1.0, 0.65, 0.2, 0.9), (0.5, 0.5, 0.5, 0.35)


def grid(normal: Any, centre: Any, reach: float) -> Float32:  # [4 * (CELLS + 1), 3]
    """Both ends of each line of a square grid in the plane, one after the other."""
    normal = np.array(normal, np.float64)
    near = np.eye(3)[np.argmin(np.abs(normal))]
    first = np.cross(normal, near)
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    at = np.linspace(-reach, reach, CELLS + 1)
    ends = np.array([-reach, reach])
    a, b = np.meshgrid(at, ends, indexing="ij")
    along = a[..., None] * first + b[..., None] * second
    across = a[..., None] * second + b[..., None] * first
    return (np.concatenate([along, across]).reshape(-1, 3) + np.array(centre)).astype(np.float32)


def colour(item: bpy.types.PropertyGroup, *, chosen: bool) -> tuple[float, float, float, float]:
    """RGBA of a plane's lines."""
    return (CHOSEN if chosen else USED) if item.use else UNUSED


def _draw() -> None:
    context = bpy.context
    target = context.scene.ex4d.shot
    if target is None or not target.ex4d.show_planes or not context.space_data.overlay.show_overlays:
        return
    for index, item in enumerate(target.ex4d.planes):
        lines = grid(item.normal, item.centre, item.reach)
        draw(lines, colour(item, chosen=index == target.ex4d.active_plane), target.matrix_world)


def draw(lines: Float32, rgba: tuple[float, float, float, float], matrix: Matrix) -> None:  # [n, 3]
    """Draw lines in the shot's space, which stands at ``matrix``, where nothing is before them."""
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    batch = batch_for_shader(shader, "LINES", {"pos": lines})
    gpu.state.depth_test_set("LESS_EQUAL")
    gpu.state.blend_set("ALPHA")
    with gpu.matrix.push_pop():
        gpu.matrix.multiply_matrix(matrix)
        shader.bind()
        shader.uniform_float("color", rgba)
        batch.draw(shader)
    gpu.state.blend_set("NONE")
    gpu.state.depth_test_set("NONE")


grids = Drawing("SpaceView3D", "POST_VIEW", _draw)
