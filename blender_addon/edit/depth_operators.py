"""Operators that repair depth on a selection of the frame being edited."""

import bpy

from ex4d_ground.arrays import Float64

from ..scene import mesh, shot
from ..work.properties import Whole
from . import depth_tools, paint, state
from .depth_tools import Patch
from .operators import EditOperator, object_mode
from .properties import EdgeRatio, Strength


class _DepthTool(EditOperator):
    """Reads depth and selection, slides what ``repaired`` returns along the viewing rays."""

    def repaired(self, patch: Patch) -> Float64:  # [H, W]
        """The new depth."""
        raise NotImplementedError

    def edit(self, context: bpy.types.Context, body: bpy.types.Object) -> str:
        state.require_editing(body)
        grid = shot.grid_of(shot.active_shot(context))
        with object_mode(context, body):
            state.require_topology(body)
            positions = mesh.positions(body.data)
            depth = depth_tools.depth_grid(positions, width=grid.width, height=grid.height)
            selected = paint.selected(body.data.vertices).reshape(depth.shape)
            repaired = self.repaired(Patch(depth, selected, positions))
            changed = repaired != depth
            if changed.any():
                mesh.set_positions(body.data, depth_tools.slide(positions, repaired, selected=changed))
        return f"{self.bl_label}: {int(changed.sum())} vertices moved."  # type: ignore[attr-defined]


class EX4D_OT_smooth_depth(_DepthTool, bpy.types.Operator):
    """Even out the depth of the selected vertices without crossing depth edges"""

    bl_label = "Smooth Depth"
    remembers = ("iterations", "strength", "edge_ratio")

    iterations: Whole("Iterations", "How often; more reaches further", default=10, min=1, max=1000, soft_max=100)
    strength: Strength()
    edge_ratio: EdgeRatio("Neighbours whose depths differ by more than this factor belong to different surfaces")

    def repaired(self, patch: Patch) -> Float64:
        how = {"strength": self.strength, "edge_ratio": self.edge_ratio}
        return depth_tools.smooth(patch, iterations=self.iterations, **how)


class EX4D_OT_flatten_depth(_DepthTool, bpy.types.Operator):
    """Bring the selected vertices to the plane that fits them best"""

    bl_label = "Flatten to Plane"
    remembers = ("strength",)

    strength: Strength()

    def repaired(self, patch: Patch) -> Float64:
        return depth_tools.flatten(patch, strength=self.strength)


class EX4D_OT_push_edge(_DepthTool, bpy.types.Operator):
    """Move the depth edges in the selection: outward, so that what is in front grows, or inward"""

    bl_label = "Push or Pull Edge"
    remembers = ("edge_ratio",)

    pixels: Whole("Pixels", "Positive grows what is in front, negative what is behind", default=1, min=-64, max=64)
    edge_ratio: EdgeRatio("Neighbours whose depths differ by more than this factor have an edge between them")

    def repaired(self, patch: Patch) -> Float64:
        return depth_tools.grow_edge(patch, pixels=self.pixels, edge_ratio=self.edge_ratio)
