"""A line in the camera view to drag the wipe of a comparison by."""

import importlib
from typing import Any

import bpy
from gpu_extras.batch import batch_for_shader

from ..scene import viewing

gpu: Any = importlib.import_module("gpu")  # the module's stubs know a part of it only

NEAR_PX, LINE_PX, GRIP_PX = 8.0, 1.5, 9.0
"""How near the mouse must be, half the line's width, and half the grip's height, at an interface scale of 1."""
INK, UNDER, HELD = (1.0, 1.0, 1.0, 0.9), (0.0, 0.0, 0.0, 0.6), (1.0, 1.0, 1.0, 1.0)
Points = list[tuple[float, float]]


def place_of(context: bpy.types.Context) -> tuple[float, float, float, float] | None:
    """Where the camera's frame is in the region: left, bottom, right, top; None where it is not looked through."""
    camera = viewing.camera_looked_through(context)
    corners = viewing.frame_corners(context, camera) if camera is not None else None
    if corners is None:
        return None
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def wipe_at(x: float, left: float, right: float) -> float:
    """The wipe that stands at ``x`` of the region, within the frame."""
    return min(max((x - left) / max(right - left, 1.0), 0.0), 1.0)


def shapes(x: float, bottom: float, top: float, scale: float, width: float) -> Points:
    """Triangles of the line at ``x`` and of the grip in its middle, ``width`` wider than they are on each side."""
    half, grip, middle = LINE_PX * scale + width, GRIP_PX * scale + width, (bottom + top) / 2
    line = [
        (x - half, bottom),
        (x + half, bottom),
        (x + half, top),
        (x - half, bottom),
        (x + half, top),
        (x - half, top),
    ]
    out = 3 * scale
    arrows = [(x + side * (out + dx), middle + dy) for side in (-1, 1) for dx, dy in ((0, grip), (0, -grip), (grip, 0))]
    return [*line, *arrows]


class EX4D_GT_wipe(bpy.types.Gizmo):
    """The line between the two pictures"""

    bl_idname = "EX4D_GT_wipe"

    def draw(self, context: bpy.types.Context) -> None:
        frame = place_of(context)
        if frame is None:
            return
        left, bottom, right, top = frame
        x = left + context.scene.ex4d.wipe * (right - left)
        scale = context.preferences.system.ui_scale
        shader = gpu.shader.from_builtin("UNIFORM_COLOR")
        gpu.state.blend_set("ALPHA")
        for width, colour in ((scale, UNDER), (0.0, HELD if self.is_highlight else INK)):
            batch = batch_for_shader(shader, "TRIS", {"pos": shapes(x, bottom, top, scale, width)})
            shader.bind()
            shader.uniform_float("color", colour)
            batch.draw(shader)
        gpu.state.blend_set("NONE")

    def test_select(self, context: bpy.types.Context, location: Any) -> int:
        frame = place_of(context)
        if frame is None:
            return -1
        left, bottom, right, top = frame
        x = left + context.scene.ex4d.wipe * (right - left)
        near = abs(location[0] - x) <= NEAR_PX * context.preferences.system.ui_scale
        return 0 if near and bottom <= location[1] <= top else -1

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self.before = context.scene.ex4d.wipe
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event, _tweak: set[str]) -> set[str]:
        frame = place_of(context)
        if frame is not None:
            context.scene.ex4d.wipe = wipe_at(event.mouse_region_x, frame[0], frame[2])
            context.area.header_text_set(f"Wipe {context.scene.ex4d.wipe:.0%}")
        return {"RUNNING_MODAL"}

    def exit(self, context: bpy.types.Context, cancel: bool) -> None:
        context.area.header_text_set(None)
        if cancel:
            context.scene.ex4d.wipe = self.before
        else:
            bpy.ops.ed.undo_push(message="Wipe")


class EX4D_GGT_wipe(bpy.types.GizmoGroup):
    bl_idname = "EX4D_GGT_wipe"
    bl_label = "EX-4D Wipe"
    bl_space_type = "VIEW_3D"
    bl_region_type = "WINDOW"
    bl_options = {"PERSISTENT"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(context.scene.ex4d.compare_shot) and viewing.camera_looked_through(context) is not None

    def setup(self, _context: bpy.types.Context) -> None:
        self.gizmos.new(EX4D_GT_wipe.bl_idname).use_draw_modal = True
