"""Painted thickness, and what moves by itself, on the mesh in the 3D view: what to draw in numbers, and as little
drawing code as it takes."""

import importlib
from typing import Any

import bpy
import numpy as np
from gpu_extras.batch import batch_for_shader
from mathutils import Matrix

from ex4d_ground.arrays import Bool, Float32, Int32

from ..scene import retime
from ..scene.mesh import corners, evaluated_mesh, positions
from ..work.hooks import Drawing, Listeners
from . import moving, thickness

gpu: Any = importlib.import_module("gpu")  # the module's stubs know a part of it only

THIN, THICK = (1.0, 0.85, 0.1), (0.45, 0.05, 1.0)
"""Colours of the least and the greatest painted length on a frame; one length alone is :data:`THICK`."""
MOVES = (1.0, 0.15, 0.1)
OPACITY = 0.6
NEARER = 2e-5
"""How much nearer than the mesh the tint is drawn, in units of the depth buffer, so that neither flickers."""


_drawn: tuple[object, list[Any]] = (None, [])
"""What the batches were made for, and they."""
_changes = 0
"""Counts what may have changed the mesh."""


def tinted(
    places: Float32,  # [V, 3]
    faces: Int32,  # [F, 3]
    lengths: Float32,  # [V] 0 where nothing is painted
) -> tuple[Float32, Float32, Int32] | None:  # [N, 3], [N, 4] RGBA, [M, 3]
    """The faces between painted vertices, with a colour per vertex by its length; None if there are none."""
    painted = faces[(lengths[faces] > 0).all(axis=1)]
    if not len(painted):
        return None
    used, found = np.unique(painted, return_inverse=True)
    return places[used], colours(lengths[used]), found.reshape(-1, 3).astype(np.int32)


def reddened(
    places: Float32,  # [V, 3]
    faces: Int32,  # [F, 3]
    moves: Bool,  # [V]
) -> tuple[Float32, Float32, Int32] | None:  # [N, 3], [N, 4] RGBA, [M, 3]
    """The faces between vertices that move by themselves, in one colour; None if there are none."""
    found = tinted(places, faces, moves.astype(np.float32))
    if found is not None:
        found[1][:, :3] = MOVES
    return found


def colours(lengths: Float32) -> Float32:  # [N] -> [N, 4]
    """From :data:`THIN` to :data:`THICK`, by the logarithm of the length."""
    logs = np.log(lengths)
    low, high = float(logs.min()), float(logs.max())
    share = np.ones(len(logs)) if high - low < 1e-3 else (logs - low) / (high - low)
    out = np.empty((len(logs), 4), np.float32)
    out[:, :3] = np.array(THIN) + share[:, None] * (np.array(THICK) - np.array(THIN))
    out[:, 3] = OPACITY
    return out


def lengths_of(data: bpy.types.Mesh, frame: int) -> tuple[int, float, float]:
    """How many vertices have a painted thickness on source frame ``frame``, the least and the greatest."""
    lengths = thickness.LENGTHS.painted_at(data, frame) if data.attributes else None
    if lengths is None:
        return 0, 0.0, 0.0
    painted = lengths[lengths > 0]
    return len(painted), float(painted.min()), float(painted.max())


def forget() -> None:
    """Free what is drawn."""
    global _drawn
    _drawn = (None, [])


@bpy.app.handlers.persistent
def _changed(_scene: object = None, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    global _changes
    if depsgraph is None or any(update.is_updated_geometry for update in depsgraph.updates):
        _changes += 1


listeners = Listeners(*((name, _changed) for name in ("depsgraph_update_post", "undo_post", "redo_post", "load_post")))


def _draw() -> None:
    global _drawn
    context = bpy.context
    target = context.scene.ex4d.shot
    body = target.ex4d.mesh if target is not None else None
    if target is None or body is None or not context.space_data.overlay.show_overlays:
        return
    shown = target.ex4d.show_thickness, target.ex4d.show_moving
    if not any(shown):
        return
    playing = context.screen.is_animation_playing
    if playing or body.mode == "WEIGHT_PAINT" or not body.visible_get():  # weights have a display of their own
        return
    frame = retime.shown_frame(context, target) - target.ex4d.frame_start
    key = (target.ex4d.shot_id, frame, context.scene.frame_current, _changes, shown)
    if _drawn[0] != key:
        _drawn = key, _batches(context, body, frame, *shown)
    for batch in _drawn[1]:
        draw(batch, body.matrix_world)


tint = Drawing("SpaceView3D", "POST_VIEW", _draw)


def _batches(context: bpy.types.Context, body: bpy.types.Object, frame: int, thick: bool, moves: bool) -> list[Any]:
    """The tints of one frame on the GPU, those that are asked for; none where nothing is painted."""
    kinds = [kind for kind, asked in ((thickness.LENGTHS, thick), (moving.MOVING, moves)) if asked]
    kinds = [kind for kind in kinds if any(each.name.startswith(kind.name) for each in body.data.attributes)]
    if not kinds:
        return []
    # In Edit Mode, the mesh itself has no attributes to read.
    with evaluated_mesh(body.evaluated_get(context.evaluated_depsgraph_get())) as mesh:
        painted = [(kind, kind.painted_at(mesh, frame)) for kind in kinds]
        if all(values is None for _, values in painted):
            return []
        places, faces = positions(mesh), corners(mesh)
    if faces.ndim == 1:
        return []  # not the grid's faces: a modifier of the user's own
    tints = [
        reddened(places, faces, values == moving.MOVES) if kind is moving.MOVING else tinted(places, faces, values)
        for kind, values in painted
        if values is not None
    ]
    return [on_gpu(*each) for each in tints if each is not None]


def on_gpu(points: Float32, colour: Float32, triangles: Int32) -> Any:  # [N, 3], [N, 4], [M, 3]
    """What :func:`tinted` gives, ready to be drawn."""
    shader = gpu.shader.from_builtin("SMOOTH_COLOR")
    return shader, batch_for_shader(shader, "TRIS", {"pos": points, "color": colour}, indices=triangles)


def draw(made: Any, matrix: Matrix) -> None:
    """Draw the tint of a mesh that stands at ``matrix``, just before it."""
    shader, batch = made
    nearer = gpu.matrix.get_projection_matrix()
    for column in range(4):
        nearer[2][column] -= NEARER * nearer[3][column]
    gpu.state.depth_test_set("LESS_EQUAL")
    gpu.state.blend_set("ALPHA")
    with gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
        gpu.matrix.load_projection_matrix(nearer)
        gpu.matrix.multiply_matrix(matrix)
        batch.draw(shader)
    gpu.state.blend_set("NONE")
    gpu.state.depth_test_set("NONE")
