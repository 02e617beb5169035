"""The node groups that show an edit layer: one per mode, shared by all layers of a .blend.

Group inputs, the same in both: the name of the point attribute that holds the edit, a weight, and the frames on which
the edit counts. Inside the frames the edit has its full weight; before and behind them it fades linearly and is
exactly zero from ``Falloff`` + 1 frames away, so that other frames keep the cache's positions to the bit. Frames are
the scene's; in a retimed shot the scene frame that would show the same source frame without retiming.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import bpy

from .errors import AddonError

Mode = Literal["OFFSET", "RAY"]

NEEDED = (4, 2, 0)
"""First Blender whose node interface and socket names these groups use."""

MARK = "ex4d_layer"
"""Custom property of our groups: their mode."""

TITLES: dict[Mode, str] = {"OFFSET": "EX-4D Layer (Offset)", "RAY": "EX-4D Layer (Along Ray)"}

INPUTS: tuple[tuple[str, str], ...] = (
    ("Attribute", "NodeSocketString"),
    ("Weight", "NodeSocketFloat"),
    ("All Frames", "NodeSocketBool"),
    ("First", "NodeSocketInt"),
    ("Last", "NodeSocketInt"),
    ("Falloff", "NodeSocketInt"),
    ("Retimed", "NodeSocketBool"),
    ("Shown Frame", "NodeSocketFloat"),
)


def require_version() -> None:
    """Raise AddonError if this Blender is too old for edit layers."""
    if bpy.app.version < NEEDED:
        raise AddonError(
            f"Edit layers need Blender {NEEDED[0]}.{NEEDED[1]} or later; this is {bpy.app.version_string}."
        )


def mode_of(group: bpy.types.NodeTree | None) -> Mode | None:
    """The mode of a layer's node group; None for any other group."""
    found = group.get(MARK) if group is not None else None
    return found if found in TITLES else None


def ensure_group(mode: Mode) -> bpy.types.NodeTree:
    """The group for ``mode``, made if this .blend has none. Raises AddonError in a Blender that is too old."""
    require_version()
    for group in bpy.data.node_groups:
        if group.library is None and mode_of(group) == mode and _is_complete(group):
            return group
    return _build(mode)


def identifier(group: bpy.types.NodeTree, name: str) -> str:
    """The key by which a modifier with ``group`` holds the input called ``name``."""
    tree: Any = group
    return next(item.identifier for item in tree.interface.items_tree if item.name == name and item.in_out == "INPUT")


def _is_complete(group: bpy.types.NodeTree) -> bool:
    tree: Any = group
    names = {item.name for item in tree.interface.items_tree if item.in_out == "INPUT"}
    return all(name in names for name, _ in INPUTS)


@dataclass(frozen=True)
class _Graph:
    tree: Any

    def node(self, kind: str, column: int, row: int, **settings: object) -> Any:
        made = self.tree.nodes.new(kind)
        made.location = (column * 200, -row * 160)
        for name, value in settings.items():
            setattr(made, name, value)
        return made

    def math(self, operation: str, a: Any, b: Any, *, column: int, row: int) -> Any:
        """One Math node; a number is its default value, a socket is linked. Returns its output."""
        made = self.node("ShaderNodeMath", column, row, operation=operation)
        for socket, value in zip(made.inputs, (a, b), strict=False):
            if isinstance(value, int | float):
                socket.default_value = value
            else:
                self.tree.links.new(value, socket)
        return made.outputs[0]

    def scale(self, vector: Any, factor: Any, *, column: int, row: int) -> Any:
        made = self.node("ShaderNodeVectorMath", column, row, operation="SCALE")
        self.tree.links.new(vector, made.inputs[0])
        self.tree.links.new(factor, made.inputs["Scale"])
        return made.outputs[0]


def _build(mode: Mode) -> bpy.types.NodeTree:
    tree: Any = bpy.data.node_groups.new(TITLES[mode], "GeometryNodeTree")
    tree[MARK] = mode
    tree.is_modifier = True
    _declare(tree)
    graph = _Graph(tree)
    inputs = graph.node("NodeGroupInput", 0, 0)
    strength = _strength(graph, inputs)
    name = inputs.outputs["Attribute"]
    if mode == "OFFSET":
        stored = graph.node("GeometryNodeInputNamedAttribute", 5, 2, data_type="FLOAT_VECTOR")
        offset = graph.scale(stored.outputs["Attribute"], strength, column=6, row=2)
    else:  # a share of the distance to the camera, which stands at the origin of the mesh's space
        stored = graph.node("GeometryNodeInputNamedAttribute", 5, 2, data_type="FLOAT")
        share = graph.math("MULTIPLY", stored.outputs["Attribute"], strength, column=6, row=2)
        position = graph.node("GeometryNodeInputPosition", 6, 3)
        offset = graph.scale(position.outputs[0], share, column=7, row=2)
    tree.links.new(name, stored.inputs["Name"])
    moved = graph.node("GeometryNodeSetPosition", 8, 0)
    tree.links.new(inputs.outputs["Geometry"], moved.inputs["Geometry"])
    tree.links.new(offset, moved.inputs["Offset"])
    # Switches pull only the side they need: a layer costs nothing on the frames it does not reach.
    switch = graph.node("GeometryNodeSwitch", 9, 0, input_type="GEOMETRY")
    tree.links.new(graph.math("ABSOLUTE", strength, 0.0, column=8, row=4), switch.inputs["Switch"])
    tree.links.new(inputs.outputs["Geometry"], switch.inputs["False"])
    tree.links.new(moved.outputs[0], switch.inputs["True"])
    output = graph.node("NodeGroupOutput", 10, 0)
    tree.links.new(switch.outputs[0], output.inputs[0])
    return tree


def _declare(tree: Any) -> None:
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    for name, kind in INPUTS:
        socket = tree.interface.new_socket(name, in_out="INPUT", socket_type=kind)
        if name == "Weight":
            socket.default_value, socket.min_value, socket.max_value = 1.0, -10.0, 10.0
        elif name == "Falloff":
            socket.min_value = 0
        elif name == "All Frames":
            socket.default_value = True
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")


def _strength(graph: _Graph, inputs: Any) -> Any:
    """Weight * max(All Frames, 1 - distance to the frames / (Falloff + 1), 0)."""
    timeline = graph.node("GeometryNodeInputSceneTime", 0, 3).outputs["Frame"]
    choice = graph.node("GeometryNodeSwitch", 0, 5, input_type="FLOAT")
    graph.tree.links.new(inputs.outputs["Retimed"], choice.inputs["Switch"])
    graph.tree.links.new(timeline, choice.inputs["False"])
    graph.tree.links.new(inputs.outputs["Shown Frame"], choice.inputs["True"])
    now = choice.outputs[0]
    before = graph.math("SUBTRACT", inputs.outputs["First"], now, column=1, row=2)
    behind = graph.math("SUBTRACT", now, inputs.outputs["Last"], column=1, row=3)
    away = graph.math("MAXIMUM", before, behind, column=2, row=2)
    distance = graph.math("MAXIMUM", away, 0.0, column=3, row=2)
    reach = graph.math("ADD", inputs.outputs["Falloff"], 1.0, column=2, row=4)
    share = graph.math("DIVIDE", distance, reach, column=4, row=3)
    fading = graph.math("SUBTRACT", 1.0, share, column=4, row=4)
    inside = graph.math("MAXIMUM", fading, inputs.outputs["All Frames"], column=5, row=4)
    shown = graph.math("MAXIMUM", inside, 0.0, column=6, row=4)
    return graph.math("MULTIPLY", shown, inputs.outputs["Weight"], column=7, row=4)
