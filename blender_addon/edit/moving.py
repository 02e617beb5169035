"""What moves by itself, as people paint it on a shot's mesh: the estimate of the filming camera leaves it out.

One value per vertex, kept and laid over each other as :mod:`painted` says.
"""

from collections.abc import Iterator

import bpy
import numpy as np

from ex4d_ground.arrays import Bool

from ..scene import shot
from ..work.errors import AddonError
from .painted import Kind, Span, Values

MOVING = Kind("ex4d_moving", "INT8", "POINT", cleared=2)
MOVES = 1


def paint(data: bpy.types.Mesh, vertices: Bool, value: int | Values, span: Span | None) -> int:  # [V]
    """Give ``vertices`` a value, or each its own, in ``span`` or in the whole shot; 0 takes it away. Object Mode only.

    Returns how many vertices were given it. Raises AddonError if no vertex is chosen.
    """
    count = int(vertices.sum())
    if not count:
        raise AddonError("Nothing is selected; select what moves by itself in Edit Mode.")
    MOVING.paint(data, vertices, value, span)
    data.update()
    return count


def is_painted(target: bpy.types.Object) -> bool:
    """Whether anything of the shot is said to move by itself."""
    body = target.ex4d.mesh
    return body is not None and any(each.name.startswith(MOVING.name) for each in body.data.attributes)


def share_at(data: bpy.types.Mesh, frame: int) -> float:
    """Share of the mesh's vertices that move by themselves on source frame ``frame``, 0 to 1."""
    values = MOVING.painted_at(data, frame) if data.attributes else None
    return 0.0 if values is None else float((values == MOVES).mean())


def mattes(target: bpy.types.Object) -> Iterator[Bool]:  # each [H, W] of the shot's grid
    """For every frame of the clip, what moves by itself; Object Mode only."""
    grid, body = shot.grid_of(target), target.ex4d.mesh
    for t in range(target.ex4d.num_frames):
        values = MOVING.values_at(body.data, t)
        if values is None or len(values) != grid.num_vertices:
            yield np.zeros((grid.height, grid.width), np.bool_)
        else:
            yield (values == MOVES).reshape(grid.height, grid.width)
