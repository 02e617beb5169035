"""The node groups that show an edit layer: one per mode, shared by all layers of a .blend.

Group inputs, the same in both: the name of the point attribute that holds the edit, a weight, and the frames on which
the edit counts. Inside the frames the edit has its full weight; before and behind them it fades linearly and is
exactly zero from ``Falloff`` + 1 frames away, so that other frames keep the cache's positions to the bit. Frames are
the scene's; in a retimed shot the scene frame that would show the same source frame without retiming.
"""

from typing import Any, Literal

import bpy

from ..work.errors import AddonError
from .node_graph import Graph

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
    mark = group.get(MARK) if group is not None else None
    return mark if mark in TITLES else None


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


class _Graph(Graph):
    """Its places are columns and rows."""

    def node(self, kind: str, place: tuple[float, float], **settings: object) -> Any:
        return super().node(kind, (place[0] * 200, -place[1] * 160), **settings)

    def scale(self, vector: Any, factor: Any, place: tuple[float, float]) -> Any:
        made = self.node("ShaderNodeVectorMath", place, operation="SCALE")
        self.link(vector, made.inputs[0])
        self.link(factor, made.inputs["Scale"])
        return made.outputs[0]


def _build(mode: Mode) -> bpy.types.NodeTree:
    tree: Any = bpy.data.node_groups.new(TITLES[mode], "GeometryNodeTree")
    tree[MARK] = mode
    tree.is_modifier = True
    _declare(tree)
    graph = _Graph(tree)
    inputs = graph.node("NodeGroupInput", (0, 0))
    strength = _strength(graph, inputs)
    name = inputs.outputs["Attribute"]
    if mode == "OFFSET":
        stored = graph.node("GeometryNodeInputNamedAttribute", (5, 2), data_type="FLOAT_VECTOR")
        offset = graph.scale(stored.outputs["Attribute"], strength, (6, 2))
    else:  # a share of the distance to the camera, which stands at the origin of the mesh's space
        stored = graph.node("GeometryNodeInputNamedAttribute", (5, 2), data_type="FLOAT")
        share = graph.math("MULTIPLY", stored.outputs["Attribute"], strength, (6, 2))
        position = graph.node("GeometryNodeInputPosition", (6, 3))
        offset = graph.scale(position.outputs[0], share, (7, 2))
    graph.link(name, stored.inputs["Name"])
    moved = graph.node("GeometryNodeSetPosition", (8, 0))
    graph.link(inputs.outputs["Geometry"], moved.inputs["Geometry"])
    graph.link(offset, moved.inputs["Offset"])
    # Switches pull only the side they need: a layer costs nothing on the frames it does not reach.
    switch = graph.node("GeometryNodeSwitch", (9, 0), input_type="GEOMETRY")
    graph.link(graph.math("ABSOLUTE", strength, 0.0, (8, 4)), switch.inputs["Switch"])
    graph.link(inputs.outputs["Geometry"], switch.inputs["False"])
    graph.link(moved.outputs[0], switch.inputs["True"])
    output = graph.node("NodeGroupOutput", (10, 0))
    graph.link(switch.outputs[0], output.inputs[0])
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
    timeline = graph.node("GeometryNodeInputSceneTime", (0, 3)).outputs["Frame"]
    choice = graph.node("GeometryNodeSwitch", (0, 5), input_type="FLOAT")
    graph.link(inputs.outputs["Retimed"], choice.inputs["Switch"])
    graph.link(timeline, choice.inputs["False"])
    graph.link(inputs.outputs["Shown Frame"], choice.inputs["True"])
    now = choice.outputs[0]
    before = graph.math("SUBTRACT", inputs.outputs["First"], now, (1, 2))
    behind = graph.math("SUBTRACT", now, inputs.outputs["Last"], (1, 3))
    away = graph.math("MAXIMUM", before, behind, (2, 2))
    distance = graph.math("MAXIMUM", away, 0.0, (3, 2))
    reach = graph.math("ADD", inputs.outputs["Falloff"], 1.0, (2, 4))
    share = graph.math("DIVIDE", distance, reach, (4, 3))
    fading = graph.math("SUBTRACT", 1.0, share, (4, 4))
    inside = graph.math("MAXIMUM", fading, inputs.outputs["All Frames"], (5, 4))
    shown = graph.math("MAXIMUM", inside, 0.0, (6, 4))
    return graph.math("MULTIPLY", shown, inputs.outputs["Weight"], (7, 4))
