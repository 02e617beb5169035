"""Operators that repair depth on a selection of the frame being edited."""

# pyright: reportInvalidTypeForm=false

import bpy
import numpy as np

from . import edit_sampling, edit_state, edit_tools, paint, shot
from .edit_operators import EditOperator, object_mode


class _DepthTool(EditOperator):
    """Reads depth and selection, slides what ``repaired`` returns along the viewing rays."""

    def repaired(
        self,
        positions: np.ndarray,  # [V, 3]
        depth: np.ndarray,  # [H, W]
        selected: np.ndarray,  # [H, W]
    ) -> np.ndarray:  # [H, W]
        raise NotImplementedError

    def run(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        edit_state.require_editing(body)
        props = shot.active_shot(context).ex4d
        with object_mode(context, body):
            edit_state.require_topology(body)
            positions = edit_sampling.base_positions(body.data)
            depth = edit_tools.depth_grid(positions, width=props.width, height=props.height)
            selected = paint.selected_vertices(body.data).reshape(depth.shape)
            found = self.repaired(positions, depth, selected)
            changed = found != depth
            if changed.any():
                moved = edit_tools.slide(positions, found, selected=changed)
                edit_sampling.set_base_positions(body.data, moved)
        return f"{self.bl_label}: {int(changed.sum())} vertices moved."  # type: ignore[attr-defined]


class EX4D_OT_smooth_depth(_DepthTool, bpy.types.Operator):
    """Even out the depth of the selected vertices without crossing depth edges"""

    bl_idname = "ex4d.smooth_depth"
    bl_label = "Smooth Depth"

    iterations: bpy.props.IntProperty(
        name="Iterations", description="How often; more reaches further", default=10, min=1, max=1000, soft_max=100
    )
    strength: bpy.props.FloatProperty(
        name="Strength", description="How much of the change is made", default=1.0, min=0.0, max=1.0, subtype="FACTOR"
    )
    edge_ratio: bpy.props.FloatProperty(
        name="Edge Ratio",
        description="Neighbours whose depths differ by more than this factor belong to different surfaces",
        default=1.1,
        min=1.001,
        max=1000.0,
    )

    def repaired(self, positions: np.ndarray, depth: np.ndarray, selected: np.ndarray) -> np.ndarray:
        del positions
        return edit_tools.smooth(
            depth, selected, iterations=self.iterations, strength=self.strength, edge_ratio=self.edge_ratio
        )


class EX4D_OT_flatten_depth(_DepthTool, bpy.types.Operator):
    """Bring the selected vertices to the plane that fits them best"""

    bl_idname = "ex4d.flatten_depth"
    bl_label = "Flatten to Plane"

    strength: bpy.props.FloatProperty(
        name="Strength", description="How much of the change is made", default=1.0, min=0.0, max=1.0, subtype="FACTOR"
    )

    def repaired(self, positions: np.ndarray, depth: np.ndarray, selected: np.ndarray) -> np.ndarray:
        return edit_tools.flatten(positions, depth, selected, strength=self.strength)


class EX4D_OT_push_edge(_DepthTool, bpy.types.Operator):
    """Move the depth edges in the selection: outward, so that what is in front grows, or inward"""

    bl_idname = "ex4d.push_edge"
    bl_label = "Push or Pull Edge"

    pixels: bpy.props.IntProperty(
        name="Pixels",
        description="Positive grows what is in front, negative what is behind",
        default=1,
        min=-64,
        max=64,
    )
    edge_ratio: bpy.props.FloatProperty(
        name="Edge Ratio",
        description="Neighbours whose depths differ by more than this factor have an edge between them",
        default=1.1,
        min=1.001,
        max=1000.0,
    )

    def repaired(self, positions: np.ndarray, depth: np.ndarray, selected: np.ndarray) -> np.ndarray:
        del positions
        return edit_tools.grow_edge(depth, selected, pixels=self.pixels, edge_ratio=self.edge_ratio)


CLASSES = (EX4D_OT_smooth_depth, EX4D_OT_flatten_depth, EX4D_OT_push_edge)
