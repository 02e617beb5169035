"""The point that the next move turns around, on the source camera's axis: seen in the view, and dragged along it."""

from typing import Any

import bpy
from mathutils import Matrix, Vector

from ..work.errors import AddonError
from . import move

COLOUR, HELD = (1.0, 0.75, 0.2), (1.0, 1.0, 1.0)
LEAST = 0.01
"""A centre stands at least this far behind the margin that every move adds."""


def depth_shown(context: bpy.types.Context) -> float:
    """Depth of the point from the source camera, in the shot's units. 0 where nothing says it."""
    scene: Any = context.scene
    try:
        return move.centre_depth(context, scene.ex4d.shot, scene.ex4d.centre) + move.ORBIT_MARGIN
    except (AddonError, OSError):
        return 0.0


def put_depth(context: bpy.types.Context, depth: float) -> None:
    """Have moves turn around the point at this depth."""
    props: Any = context.scene.ex4d
    props.centre, props.own_depth = "OWN", max(depth, move.ORBIT_MARGIN + LEAST)


def axis_of(target: bpy.types.Object) -> Matrix:
    """World from a frame at the source camera whose z axis is the way it looks; without scale."""
    place, facing, _ = (target.matrix_world @ target.ex4d.source_camera.matrix_local).decompose()
    turned = facing.to_matrix().to_4x4() @ Matrix.Rotation(3.141592653589793, 4, "X")
    return Matrix.Translation(place) @ turned


class EX4D_GGT_centre(bpy.types.GizmoGroup):
    bl_idname = "EX4D_GGT_centre"
    bl_label = "EX-4D Centre of Moves"
    bl_space_type = "VIEW_3D"
    bl_region_type = "WINDOW"
    bl_options = {"3D", "PERSISTENT"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """While the shot, or one of its cameras, is the active object."""
        target, active = context.scene.ex4d.shot, context.active_object
        if target is None or active is None or target.ex4d.source_camera is None:
            return False
        return active in (target, target.ex4d.camera, target.ex4d.source_camera) and context.mode == "OBJECT"

    def setup(self, context: bpy.types.Context) -> None:
        self._remembered: tuple[object, float] = (None, 0.0)
        point: Any = self.gizmos.new("GIZMO_GT_arrow_3d")
        point.draw_style, point.length = "BOX", 0.0
        point.target_set_handler("offset", get=self._get, set=self._set)
        point.color, point.alpha = COLOUR, 0.8
        point.color_highlight, point.alpha_highlight = HELD, 1.0
        self.point = point
        self.draw_prepare(context)

    def draw_prepare(self, context: bpy.types.Context) -> None:
        self.point.matrix_basis = axis_of(context.scene.ex4d.shot)

    def _scale(self) -> float:
        return bpy.context.scene.ex4d.shot.matrix_world.to_scale()[2]

    def _get(self) -> float:
        """The depth in the world; read again only when what it rests on has changed."""
        context: Any = bpy.context
        props = context.scene.ex4d
        key = (props.shot.ex4d.shot_id, props.centre, props.own_depth, tuple(context.scene.cursor.location))
        if self._remembered[0] != key:
            self._remembered = key, depth_shown(context)
        return self._remembered[1] * self._scale()

    def _set(self, value: float) -> None:
        put_depth(bpy.context, value / (self._scale() or 1.0))


def point_of(context: bpy.types.Context) -> Vector:
    """Where the point is in the world."""
    target = context.scene.ex4d.shot
    return axis_of(target) @ Vector((0, 0, depth_shown(context) * target.matrix_world.to_scale()[2]))
