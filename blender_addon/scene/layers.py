"""A shot's edit layers: Geometry Nodes modifiers between its mesh cache and the user's own modifiers.

All of a layer is ordinary Blender data: the edit is a point attribute of the mesh, its weight and frames are inputs of
the modifier, muting is the modifier's visibility, its name is the modifier's name. So undo, saving, linking and
keyframes work without any code of ours, and playback runs no Python.
"""

import uuid
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from ex4d_ground.arrays import Float32

from ..work import compat
from ..work.errors import AddonError
from . import keyframes, layer_nodes
from .layer_nodes import Mode
from .mesh import CACHE_NAME

ATTRIBUTE_PREFIX = "ex4d_layer_"


@dataclass(frozen=True)
class FrameRange:
    """Scene frames on which a layer has its full weight, and how many more it fades over on either side."""

    first: int
    last: int
    falloff: int = 0
    every_frame: bool = False

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise AddonError(f"The layer's frames {self.first} to {self.last} end before they start; swap them.")
        if self.falloff < 0:
            raise AddonError(f"A falloff of {self.falloff} frames is negative; use 0 or more.")

    def covers(self, frame: int) -> bool:
        """Whether the layer changes anything at ``frame`` (its weight aside)."""
        return self.every_frame or self.first - self.falloff <= frame <= self.last + self.falloff


def mode_of(modifier: bpy.types.Modifier) -> Mode | None:
    """The layer's mode; None if ``modifier`` is no layer."""
    if modifier.type != "NODES":
        return None
    return layer_nodes.mode_of(getattr(modifier, "node_group", None))


def stack(body: bpy.types.Object) -> list[bpy.types.Modifier]:
    """The layers of a shot's mesh, the first applied first."""
    return [modifier for modifier in body.modifiers if mode_of(modifier) is not None]


def cache_of(body: bpy.types.Object) -> bpy.types.Modifier:
    """The mesh cache modifier. Raises AddonError if the user removed it."""
    for modifier in body.modifiers:
        if modifier.type == "MESH_CACHE":
            return modifier
    if body.parent is not None and body.parent.ex4d.arriving:
        raise AddonError(
            f"Only the first frame of '{body.parent.name}' is here yet; wait for the import, or import the clip again."
        )
    raise AddonError(f"'{body.name}' has lost its modifier '{CACHE_NAME}'; undo its removal or import the clip again.")


def find(body: bpy.types.Object, name: str) -> bpy.types.Modifier:
    """The layer called ``name``. Raises AddonError if there is none."""
    layer = body.modifiers.get(name)
    if layer is None or mode_of(layer) is None:
        raise AddonError(f"'{body.name}' has no edit layer '{name}'; choose one of its list.")
    return layer


def add(
    body: bpy.types.Object,
    name: str,
    values: Float32,  # OFFSET: [V, 3] in the mesh's space; RAY: [V] depth ratio - 1
    *,
    mode: Mode,
    frames: FrameRange,
) -> bpy.types.Modifier:
    """Store ``values`` on the mesh and show them by a new layer above the others and below the user's modifiers."""
    group = layer_nodes.ensure_group(mode)
    attribute = ATTRIBUTE_PREFIX + uuid.uuid4().hex[:8]
    _store(body.data, attribute, values, mode=mode)
    modifier = body.modifiers.new(name, "NODES")
    modifier.node_group = group
    inputs = {"Attribute": attribute, "Weight": 1.0, "First": frames.first, "Last": frames.last}
    for key, value in (inputs | {"Falloff": frames.falloff, "All Frames": frames.every_frame}).items():
        set_input(modifier, key, value)
    modifier.show_in_editmode = modifier.show_on_cage = False
    modifier.show_expanded = False
    others = [index for index, other in enumerate(body.modifiers) if other != modifier and mode_of(other) is not None]
    place = others[-1] + 1 if others else _index(body, cache_of(body)) + 1
    body.modifiers.move(_index(body, modifier), place)
    body.update_tag()
    return modifier


def remove(body: bpy.types.Object, modifier: bpy.types.Modifier) -> None:
    """Delete a layer with its stored edit and its keyframes."""
    name = get_input(modifier, "Attribute")
    attribute = body.data.attributes.get(name)
    prefix = modifier_path(modifier)
    paths = {curve.data_path for curve in keyframes.fcurves(body) if curve.data_path.startswith(prefix)}
    keyframes.clear(body, tuple(paths))
    for path in ("Weight", "Shown Frame"):
        body.driver_remove(object_path(modifier, path))
    body.modifiers.remove(modifier)
    shared = any(get_input(layer, "Attribute") == name for layer in stack(body))  # a modifier the user duplicated
    if attribute is not None and not shared:
        body.data.attributes.remove(attribute)


def move(body: bpy.types.Object, modifier: bpy.types.Modifier, steps: int) -> bool:
    """Move a layer up (negative) or down among the layers. Returns whether it moved."""
    order = [layer.name for layer in stack(body)]
    at = order.index(modifier.name)
    to = min(max(at + steps, 0), len(order) - 1)
    if to == at:
        return False
    body.modifiers.move(_index(body, modifier), _index(body, body.modifiers[order[to]]))
    body.update_tag()
    return True


def is_muted(modifier: bpy.types.Modifier) -> bool:
    """Whether the layer is left out, in the viewport and in renders."""
    return not modifier.show_viewport


def frames_of(modifier: bpy.types.Modifier) -> FrameRange:
    """The layer's frames; an end before its start, which a user can type, counts as one frame."""
    first, last, falloff, every = (get_input(modifier, name) for name in ("First", "Last", "Falloff", "All Frames"))
    return FrameRange(first, max(last, first), max(falloff, 0), every)


def get_input(modifier: bpy.types.Modifier, name: str) -> Any:
    """The value of one of the layer's inputs (see ``layer_nodes.INPUTS``)."""
    return compat.get_modifier_input(modifier, _key(modifier, name))


def set_input(modifier: bpy.types.Modifier, name: str, value: object) -> None:
    """Set one of the layer's inputs."""
    compat.set_modifier_input(modifier, _key(modifier, name), value)
    tagged: Any = modifier.id_data
    tagged.update_tag()


def shown_input(modifier: bpy.types.Modifier, name: str) -> tuple[Any, str]:
    """Owner and property of an input, the first two arguments of ``layout.prop``."""
    return compat.modifier_input(modifier, _key(modifier, name))


def object_path(modifier: bpy.types.Modifier, name: str) -> str:
    """Path of an input from the mesh object, for ``keyframe_insert`` and drivers."""
    return modifier_path(modifier) + compat.modifier_input_path(_key(modifier, name))


def inputs_prefix(modifier: bpy.types.Modifier) -> str:
    """What the :func:`object_path` of each of the layer's inputs starts with."""
    return modifier_path(modifier) + compat.MODIFIER_INPUTS


def modifier_path(modifier: bpy.types.Modifier) -> str:
    """Path of a modifier from its object."""
    return f'modifiers["{bpy.utils.escape_identifier(modifier.name)}"]'


def _key(modifier: bpy.types.Modifier, name: str) -> str:
    nodes: Any = modifier
    return layer_nodes.identifier(nodes.node_group, name)


def _store(data: bpy.types.Mesh, name: str, values: Float32, *, mode: Mode) -> None:
    kind, field, shape = ("FLOAT_VECTOR", "vector", (3,)) if mode == "OFFSET" else ("FLOAT", "value", ())
    wanted = (len(data.vertices), *shape)
    if values.shape != wanted:
        raise AddonError(
            f"An edit of {values.shape} values does not fit a mesh of {wanted}; discard it and start over."
        )
    attribute = data.attributes.new(name, kind, "POINT")
    attribute.data.foreach_set(field, np.ascontiguousarray(values, np.float32).ravel())


def _index(body: bpy.types.Object, modifier: bpy.types.Modifier) -> int:
    return next(index for index, other in enumerate(body.modifiers) if other == modifier)
